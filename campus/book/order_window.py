"""The last orders that this process has seen, and what became of each: a bounded read model.

An order is seen up to three times, in any order: as accepted by the producer, as a record of order-events,
and as an entry of the journal. The journal's entry overrides the others and has all the facts, so the order
in which they are seen does not change the final view. Only the journal's own order within a partition
matters.

An order id is unique only within its partition: used for two items, it makes two orders here.
Not here: locks, and callbacks for decided orders (campus/book/order_book.py).
"""

from array import array
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from campus.book.views import OrderStatus, OrderView
from campus.domain.events import (
    CancelReason,
    CancelRejected,
    DuplicateIgnored,
    InventoryFailed,
    InventoryReserved,
    JournalEvent,
    OrderPlaced,
    OrderRerouted,
    ReservationReleased,
    StockChanged,
)
from campus.domain.order_ids import key_part

Decision: TypeAlias = InventoryReserved | InventoryFailed

# One byte per order of the window, so that orders of a status are found by a byte search.
CODES: dict[OrderStatus, int] = {"accepted": 1, "reserved": 2, "failed": 3, "cancelled": 4}
STATUSES: dict[int, OrderStatus] = {code: status for status, code in CODES.items()}
HIDDEN = 0  # a repeat of an order that was decided before the window: nothing true can be said of it

EXAMINED_MAX = 10_000  # orders per listing: a few ms


class PlacedRecord(NamedTuple):
    """An order as order-events has it. `misrouted`: its item belongs to another partition."""

    order: OrderPlaced
    partition: int
    offset: int
    accepted_at: str
    misrouted: bool


class Filters(NamedTuple):
    """What a listing is limited to; None does not limit it."""

    user_id: str | None
    item: str | None
    status: OrderStatus | None


class _Order(Struct, gc=False):
    """One order of the window. `event` is the best one seen so far: the placed order or its decision.

    `number`: its number in the window. `indexed_user`: the user of the event that was seen first, under which
    the order stays indexed. `same_id`: the next order with the same id, of another item.
    """

    number: int
    event: OrderPlaced | Decision
    partition: int
    indexed_user: str
    offset: int | None = None
    accepted_at: str | None = None
    misrouted: bool = False  # seen only in a partition that its item does not belong to
    journal_offset: int | None = None
    release: ReservationReleased | None = None
    release_offset: int | None = None
    cancel_rejected: CancelReason | None = None
    same_id: "_Order | None" = None

    @property
    def is_decided(self) -> bool:
        return not isinstance(self.event, OrderPlaced)


