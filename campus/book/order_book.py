"""The order book that roles share: written by the thread that follows the logs, safe to ask from any other.

What the producer has the broker's word for is only laid down here and taken in by whoever looks next, so that
taking an order waits for nobody. Locks are held for a few hundred records at most, or for what was laid down
since somebody last looked, and never while somebody is called back.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from campus.book.order_window import OrderWindow
from campus.book.stock_levels import StockLevels
from campus.book.views import OrderStatus, OrderView, StockView, Window
from campus.domain.events import InventoryFailed, InventoryReserved, JournalEvent, OrderPlaced, OwnerClaimed

CHUNK = 256  # records taken in while others wait
WISHES_MAX = 10_000  # far more than connections that can wait

Callback: TypeAlias = Callable[[OrderView], None]

_T = TypeVar("_T")

log = logging.getLogger("book")


class Placed(NamedTuple):
    """A record of order-events; see `OrderWindow.placed`."""

    order: OrderPlaced
    partition: int
    offset: int
    accepted_at: str
    misrouted: bool


class PartitionStock(StockLevels):
    """A partition's stock, and how far the journal has come with it.

    `offset` and `seq` are of the last entry that is in it, `next_offset` is the record of order-events that
    is decided next. To be read from what a ledger has written down, not to be written down itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.next_offset, self.offset, self.seq = 0, -1, 0

    def apply(self, event: JournalEvent) -> None:
        super().apply(event)
        if not isinstance(event, OwnerClaimed):
            self.next_offset, self.seq = event.source_offset + 1, event.seq

    @classmethod
    def from_state(cls, state: bytes) -> "PartitionStock":
        """Raises ValueError for what no ledger has written."""
        levels, stock = StockLevels.from_state(state), cls()
        stock.remaining, stock.added = levels.remaining, levels.added
        try:
            stock.next_offset = msgspec.msgpack.decode(state, type=_NextOffset).next_offset
        except msgspec.MsgspecError as fault:
            raise ValueError(str(fault)) from fault
        return stock


class _NextOffset(Struct):
    """The part of a ledger's state that StockLevels passes over."""

    next_offset: int


