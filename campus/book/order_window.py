"""The last orders that this process has seen, and what became of each: a bounded read model.

An order is seen up to three times, in any order: as accepted by the producer, as a record of order-events,
and as an entry of the journal. The journal's entry overrides the others and has all the facts, so the order
in which they are seen does not change the final view. Only the journal's own order within a partition
matters.

An order id is unique only within its partition: used for two items, it makes two orders here.
Not here: locks, and callbacks for decided orders (campus/book/order_book.py).
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from campus.book.views import OrderView
from campus.domain.events import (
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

INDEXED = ("order_id", "user_id", "item")  # fields of a view
# One byte per order of the window, so that orders of a status are found by a byte search.
CODES = {"accepted": 1, "reserved": 2, "failed": 3, "cancelled": 4}
HIDDEN = 0  # a repeat of an order that was decided before the window: nothing true can be said of it

# Every field is None. To `replace` what is known takes 0.2 µs, to call OrderView with all fields 1 µs.
UNKNOWN = OrderView(**dict.fromkeys(OrderView.__struct_fields__))  # type: ignore[arg-type]

EXAMINED_MAX = 10_000  # orders per listing: a few ms


class PlacedRecord(NamedTuple):
    """An order as order-events has it. `misrouted`: its item belongs to another partition."""

    order: OrderPlaced
    partition: int
    offset: int
    accepted_at: str
    misrouted: bool


class _Order(Struct, gc=False):
    """One order of the window.

    `number`: its number in the window. `indexed_user`: its user when it was first seen, under which it stays
    indexed. `older`: for each of the INDEXED fields, the number of the order before it with the same value.
    `misrouted`: seen only in a partition that its item does not belong to.
    """

    number: int
    view: OrderView
    indexed_user: str
    older: tuple[int, int, int]
    misrouted: bool

    @property
    def is_decided(self) -> bool:
        return self.view.decided_at is not None


class OrderWindow:
    """The last `orders_max` orders, numbered as they were first seen. Rings: order n is at n % orders_max."""

    def __init__(self, orders_max: int) -> None:
        self.orders_max = orders_max
        self._first = self._next = 0  # the window has the numbers from `_first` up to before `_next`
        self._orders: list[_Order | None] = [None] * orders_max
        self._codes = bytearray(orders_max)
        self._newest: tuple[dict[str, int], ...] = tuple({} for _ in INDEXED)  # numbers by value
        self._id_by_key: dict[str, str] = {}
        self._restock_by_key: dict[str, str] = {}  # oldest first

    def __len__(self) -> int:
        return self._next - self._first

    # What is seen.

    def add_accepted(self, order: OrderPlaced, partition: int) -> None:
        """The broker has acknowledged it, in its item's partition."""
        if self._find(order.order_id, order.item) is None:
            self._add(_accepted(order, partition))

    def add_placed(self, record: PlacedRecord) -> None:
        """It was read from order-events."""
        known = self._find(record.order.order_id, record.order.item)
        if known is None:
            self._add(_accepted(*record[:4]), misrouted=record.misrouted)
        elif known.is_decided or record.misrouted:
            return
        elif known.misrouted or known.view.offset is None:  # else a repeat: the first record is decided
            known.view, known.misrouted = _accepted(*record[:4]), False

    def add_undecided(self, older: "OrderWindow") -> None:
        """Add the orders of another window that are only accepted, oldest first."""
        for order in reversed([*older._with_status("accepted")]):
            if self._find(order.view.order_id, order.view.item) is None:
                self._add(order.view)

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
        visible = [order for order in self._with("order_id", order_id) if not self._is_hidden(order)]
        return min(visible, key=_precedence).view if visible else None

    def latest(self, filters: Mapping[str, str], limit: int) -> list[OrderView]:
        """The orders that have these values in their views, newest first.

        Walks one index per filter in lockstep, and stops when one is exhausted or `limit` is reached: so a
        rare user or status is found at once, whatever the other filters are. Examines at most EXAMINED_MAX
        orders: if each filter leaves more than that and hardly any order matches them all, an old match can
        be missed.
        """
        walks = [
            self._with_status(value) if field == "status" else self._with(field, value)
            for field, value in filters.items()
        ] or [map(self._at, range(self._next - 1, self._first - 1, -1))]
        found: list[list[OrderView]] = [[] for _ in walks]
        for _ in range(EXAMINED_MAX // len(walks)):
            for walk, views in zip(walks, found, strict=True):
                order = next(walk, None)
                if order is None:
                    return views
                view = order.view
                is_match = all(getattr(view, field) == value for field, value in filters.items())
                if is_match and not self._is_hidden(order):
                    views.append(view)
                    if len(views) == limit:
                        return views
        return max(found, key=len)

    def id_of_key(self, key: str) -> str | None:
        """The id of the order or restock that the key made; of several the one seen first."""
        return self._id_by_key.get(key) or self._restock_by_key.get(key)

    # The events of the journal.

    def _decide(self, decision: Decision, partition: int, journal_offset: int) -> None:
        order = self._find(decision.order_id, decision.item)
        if order is not None and order.is_decided:
            return  # applied twice; or inventory forgot it and decided again: the first stands
        view = replace(
            UNKNOWN,
            order_id=decision.order_id,
            status="reserved" if isinstance(decision, InventoryReserved) else "failed",
            user_id=decision.user_id,
            item=decision.item,
            quantity=decision.quantity,
            placed_at=decision.placed_at,
            # decided_at is the append time of the order-events record, so accepted_at is the same.
            accepted_at=decision.decided_at,
            decided_at=decision.decided_at,
            reason=decision.reason if isinstance(decision, InventoryFailed) else None,
            remaining=decision.remaining,
            partition=partition,
            offset=decision.source_offset,
            journal_offset=journal_offset,
            seq=decision.seq,
        )
        if order is None:
            self._add(view)
        else:
            self._set_view(order, view)
            order.misrouted = False

    def _release(self, event: ReservationReleased, journal_offset: int) -> None:
        order = self._find(event.order_id, event.item)
        if order is not None and order.is_decided and order.view.cancelled_at is None:
            view = replace(
                order.view,
                status="cancelled",
                cancelled_at=event.decided_at,
                cancel_rejected=None,
                remaining=event.remaining,
                journal_offset=journal_offset,
                seq=event.seq,
            )
            self._set_view(order, view)

    def _reject_cancel(self, event: CancelRejected) -> None:
        """If the order is undecided, the cancellation came too early and does not affect it."""
        order = self._find(event.order_id, event.item)
        if order is not None and order.is_decided and order.view.cancelled_at is None:
            order.view = replace(order.view, cancel_rejected=event.reason)

    def _ignore_repeat(self, event: DuplicateIgnored) -> None:
        """If it is undecided here, the original lies before the window: better unknown than undecided."""
        order = self._find(event.repeated_id, event.item) if event.repeated_type == "OrderPlaced" else None
        if order is not None and not order.is_decided:
            self._codes[order.number % self.orders_max] = HIDDEN

    def _reroute(self, event: OrderRerouted) -> None:
        order = self._find(event.rerouted_id, event.item) if event.rerouted_type == "OrderPlaced" else None
        if order is not None and order.misrouted:
            order.view = replace(order.view, partition=event.to_partition, offset=None)
            order.misrouted = False

    def _note_restock(self, event: StockChanged) -> None:
        if (key := key_part(event.event_id)) is None:
            return
        self._restock_by_key.setdefault(key, event.event_id)
        if len(self._restock_by_key) > self.orders_max:
            del self._restock_by_key[next(iter(self._restock_by_key))]

    # The window and its indexes.

    def _add(self, view: OrderView, *, misrouted: bool = False) -> None:
        number = self._next
        if number - self._first == self.orders_max:
            self._drop_oldest()
        order_id, user_id, item = view.order_id, view.user_id, view.item
        by_id, by_user, by_item = self._newest
        older = (by_id.get(order_id, -1), by_user.get(user_id, -1), by_item.get(item, -1))
        by_id[order_id] = by_user[user_id] = by_item[item] = number
        self._orders[number % self.orders_max] = _Order(number, view, user_id, older, misrouted)
        self._codes[number % self.orders_max] = CODES[view.status]
        self._next += 1
        if (key := key_part(order_id)) is not None:
            self._id_by_key.setdefault(key, order_id)

    def _drop_oldest(self) -> None:
        oldest = self._at(self._first)
        self._first += 1
        order_id = oldest.view.order_id
        indexed = (order_id, oldest.indexed_user, oldest.view.item)
        for newest, value in zip(self._newest, indexed, strict=True):
            if newest[value] == oldest.number:
                del newest[value]
        key = key_part(order_id)
        if key and self._id_by_key.get(key) == order_id and not any(self._with("order_id", order_id)):
            del self._id_by_key[key]

    def _set_view(self, order: _Order, view: OrderView) -> None:
        order.view = view
        self._codes[order.number % self.orders_max] = CODES[view.status]

    def _find(self, order_id: str, item: str) -> _Order | None:
        number = self._newest[0].get(order_id, -1)
        while number >= self._first:  # not `_with`: a generator takes eight times as long, 1.2 µs
            order = self._at(number)
            if order.view.item == item:
                return order
            number = order.older[0]
        return None

    def _with(self, field: str, value: str) -> Iterator[_Order]:
        """The orders that were first seen with this value in an INDEXED field, newest first."""
        index = INDEXED.index(field)
        number = self._newest[index].get(value, -1)
        while number >= self._first:
            order = self._at(number)
            yield order
            number = order.older[index]

    def _with_status(self, status: str) -> Iterator[_Order]:
        """Searches the bytes backwards. The ring is two pieces: the newer one is searched first."""
        wrap = self._next - self._next % self.orders_max
        for first, end in ((max(wrap, self._first), self._next), (self._first, wrap)):
            start, index = first % self.orders_max, (end - 1) % self.orders_max + 1
            while first < end and (index := self._codes.rfind(CODES[status], start, index)) >= 0:
                yield self._at(first + index - start)

    def _at(self, number: int) -> _Order:
        order = self._orders[number % self.orders_max]
        assert order is not None
        return order

    def _is_hidden(self, order: _Order) -> bool:
        return self._codes[order.number % self.orders_max] == HIDDEN


def _accepted(
    order: OrderPlaced, partition: int, offset: int | None = None, accepted_at: str | None = None
) -> OrderView:
    return replace(
        UNKNOWN,
        order_id=order.order_id,
        status="accepted",
        user_id=order.user_id,
        item=order.item,
        quantity=order.quantity,
        placed_at=order.placed_at,
        accepted_at=accepted_at,
        partition=partition,
        offset=offset,
    )


def _precedence(order: _Order) -> tuple[bool, str, int]:
    if order.view.decided_at is None:
        return True, "", order.number
    return False, order.view.decided_at, order.view.partition
