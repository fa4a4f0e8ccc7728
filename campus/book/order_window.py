"""The orders that this process has heard of lately, and what became of each: a read model, bounded.

It hears of an order up to three times, in any order: the producer has the broker's word for it, it stands
in order-events, the journal decides it. What the journal says is the last word, and says it all; so whoever
was heard first, in the end the view is the same. Only the journal's own order matters, within a partition.

An order id is unique within its partition only. Used for two items, it is two orders here.
Not here: locks and who waits for an outcome (campus/book/order_book.py).
"""

from array import array
from collections.abc import Iterator
from typing import TypeAlias

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

# A mark is a byte for each order of the window, so that those of a status are found without looking at all.
MARKS: dict[OrderStatus, int] = {"accepted": 1, "reserved": 2, "failed": 3, "cancelled": 4}
STATUSES: dict[int, OrderStatus] = {mark: status for status, mark in MARKS.items()}
LOOKS_MAX = 10_000  # of one listing: a few ms

HIDDEN = 0  # a repeat of an order that was decided before what we know: nothing true can be said of it


class _Order(Struct, gc=False):
    """One order of the window: its number there, the facts, and another item's order with the same id.

    `filed_user` is who was said to have ordered when it was first heard of; the trails know no other.
    """

    number: int
    fact: OrderPlaced | Decision
    partition: int
    filed_user: str
    offset: int | None = None
    accepted_at: str | None = None
    misrouted: bool = False  # seen only in a partition that its item does not belong to
    journal_offset: int | None = None
    release: ReservationReleased | None = None
    release_offset: int | None = None
    cancel_rejected: CancelReason | None = None
    namesake: "_Order | None" = None

    @property
    def is_decided(self) -> bool:
        return not isinstance(self.fact, OrderPlaced)


