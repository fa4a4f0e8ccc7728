"""One partition's stock as a fold of the journal: `decide` changes nothing, `apply` checks no rule.

The only way forward is to decide a record and apply its entry; restoring is applying alone. Both depend only
on the logs (no clock, no randomness, no I/O), so deciding the same records again gives the same entries, byte
for byte.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from campus.domain.codec import ConsumerRecord, Undecodable, decode_input
from campus.domain.events import (
    CancelReason,
    CancelRejected,
    DuplicateIgnored,
    Entry,
    FailReason,
    Input,
    InventoryFailed,
    InventoryReserved,
    JournalEvent,
    OrderCancelled,
    OrderDeadLettered,
    OrderPlaced,
    OrderRerouted,
    OwnerClaimed,
    ReservationReleased,
    StockAdded,
    StockChanged,
    type_and_id,
)
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc, ms_of
from campus.inventory.dedupe_window import WINDOW_ORDERS_DEFAULT, DedupeWindow, Reservation, WindowState

DEAD_LETTER_BYTES_MAX = 64 * 1024
ORIGIN_HEADER = "origin-partition-offset"
ORIGIN_TIME_HEADER = "origin-time-ms"


@dataclass(frozen=True, slots=True)
class SideOutput:
    """A record to append to another log."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Reroute(SideOutput):
    """To the partition of order-events that the record's item belongs to."""


class DeadLetter(SideOutput):
    """To the dead letters: an undecodable record, as it came."""


class LedgerState(Struct, frozen=True):
    """A ledger's state in a snapshot; its fields and their order are a record format.

    The window refers to items by their index in `stock`, so the order of `stock` is part of the state.
    """

    partitions: int
    seq: int
    next_offset: int
    stock: dict[str, int]
    added: dict[str, int]
    opened: list[str]
    window: WindowState