class OrderBook:
    def __init__(self, *, orders_max: int) -> None:
        self._lock = threading.Lock()  # of the window, the stock and the wishes
        self._window = OrderWindow(orders_max)
        self._stock: dict[int, PartitionStock] = {}
        self._wishes: dict[str, dict[object, Callback]] = {}
        self._wishes_count = 0
        self._caught_up, self._behind = False, 0
        # If nobody looks, the oldest fall out: they stand in the logs as well.
        self._laid_down: deque[tuple[OrderPlaced, int]] = deque(maxlen=orders_max)

    # For those who take orders and answer questions.

    def accepted(self, order: OrderPlaced, partition: int) -> None:
        """The broker has it: from now on it can be asked for, however far the logs have been followed."""
        self._laid_down.append((order, partition))

    def order(self, order_id: str) -> OrderView | None:
        """An id that several items' orders have names the one that was decided first."""
        with self._lock:
            return self._up_to_date().order(order_id)

    def latest(
        self,
        *,
        user_id: str | None = None,
        item: str | None = None,
        status: OrderStatus | None = None,
        limit: int,
    ) -> list[OrderView]:
        """Newest first: in the order in which this process heard of them, and by time what is from before."""
        with self._lock:
            return self._up_to_date().latest(user_id=user_id, item=item, status=status, limit=limit)

    def stock(self) -> list[StockView]:
        """By item."""
        with self._lock:
            views = [
                StockView(
                    item=item,
                    remaining=remaining,
                    reserved=stock.added.get(item, 0) - remaining,
                    partition=partition,
                    as_of_offset=stock.offset,
                    as_of_seq=stock.seq,
                )
                for partition, stock in self._stock.items()
                for item, remaining in stock.remaining.items()
            ]
        return sorted(views, key=lambda view: view.item)

    def id_of_key(self, key_part: str) -> str | None:
        """The id of an order of the window that this key has made; of several, the one heard of first."""
        with self._lock:
            return self._up_to_date().id_of_key(key_part)

    def when_decided(self, order_id: str, callback: Callback) -> Callable[[], None]:
        """Call back once: now, if it is decided; else when it is, on the thread that follows the logs.

        What is returned takes the wish back; it may be called at any time. There is room for WISHES_MAX
        wishes, and one more is not kept. So is one for an order that never comes: whoever wishes has to
        know how long he waits.
        """
        token = object()
        with self._lock:
            view = self._up_to_date().order(order_id)
            decided = view is not None and view.status != "accepted"
            if not decided and self._wishes_count < WISHES_MAX:
                self._wishes.setdefault(order_id, {})[token] = callback
                self._wishes_count += 1
        if decided and view is not None:
            callback(view)
        return lambda: self._take_back(order_id, token)

    def window(self) -> Window:
        with self._lock:
            window = self._up_to_date()
            return Window(
                orders=len(window),
                orders_max=window.orders_max,
                caught_up=self._caught_up,
                behind=self._behind,
            )

    # For the one who follows the logs.

    def begin(self, history: OrderWindow, stock: Mapping[int, PartitionStock]) -> None:
        """With what stood in the logs; what was accepted meanwhile comes after it."""
        with self._lock:
            for order, partition in self._up_to_date().undecided():
                history.accepted(order, partition)
            self._window, self._stock = history, dict(stock)
            granted = self._granted(list(self._wishes))
        _call_back(granted)

    def placed(self, records: Iterable[Placed]) -> None:
        for chunk in _chunks(records):
            with self._lock:
                window = self._up_to_date()
                for order, partition, offset, accepted_at, misrouted in chunk:
                    window.placed(order, partition, offset, accepted_at, misrouted=misrouted)

    def journalled(self, partition: int, entries: Iterable[tuple[int, JournalEvent]]) -> None:
        """What counts next of that partition's journal, each with its offset."""
        for chunk in _chunks(entries):
            with self._lock:
                self._apply(self._up_to_date(), partition, chunk)
                granted = self._granted(_ids_decided(chunk)) if self._wishes else []
            _call_back(granted)

    def come_so_far(self, *, caught_up: bool, behind: int) -> None:
        with self._lock:
            self._caught_up, self._behind = caught_up, behind

    # Inside, with the lock.

    def _up_to_date(self) -> OrderWindow:
        """The window, with what was laid down taken in."""
        with suppress(IndexError):
            while True:
                self._window.accepted(*self._laid_down.popleft())
        return self._window

    def _apply(
        self, window: OrderWindow, partition: int, entries: Sequence[tuple[int, JournalEvent]]
    ) -> None:
        stock = self._stock[partition]
        for offset, event in entries:
            window.apply(event, partition, offset)
            stock.apply(event)
            stock.offset = offset

    def _granted(self, order_ids: Iterable[str]) -> list[tuple[Callback, OrderView]]:
        """The wishes for those of the orders that are decided; they are wishes no more."""
        granted: list[tuple[Callback, OrderView]] = []
        for order_id in order_ids:
            if order_id in self._wishes:
                view = self._window.order(order_id)
                if view is not None and view.status != "accepted":
                    callbacks = self._wishes.pop(order_id).values()
                    self._wishes_count -= len(callbacks)
                    granted += [(callback, view) for callback in callbacks]
        return granted

    def _take_back(self, order_id: str, token: object) -> None:
        with self._lock:
            waiting = self._wishes.get(order_id, {})
            if waiting.pop(token, None) is not None:
                self._wishes_count -= 1
                if not waiting:
                    del self._wishes[order_id]


def _ids_decided(entries: Iterable[tuple[int, JournalEvent]]) -> list[str]:
    return [event.order_id for _, event in entries if isinstance(event, InventoryReserved | InventoryFailed)]


def _call_back(granted: Iterable[tuple[Callback, OrderView]]) -> None:
    for callback, view in granted:
        try:
            callback(view)
        except Exception:
            log.exception("who waited for order %s failed when told; the others are told", view.order_id)


def _chunks(records: Iterable[_T]) -> Iterator[list[_T]]:
    """The lock is free between them, so that who asks need not wait for all."""
    iterator = iter(records)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