class OrderWindow:
    """The last `orders_max` orders, numbered as they were first heard of; n stands at n % orders_max."""

    def __init__(self, orders_max: int) -> None:
        self.orders_max = orders_max
        self._first = self._next = 0  # the numbers in the window are those between
        self._orders: list[_Order | None] = [None] * orders_max
        self._marks = bytearray(orders_max)
        self._by_id: dict[str, _Order] = {}
        self._by_key: dict[str, str] = {}
        self._restock_by_key: dict[str, str] = {}  # the oldest first
        self._users, self._items = _Indexes(orders_max), _Indexes(orders_max)

    def __len__(self) -> int:
        return self._next - self._first

    # What is heard.

    def accepted(self, order: OrderPlaced, partition: int) -> None:
        """The broker has it, in its item's partition."""
        if self._find(order.order_id, order.item) is None:
            self._add(_Order(self._next, order, partition, order.user_id))

    def placed(
        self, order: OrderPlaced, partition: int, offset: int, accepted_at: str, *, misrouted: bool
    ) -> None:
        """It stands in order-events. `misrouted`: its item belongs to another partition."""
        known = self._find(order.order_id, order.item)
        if known is None:
            self._add(_Order(self._next, order, partition, order.user_id, offset, accepted_at, misrouted))
        elif known.is_decided or misrouted:
            return
        elif known.misrouted or known.offset is None:  # else this is a repeat: the first is decided
            known.fact, known.partition, known.offset = order, partition, offset
            known.accepted_at, known.misrouted = accepted_at, False

    def apply(self, event: JournalEvent, partition: int, journal_offset: int) -> None:
        """The next entry of that partition's journal. To hear an entry again changes nothing."""
        if isinstance(event, InventoryReserved | InventoryFailed):
            self._decide(event, partition, journal_offset)
        elif isinstance(event, ReservationReleased):
            self._release(event, journal_offset)
        elif isinstance(event, CancelRejected):
            self._keep(event)
        elif isinstance(event, DuplicateIgnored):
            self._ignore(event)
        elif isinstance(event, OrderRerouted):
            self._move(event)
        elif isinstance(event, StockChanged):
            self._note_restock(event)

    # What is asked.

    def order(self, order_id: str) -> OrderView | None:
        """Of an id that several items' orders have: the one decided first; else the one heard of first."""
        told = [order for order in self._namesakes(order_id) if self._mark(order) != HIDDEN]
        return self._view(min(told, key=_precedence)) if told else None

    def latest(
        self, *, user_id: str | None, item: str | None, status: OrderStatus | None, limit: int
    ) -> list[OrderView]:
        """The last heard of first.

        What one filter leaves is gone through beside what each other one leaves, until the first of them has
        the answer: so a name or a status that is rare is found at once, whatever the others are. No more than
        LOOKS_MAX orders are looked at; of filters that each leave more than that, and hardly any together,
        an old match can be missed.
        """
        ways = self._ways(user_id, item, status)
        found: list[list[OrderView]] = [[] for _ in ways]
        for _ in range(LOOKS_MAX // len(ways)):
            for way, views in zip(ways, found, strict=True):
                number = next(way, None)
                if number is None:
                    return views
                order = self._at(number)
                if self._fits(order, user_id, item, status):
                    views.append(self._view(order))
                    if len(views) == limit:
                        return views
        return max(found, key=len)

    def id_of_key(self, key: str) -> str | None:
        """Of the order or restock that the key has made; of several, the one heard of first."""
        return self._by_key.get(key) or self._restock_by_key.get(key)

    def undecided(self) -> Iterator[tuple[OrderPlaced, int]]:
        """Each order that is only accepted, and its partition; the first heard of first."""
        for number in range(self._first, self._next):
            order = self._at(number)
            if isinstance(order.fact, OrderPlaced) and self._mark(order) != HIDDEN:
                yield order.fact, order.partition

    # Inside.

    def _decide(self, decision: Decision, partition: int, journal_offset: int) -> None:
        order = self._find(decision.order_id, decision.item)
        if order is None:
            order = _Order(self._next, decision, partition, decision.user_id)
            self._add(order)
        elif order.is_decided:  # heard again; or forgotten by inventory and decided anew: the first stands
            return
        order.fact, order.partition, order.journal_offset = decision, partition, journal_offset
        # The journal's time is that of the record's append, so this is what order-events would tell.
        order.offset, order.accepted_at = decision.source_offset, decision.decided_at
        order.misrouted = False
        self._set_mark(order, "reserved" if isinstance(decision, InventoryReserved) else "failed")

    def _release(self, event: ReservationReleased, journal_offset: int) -> None:
        order = self._find(event.order_id, event.item)
        if order is not None and order.is_decided and order.release is None:
            order.release, order.release_offset = event, journal_offset
            self._set_mark(order, "cancelled")

    def _keep(self, event: CancelRejected) -> None:
        """Of an order that is not decided the wish came too early, and says nothing about it."""
        order = self._find(event.order_id, event.item)
        if order is not None and order.is_decided:
            order.cancel_rejected = event.reason

    def _ignore(self, event: DuplicateIgnored) -> None:
        """Mostly we know the order that was repeated, and nothing changes. If not, its outcome lies before
        all that we have heard: then it is better not to know the order than to call it undecided."""
        order = self._find(event.repeated_id, event.item) if event.repeated_type == "OrderPlaced" else None
        if order is not None and not order.is_decided:
            self._marks[order.number % self.orders_max] = HIDDEN

    def _move(self, event: OrderRerouted) -> None:
        order = self._find(event.rerouted_id, event.item) if event.rerouted_type == "OrderPlaced" else None
        if order is not None and order.misrouted:
            order.partition, order.offset, order.misrouted = event.to_partition, None, False

    def _note_restock(self, event: StockChanged) -> None:
        if (key := key_part(event.event_id)) is None:
            return
        self._restock_by_key.setdefault(key, event.event_id)
        if len(self._restock_by_key) > self.orders_max:
            del self._restock_by_key[next(iter(self._restock_by_key))]

    def _add(self, order: _Order) -> None:
        number, order_id = order.number, order.fact.order_id
        if number - self._first == self.orders_max:
            self._forget(self._at(self._first))
        self._orders[number % self.orders_max] = order
        self._marks[number % self.orders_max] = MARKS["accepted"]
        order.namesake = self._by_id.get(order_id)
        self._by_id[order_id] = order
        if (key := key_part(order_id)) is not None:
            self._by_key.setdefault(key, order_id)
        self._users.add(order.filed_user, number)
        self._items.add(order.fact.item, number)
        self._next += 1

    def _forget(self, oldest: _Order) -> None:
        self._first += 1
        self._users.forget(oldest.filed_user, oldest.number)
        self._items.forget(oldest.fact.item, oldest.number)
        order_id = oldest.fact.order_id
        if self._by_id[order_id] is not oldest:
            *_, last_but_one, _ = self._namesakes(order_id)
            last_but_one.namesake = None
            return
        del self._by_id[order_id]
        key = key_part(order_id)
        if key is not None and self._by_key.get(key) == order_id:
            del self._by_key[key]

    def _find(self, order_id: str, item: str) -> _Order | None:
        order = self._by_id.get(order_id)
        while order is not None and order.fact.item != item:
            order = order.namesake
        return order

    def _namesakes(self, order_id: str) -> Iterator[_Order]:
        order = self._by_id.get(order_id)
        while order is not None:
            yield order
            order = order.namesake

    def _at(self, number: int) -> _Order:
        order = self._orders[number % self.orders_max]
        assert order is not None
        return order

    def _mark(self, order: _Order) -> int:
        return self._marks[order.number % self.orders_max]

    def _set_mark(self, order: _Order, status: OrderStatus) -> None:
        self._marks[order.number % self.orders_max] = MARKS[status]

    def _ways(self, user_id: str | None, item: str | None, status: OrderStatus | None) -> list[Iterator[int]]:
        """For each filter the numbers of all orders that it leaves, newest first."""
        ways: list[Iterator[int]] = []
        if user_id is not None:
            ways.append(self._users.back(user_id, self._first))
        if item is not None:
            ways.append(self._items.back(item, self._first))
        if status is not None:
            ways.append(self._marked(MARKS[status]))
        return ways or [iter(range(self._next - 1, self._first - 1, -1))]

    def _fits(self, order: _Order, user_id: str | None, item: str | None, status: OrderStatus | None) -> bool:
        mark, fact = self._mark(order), order.fact
        return (
            mark != HIDDEN
            and (status is None or mark == MARKS[status])
            and (user_id is None or fact.user_id == user_id)
            and (item is None or fact.item == item)
        )

    def _marked(self, mark: int) -> Iterator[int]:
        """Searched as bytes: the window wraps round, so it is two pieces, the newer one first."""
        wrap = self._next - self._next % self.orders_max
        for first, after in ((max(wrap, self._first), self._next), (self._first, wrap)):
            start, at = first % self.orders_max, (after - 1) % self.orders_max + 1
            while first < after and (at := self._marks.rfind(mark, start, at)) >= 0:
                yield first + at - start

    def _view(self, order: _Order) -> OrderView:
        fact, release = order.fact, order.release
        decision = None if isinstance(fact, OrderPlaced) else fact
        last = release or decision
        return OrderView(
            order_id=fact.order_id,
            status=STATUSES[self._mark(order)],
            user_id=fact.user_id,
            item=fact.item,
            quantity=fact.quantity,
            placed_at=fact.placed_at,
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


class _Indexes:
    """Of each name the number it was last seen at, and of each number where its name was seen before."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: dict[str, int] = {}
        self._before = array("q", (-1,)) * size

    def add(self, name: str, number: int) -> None:
        self._before[number % self._size] = self._last.get(name, -1)
        self._last[name] = number

    def forget(self, name: str, number: int) -> None:
        if self._last.get(name) == number:
            del self._last[name]

    def back(self, name: str, first: int) -> Iterator[int]:
        """The numbers of the name, newest first, down to `first`: what is older is another's by now."""
        number = self._last.get(name, -1)
        while number >= first:
            yield number
            number = self._before[number % self._size]


def _precedence(order: _Order) -> tuple[bool, str, int]:
    fact = order.fact
    return (
        (True, "", order.number)
        if isinstance(fact, OrderPlaced)
        else (False, fact.decided_at, order.partition)
    )