class OrderWindow:
    """The last `orders_max` orders, numbered as they were first seen. Rings: order n is at n % orders_max."""

    def __init__(self, orders_max: int) -> None:
        self.orders_max = orders_max
        self._first = self._next = 0  # the window has the numbers from `_first` up to before `_next`
        self._orders: list[_Order | None] = [None] * orders_max
        self._codes = bytearray(orders_max)
        self._by_id: dict[str, _Order] = {}
        self._by_key: dict[str, str] = {}
        self._restock_by_key: dict[str, str] = {}  # oldest first
        self._by_user, self._by_item = _NameIndex(orders_max), _NameIndex(orders_max)

    def __len__(self) -> int:
        return self._next - self._first

    # What is seen.

    def add_accepted(self, order: OrderPlaced, partition: int) -> None:
        """The broker has acknowledged it, in its item's partition."""
        if self._find(order.order_id, order.item) is None:
            self._add(_Order(self._next, order, partition, order.user_id))

    def add_placed(self, record: PlacedRecord) -> None:
        """It was read from order-events."""
        order, partition, offset, accepted_at, misrouted = record
        known = self._find(order.order_id, order.item)
        if known is None:
            self._add(_Order(self._next, order, partition, order.user_id, offset, accepted_at, misrouted))
        elif known.is_decided or misrouted:
            return
        elif known.misrouted or known.offset is None:  # else this is a repeat: the first record is decided
            known.event, known.partition, known.offset = order, partition, offset
            known.accepted_at, known.misrouted = accepted_at, False

    def apply(self, event: JournalEvent, partition: int, journal_offset: int) -> None:
        """The next event of that journal partition. To apply an event twice changes nothing."""
        if isinstance(event, InventoryReserved | InventoryFailed):
            self._decide(event, partition, journal_offset)
        elif isinstance(event, ReservationReleased):
            self._release(event, journal_offset)
        elif isinstance(event, CancelRejected):
            self._reject_cancel(event)
        elif isinstance(event, DuplicateIgnored):
            self._ignore_repeat(event)
        elif isinstance(event, OrderRerouted):
            self._reroute(event)
        elif isinstance(event, StockChanged):
            self._note_restock(event)

    # What is asked.

    def order(self, order_id: str) -> OrderView | None:
        """If orders of several items share the id: the one decided first, else the one seen first."""
        visible = [order for order in self._orders_with_id(order_id) if self._code(order) != HIDDEN]
        return self._view(min(visible, key=_precedence)) if visible else None

    def latest(self, filters: Filters, limit: int) -> list[OrderView]:
        """The matching orders, newest first.

        Walks one index per filter in lockstep, and stops when one is exhausted or `limit` is reached: so a
        rare user or status is found at once, whatever the other filters are. Examines at most EXAMINED_MAX
        orders: if each filter leaves more than that and hardly any order matches them all, an old match can
        be missed.
        """
        walks = self._walks(filters)
        found: list[list[OrderView]] = [[] for _ in walks]
        for _ in range(EXAMINED_MAX // len(walks)):
            for walk, views in zip(walks, found, strict=True):
                number = next(walk, None)
                if number is None:
                    return views
                order = self._at(number)
                if self._matches(order, filters):
                    views.append(self._view(order))
                    if len(views) == limit:
                        return views
        return max(found, key=len)

    def id_of_key(self, key: str) -> str | None:
        """The id of the order or restock that the key made; of several the one seen first."""
        return self._by_key.get(key) or self._restock_by_key.get(key)

    def undecided(self) -> Iterator[tuple[OrderPlaced, int]]:
        """Each order that is only accepted, with its partition, oldest first."""
        for number in range(self._first, self._next):
            order = self._at(number)
            if isinstance(order.event, OrderPlaced) and self._code(order) != HIDDEN:
                yield order.event, order.partition

    # The events of the journal.

    def _decide(self, decision: Decision, partition: int, journal_offset: int) -> None:
        order = self._find(decision.order_id, decision.item)
        if order is None:
            order = _Order(self._next, decision, partition, decision.user_id)
            self._add(order)
        elif order.is_decided:  # applied twice; or inventory forgot it and decided again: the first stands
            return
        order.event, order.partition, order.journal_offset = decision, partition, journal_offset
        # decided_at is the append time of the order-events record, so accepted_at is the same.
        order.offset, order.accepted_at = decision.source_offset, decision.decided_at
        order.misrouted = False
        self._set_status(order, "reserved" if isinstance(decision, InventoryReserved) else "failed")

    def _release(self, event: ReservationReleased, journal_offset: int) -> None:
        order = self._find(event.order_id, event.item)
        if order is not None and order.is_decided and order.release is None:
            order.release, order.release_offset = event, journal_offset
            self._set_status(order, "cancelled")

    def _reject_cancel(self, event: CancelRejected) -> None:
        """If the order is undecided, the cancellation came too early and does not affect it."""
        order = self._find(event.order_id, event.item)
        if order is not None and order.is_decided:
            order.cancel_rejected = event.reason

    def _ignore_repeat(self, event: DuplicateIgnored) -> None:
        """If it is undecided here, the original lies before the window: better unknown than undecided."""
        order = self._find(event.repeated_id, event.item) if event.repeated_type == "OrderPlaced" else None
        if order is not None and not order.is_decided:
            self._codes[order.number % self.orders_max] = HIDDEN

    def _reroute(self, event: OrderRerouted) -> None:
        order = self._find(event.rerouted_id, event.item) if event.rerouted_type == "OrderPlaced" else None
        if order is not None and order.misrouted:
            order.partition, order.offset, order.misrouted = event.to_partition, None, False

    def _note_restock(self, event: StockChanged) -> None:
        if (key := key_part(event.event_id)) is None:
            return
        self._restock_by_key.setdefault(key, event.event_id)
        if len(self._restock_by_key) > self.orders_max:
            del self._restock_by_key[next(iter(self._restock_by_key))]

    # The window and its indexes.

    def _add(self, order: _Order) -> None:
        number, order_id = order.number, order.event.order_id
        if number - self._first == self.orders_max:
            self._drop(self._at(self._first))
        self._orders[number % self.orders_max] = order
        self._codes[number % self.orders_max] = CODES["accepted"]
        order.same_id = self._by_id.get(order_id)
        self._by_id[order_id] = order
        if (key := key_part(order_id)) is not None:
            self._by_key.setdefault(key, order_id)
        self._by_user.add(order.indexed_user, number)
        self._by_item.add(order.event.item, number)
        self._next += 1

    def _drop(self, oldest: _Order) -> None:
        self._first += 1
        self._by_user.drop(oldest.indexed_user, oldest.number)
        self._by_item.drop(oldest.event.item, oldest.number)
        order_id = oldest.event.order_id
        if self._by_id[order_id] is not oldest:
            *_, last_but_one, _ = self._orders_with_id(order_id)
            last_but_one.same_id = None
            return
        del self._by_id[order_id]
        key = key_part(order_id)
        if key is not None and self._by_key.get(key) == order_id:
            del self._by_key[key]

    def _find(self, order_id: str, item: str) -> _Order | None:
        order = self._by_id.get(order_id)
        while order is not None and order.event.item != item:
            order = order.same_id
        return order

    def _orders_with_id(self, order_id: str) -> Iterator[_Order]:
        """Newest first."""
        order = self._by_id.get(order_id)
        while order is not None:
            yield order
            order = order.same_id

    def _at(self, number: int) -> _Order:
        order = self._orders[number % self.orders_max]
        assert order is not None
        return order

    def _code(self, order: _Order) -> int:
        return self._codes[order.number % self.orders_max]

    def _set_status(self, order: _Order, status: OrderStatus) -> None:
        self._codes[order.number % self.orders_max] = CODES[status]

    def _walks(self, filters: Filters) -> list[Iterator[int]]:
        """For each filter, the numbers of the orders that match it, newest first."""
        user_id, item, status = filters
        walks: list[Iterator[int]] = []
        if user_id is not None:
            walks.append(self._by_user.walk(user_id, self._first))
        if item is not None:
            walks.append(self._by_item.walk(item, self._first))
        if status is not None:
            walks.append(self._with_code(CODES[status]))
        return walks or [iter(range(self._next - 1, self._first - 1, -1))]

    def _matches(self, order: _Order, filters: Filters) -> bool:
        code, event = self._code(order), order.event
        return (
            code != HIDDEN
            and filters.user_id in (None, event.user_id)
            and filters.item in (None, event.item)
            and filters.status in (None, STATUSES[code])
        )

    def _with_code(self, code: int) -> Iterator[int]:
        """Searches the bytes backwards. The ring is two pieces: the newer one is searched first."""
        wrap = self._next - self._next % self.orders_max
        for first, end in ((max(wrap, self._first), self._next), (self._first, wrap)):
            start, index = first % self.orders_max, (end - 1) % self.orders_max + 1
            while first < end and (index := self._codes.rfind(code, start, index)) >= 0:
                yield first + index - start

    def _view(self, order: _Order) -> OrderView:
        event, release = order.event, order.release
        decision = None if isinstance(event, OrderPlaced) else event
        last = release or decision
        return OrderView(
            order_id=event.order_id,
            status=STATUSES[self._code(order)],
            user_id=event.user_id,
            item=event.item,
            quantity=event.quantity,
            placed_at=event.placed_at,
            accepted_at=order.accepted_at,
            decided_at=decision.decided_at if decision else None,
            cancelled_at=release.decided_at if release else None,
            reason=decision.reason if isinstance(decision, InventoryFailed) else None,
            cancel_rejected=None if release else order.cancel_rejected,
            remaining=last.remaining if last else None,
            partition=order.partition,
            offset=order.offset,
            journal_offset=order.release_offset if release else order.journal_offset,
            seq=last.seq if last else None,
        )


class _NameIndex:
    """The orders of each user or item, as a linked list through one array: number -> previous number."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: dict[str, int] = {}
        self._previous = array("q", (-1,)) * size

    def add(self, name: str, number: int) -> None:
        self._previous[number % self._size] = self._last.get(name, -1)
        self._last[name] = number

    def drop(self, name: str, number: int) -> None:
        if self._last.get(name) == number:
            del self._last[name]

    def walk(self, name: str, first: int) -> Iterator[int]:
        """The numbers of the name, newest first, down to `first`; older slots have been reused."""
        number = self._last.get(name, -1)
        while number >= first:
            yield number
            number = self._previous[number % self._size]


def _precedence(order: _Order) -> tuple[bool, str, int]:
    event = order.event
    if isinstance(event, OrderPlaced):
        return True, "", order.number
    return False, event.decided_at, order.partition