class StockLedger:
    def __init__(self, partition: int, partitions: int) -> None:
        self.partition, self.partitions = partition, partitions
        self.seq = 0
        self.next_offset = 0
        self.stock: dict[str, int] = {}
        self.added: dict[str, int] = {}  # everything that was ever added, opening stock included
        self.opened: set[str] = set()  # items that had their opening stock
        self._numbers: dict[str, int] = {}  # the index of each item in `stock`
        self.window = DedupeWindow(WINDOW_ORDERS_DEFAULT)

    def state(self) -> bytes:
        """Everything that the next decision depends on, as the bytes of a LedgerState."""
        opened, window = sorted(self.opened), self.window.state()
        return msgspec.msgpack.encode(
            LedgerState(self.partitions, self.seq, self.next_offset, self.stock, self.added, opened, window)
        )

    @classmethod
    def from_state(cls, partition: int, partitions: int, state: bytes) -> "StockLedger":
        """Raises ValueError if the bytes are not the state of a ledger with this partition count."""
        try:
            stored = msgspec.msgpack.decode(state, type=LedgerState)
            window = DedupeWindow.from_state(stored.window)
        except (msgspec.MsgspecError, zlib.error) as fault:
            raise ValueError(str(fault)) from fault
        if stored.partitions != partitions:
            raise ValueError(f"it was written for {stored.partitions} partitions, there are {partitions}")
        ledger = cls(partition, partitions)
        ledger.seq, ledger.next_offset = stored.seq, stored.next_offset
        ledger.stock, ledger.added = stored.stock, stored.added
        ledger.opened, ledger.window = set(stored.opened), window
        ledger._numbers = {item: number for number, item in enumerate(stored.stock)}
        return ledger

    def decide(self, record: ConsumerRecord) -> tuple[Entry, SideOutput | None]:
        """The entry for the next record, and the side output that must be acknowledged before the entry."""
        try:
            event = decode_input(record.value)
        except Undecodable as fault:
            return self._dead_letter(record, fault)
        home = item_partition(event.item, self.partitions)
        if home != self.partition:
            return self._reroute(record, event, home)
        if isinstance(event, OrderCancelled):
            return self._decide_cancel(record, event), None
        if self._was_decided(event):
            return self._ignore_duplicate(record, event), None
        if isinstance(event, StockAdded):
            return self._add_stock(record, event), None
        return self._decide_order(record, event), None

    def apply(self, event: JournalEvent) -> None:
        """Advance by the next entry or claim of the journal that counts."""
        if isinstance(event, OwnerClaimed):
            self.window.resize(event.window_orders)
            return
        assert event.seq == self.seq + 1, f"entry {event.seq} after {self.seq}"
        self.seq = event.seq
        self.next_offset = event.source_offset + 1
        if isinstance(event, InventoryReserved):
            number = self._set_stock(event.item, event.remaining)
            decided_at_ms = ms_of(event.decided_at)
            self.window.remember_reserved(event.order_id, decided_at_ms, number, event.quantity)
        elif isinstance(event, InventoryFailed):
            self.window.remember_failed(event.order_id, ms_of(event.decided_at))
        elif isinstance(event, ReservationReleased):
            self._set_stock(event.item, event.remaining)
            self.window.remember_cancelled(event.order_id)
        elif isinstance(event, StockChanged):
            self._set_stock(event.item, event.remaining)
            self.added[event.item] = self.added.get(event.item, 0) + event.quantity
            if event.reason == "opening":
                self.opened.add(event.item)
            else:
                self.window.remember_restock(event.event_id, ms_of(event.decided_at))

    def _set_stock(self, item: str, remaining: int) -> int:
        """Returns the number of the item, which never changes."""
        self.stock[item] = remaining
        return self._numbers.setdefault(item, len(self._numbers))

    def _was_decided(self, event: OrderPlaced | StockAdded) -> bool:
        if isinstance(event, OrderPlaced):
            return self.window.has_order(event.order_id)
        if event.reason == "opening":
            return event.item in self.opened
        return self.window.has_restock(event.event_id)

    # Entries are written out field by field: filling them from the event's fields takes four times as long.

    def _ignore_duplicate(self, record: ConsumerRecord, event: OrderPlaced | StockAdded) -> DuplicateIgnored:
        repeated_type, repeated_id = type_and_id(event)
        return DuplicateIgnored(
            seq=self.seq + 1,
            source_offset=record.offset,
            repeated_type=repeated_type,
            repeated_id=repeated_id,
            item=event.item,
            decided_at=iso_utc(record.timestamp),
        )

    def _add_stock(self, record: ConsumerRecord, added: StockAdded) -> StockChanged:
        return StockChanged(
            seq=self.seq + 1,
            source_offset=record.offset,
            event_id=added.event_id,
            item=added.item,
            quantity=added.quantity,
            remaining=self.stock.get(added.item, 0) + added.quantity,
            reason=added.reason,
            decided_at=iso_utc(record.timestamp),
        )

    def _decide_order(
        self, record: ConsumerRecord, order: OrderPlaced
    ) -> InventoryReserved | InventoryFailed:
        in_stock = self.stock.get(order.item)
        if reason := self._reason_to_refuse(record, order, in_stock):
            return InventoryFailed(
                seq=self.seq + 1,
                source_offset=record.offset,
                order_id=order.order_id,
                user_id=order.user_id,
                item=order.item,
                quantity=order.quantity,
                remaining=in_stock,
                reason=reason,
                placed_at=order.placed_at,
                decided_at=iso_utc(record.timestamp),
            )
        assert in_stock is not None
        return InventoryReserved(
            seq=self.seq + 1,
            source_offset=record.offset,
            order_id=order.order_id,
            user_id=order.user_id,
            item=order.item,
            quantity=order.quantity,
            remaining=in_stock - order.quantity,
            placed_at=order.placed_at,
            decided_at=iso_utc(record.timestamp),
        )

    def _reason_to_refuse(
        self, record: ConsumerRecord, order: OrderPlaced, in_stock: int | None
    ) -> FailReason | None:
        # A rerouted order that is older than the window may have been decided and forgotten.
        origin_ms = _origin_ms(record)
        if origin_ms is not None and self.window.has_forgotten(origin_ms):
            return "too_old"
        if in_stock is None:
            return "unknown_item"
        if in_stock < order.quantity:
            return "insufficient_stock"
        return None

    def _decide_cancel(
        self, record: ConsumerRecord, cancel: OrderCancelled
    ) -> ReservationReleased | CancelRejected:
        in_stock = self.stock.get(cancel.item)
        reservation = self.window.reservation(cancel.order_id)
        if reason := self._reason_to_keep(cancel, reservation):
            return CancelRejected(
                seq=self.seq + 1,
                source_offset=record.offset,
                order_id=cancel.order_id,
                item=cancel.item,
                remaining=in_stock,
                reason=reason,
                decided_at=iso_utc(record.timestamp),
            )
        assert reservation is not None
        assert in_stock is not None
        return ReservationReleased(
            seq=self.seq + 1,
            source_offset=record.offset,
            order_id=cancel.order_id,
            item=cancel.item,
            quantity=reservation.quantity,
            remaining=in_stock + reservation.quantity,
            decided_at=iso_utc(record.timestamp),
        )

    def _reason_to_keep(self, cancel: OrderCancelled, reservation: Reservation | None) -> CancelReason | None:
        if reservation is None:
            # The window does not keep the item of an order that failed, so the item cannot be checked.
            return "not_reserved" if self.window.has_order(cancel.order_id) else "unknown_order"
        if reservation.item_number != self._numbers.get(cancel.item):
            return "unknown_order"
        return "already_cancelled" if reservation.is_cancelled else None

    def _reroute(self, record: ConsumerRecord, event: Input, home: int) -> tuple[OrderRerouted, Reroute]:
        rerouted_type, rerouted_id = type_and_id(event)
        entry = OrderRerouted(
            seq=self.seq + 1,
            source_offset=record.offset,
            rerouted_type=rerouted_type,
            rerouted_id=rerouted_id,
            item=event.item,
            to_partition=home,
            decided_at=iso_utc(record.timestamp),
        )
        return entry, Reroute(home, event.item.encode(), record.value, self._origin_headers(record))

    def _dead_letter(
        self, record: ConsumerRecord, fault: Undecodable
    ) -> tuple[OrderDeadLettered, DeadLetter]:
        entry = OrderDeadLettered(
            seq=self.seq + 1,
            source_offset=record.offset,
            reason=fault.reason,
            decided_at=iso_utc(record.timestamp),
        )
        headers = (
            *self._origin_headers(record),
            ("reason", fault.reason.encode()),
            ("detail", fault.detail[:256].encode("utf-8", "replace")),
            ("original-bytes", str(len(record.value or b"")).encode()),
        )
        key = record.key and record.key[:DEAD_LETTER_BYTES_MAX]
        value = record.value and record.value[:DEAD_LETTER_BYTES_MAX]
        return entry, DeadLetter(self.partition, key, value, headers)

    def _origin_headers(self, record: ConsumerRecord) -> tuple[tuple[str, bytes], ...]:
        return (
            (ORIGIN_HEADER, f"{self.partition}:{record.offset}".encode()),
            (ORIGIN_TIME_HEADER, str(record.timestamp).encode()),
        )


def openings(opening_stock: Mapping[str, int]) -> list[StockAdded]:
    """The opening stock as events, the same ones at every start."""
    return [
        StockAdded(event_id="opening", item=item, quantity=quantity, reason="opening")
        for item, quantity in opening_stock.items()
    ]


def _origin_ms(record: ConsumerRecord) -> int | None:
    """When a rerouted record was first appended, in ms. None if the record was not rerouted."""
    for name, value in record.headers:
        if name == ORIGIN_TIME_HEADER:
            return int(value) if value and value.isdigit() and len(value) <= 13 else None
    return None
