"""The order book that roles share: one thread writes it from the logs, any thread may ask it.

Orders that the producer has an acknowledgement for are only queued here, and the next reader takes them in:
so taking an order waits for no lock. The lock is held for at most a few hundred records, or for the queued
orders, and never during a callback.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TypeAlias, TypeVar

from campus.book.order_window import Decision, OrderWindow, PlacedRecord
from campus.book.stock_levels import StockLevels
from campus.book.views import BookWindow, OrderView, StockView
from campus.domain.events import JournalEvent, OrderPlaced

CHUNK_RECORDS = 256  # written under one lock, while readers wait

OnDecided: TypeAlias = Callable[[OrderView], None]

_T = TypeVar("_T")

log = logging.getLogger("book")


class OrderBook:
    """`caught_up`, `behind`: see BookWindow; only the projector sets them."""

    def __init__(self, *, orders_max: int) -> None:
        self.orders_max = orders_max
        self.caught_up, self.behind = False, 0
        self._lock = threading.Lock()  # guards the window, the stock and the waiters
        self._window = OrderWindow(orders_max)
        self._stock: dict[int, StockLevels] = {}
        self._waiters: dict[str, dict[object, OnDecided]] = {}  # by order id
        # If no reader comes, the oldest are dropped: the projector reads them from the log as well.
        self._pending: deque[tuple[OrderPlaced, int]] = deque(maxlen=orders_max)

    # For the API.

    def accepted(self, order: OrderPlaced, partition: int) -> None:
        """Make an acknowledged order known at once, before it is read from the log. Takes no lock."""
        self._pending.append((order, partition))

    def order(self, order_id: str) -> OrderView | None:
        """If orders of several items share the id: the one that was decided first."""
        with self._lock:
            return self._updated_window().order(order_id)

    def latest(self, *, limit: int, **filters: str) -> list[OrderView]:
        """Newest first: in the order in which this process saw them; those from before its start by time.

        `filters`: values of `user_id`, `item` and `status`.
        """
        with self._lock:
            return self._updated_window().latest(filters, limit)

    def stock(self) -> list[StockView]:
        """Sorted by item."""
        with self._lock:
            views = [
                StockView(
                    item=item,
                    remaining=remaining,
                    reserved=levels.added.get(item, 0) - remaining,
                    partition=partition,
                    as_of_offset=levels.offset,
                    as_of_seq=levels.seq,
                )
                for partition, levels in self._stock.items()
                for item, remaining in levels.remaining.items()
            ]
        return sorted(views, key=lambda view: view.item)

    def id_of_key(self, key_part: str) -> str | None:
        """The id that this idempotency key made, if the window has it; of several the one seen first."""
        with self._lock:
            return self._updated_window().id_of_key(key_part)

    def when_decided(self, order_id: str, callback: OnDecided) -> Callable[[], None]:
        """Call back once: now if the order is decided, else when it is, on the thread that reads the logs.

        The returned function cancels the callback; it may be called at any time. An order may never come: so
        callers need a timeout of their own, and a limit on how many wait.
        """
        token = object()
        with self._lock:
            self._updated_window()
            self._waiters.setdefault(order_id, {})[token] = callback
            resolved = self._resolved([order_id])
        _call_back(resolved)
        return lambda: self._remove_waiter(order_id, token)

    def window(self) -> BookWindow:
        with self._lock:
            orders = len(self._updated_window())
        return BookWindow(
            orders=orders, orders_max=self.orders_max, caught_up=self.caught_up, behind=self.behind
        )

    # For the projector.

    def load(self, history: OrderWindow, stock: Mapping[int, StockLevels]) -> None:
        """Start from what was in the logs; orders that were accepted meanwhile are added after it."""
        with self._lock:
            history.add_undecided(self._updated_window())
            self._window, self._stock = history, dict(stock)
            resolved = self._resolved(list(self._waiters))
        _call_back(resolved)

    def add_placed(self, records: Iterable[PlacedRecord]) -> None:
        for chunk in _chunks(records):
            with self._lock:
                window = self._updated_window()
                for record in chunk:
                    window.add_placed(record)

    def apply_journal(self, partition: int, events: Iterable[tuple[int, JournalEvent]]) -> None:
        """Apply the next events that count in a journal partition, each with its offset."""
        for chunk in _chunks(events):
            with self._lock:
                window, levels = self._updated_window(), self._stock[partition]
                for offset, event in chunk:
                    window.apply(event, partition, offset)
                    levels.apply(event)
                    levels.offset = offset
                decided = (event.order_id for _, event in chunk if isinstance(event, Decision))
                resolved = self._resolved(decided) if self._waiters else []
            _call_back(resolved)

    # With the lock held.

    def _updated_window(self) -> OrderWindow:
        """The window, after the pending orders were added to it."""
        with suppress(IndexError):
            while True:
                self._window.add_accepted(*self._pending.popleft())
        return self._window

    def _resolved(self, order_ids: Iterable[str]) -> list[tuple[OnDecided, OrderView]]:
        """Remove and return the waiters of those orders that are decided."""
        resolved: list[tuple[OnDecided, OrderView]] = []
        for order_id in order_ids:
            view = self._window.order(order_id) if order_id in self._waiters else None
            if view is not None and view.status != "accepted":
                resolved += [(callback, view) for callback in self._waiters.pop(order_id).values()]
        return resolved

    def _remove_waiter(self, order_id: str, token: object) -> None:
        with self._lock:
            waiters = self._waiters.get(order_id, {})
            waiters.pop(token, None)
            if not waiters:
                self._waiters.pop(order_id, None)


def _call_back(resolved: Iterable[tuple[OnDecided, OrderView]]) -> None:
    for callback, view in resolved:
        try:
            callback(view)
        except Exception:
            log.exception(
                "a callback for order %s failed; the other callbacks are still called", view.order_id
            )


def _chunks(records: Iterable[_T]) -> Iterator[list[_T]]:
    """The lock is free between chunks, so that a reader does not wait for all records."""
    iterator = iter(records)
    while chunk := list(islice(iterator, CHUNK_RECORDS)):
        yield chunk
