"""One partition's logs side by side: each entry that counts finds its record, and is held against it and
against all that was decided before.

After a violation it goes on as the journal does, so one fault can show as several; the first is the one to
look at.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from campus.audit.findings import Findings, Kind, Totals, Violation
from campus.audit.memory import DecidedIds, Past, Reservation, SideOutputs
from campus.audit.record import Record, Source, differences, header
from campus.domain.codec import decode_journal
from campus.domain.events import (
    CancelReason,
    CancelRejected,
    DuplicateIgnored,
    Entry,
    FailReason,
    InventoryFailed,
    InventoryReserved,
    OrderDeadLettered,
    OrderRerouted,
    OwnerClaimed,
    ReservationReleased,
    StockAdded,
    StockChanged,
)

StockEntry: TypeAlias = (
    InventoryReserved | InventoryFailed | StockChanged | ReservationReleased | CancelRejected
)

OWNER_HEADER = "owner"
DEAD_LETTER_BYTES = 64 * 1024


@dataclass(slots=True)
class Item:
    number: int
    opening: int = 0
    added: int = 0
    reserved: int = 0
    released: int = 0
    was_opened: bool = False

    @property
    def remaining(self) -> int:
        return self.opening + self.added - self.reserved + self.released


@dataclass(slots=True)
class PartitionAudit:
    number: int
    partitions: int
    findings: Findings
    ids: DecidedIds
    dead_letters: SideOutputs
    reroutes: SideOutputs
    told: Totals | None = None  # by analytics, as of its own seq
    items: dict[str, Item] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    offset: int = -1  # the source offset of the last entry
    at_ms: int = 0  # the time of its record

    def run(self, sources: Iterator[Source], journal: Iterable[Record]) -> None:
        self.findings.totals[self.number] = self.totals
        head = next(sources, None)
        for entry in self._counting(journal):
            while head and head.record.offset < entry.source_offset:
                self._accuse_record(head, entry)
                head = next(sources, None)
            if entry.source_offset <= self.offset:
                self._accuse(entry, Kind.OFFSET_NOT_GROWING, f"the entry before it is of {self.offset}")
            elif not head or head.record.offset != entry.source_offset:
                self._accuse(entry, Kind.ENTRY_WITHOUT_RECORD, "order-events has no record there")
            source = head if head and head.record.offset == entry.source_offset else None
            self._judge(entry, source)
            self._check_told()
            self.offset = max(self.offset, entry.source_offset)
            if source:
                head = next(sources, None)
        while head:
            self.findings.undecided += 1
            head = next(sources, None)
        if self.told and self.told.seq > self.totals.seq:
            self._accuse_told(f"it has counted up to seq {self.told.seq}, which nobody has decided")

    # What counts: the word of the last one who claimed, in the order of seq.

    def _counting(self, journal: Iterable[Record]) -> Iterator[Entry]:
        owner: bytes | None = None
        gap: Entry | None = None  # the first that came too early for its seq, until that seq came
        for record in journal:
            event = decode_journal(record.value)
            if event is None:
                self.findings.ignored["unreadable"] += 1
            elif isinstance(event, OwnerClaimed):
                owner = event.owner.encode()
                self.findings.claims += 1
                self.ids.claim(event.window_orders)
            elif owner is None:
                self.findings.ignored["before_first_claim"] += 1
            elif header(record, OWNER_HEADER) != owner:
                self.findings.ignored["old_owner"] += 1
            elif event.seq <= self.totals.seq:
                self.findings.ignored["repeat"] += 1
            elif event.seq > self.totals.seq + 1:
                self.findings.ignored["after_gap"] += 1
                gap = gap or event
            else:
                self.findings.decisions += 1
                self.totals.seq, gap = event.seq, None
                yield event
        if gap:
            self._accuse(gap, Kind.SEQ_GAP, f"follows seq {self.totals.seq}, and nothing has closed the gap")

    # What an entry must be, given its record.

    def _judge(self, entry: Entry, source: Source | None) -> None:
        if source:
            self.at_ms = source.record.timestamp
            for kind, what in differences(entry, source, self.number, self.partitions):
                self._accuse(entry, kind, what)
        JUDGES[type(entry)](self, entry, source)

    def _check_told(self) -> None:
        if self.told and self.told.seq == self.totals.seq:
            difference = self.totals.differ_from(self.told)
            if difference:
                self._accuse_told(difference)

    def _accuse_told(self, what: str) -> None:
        self.findings.accuse(Violation(Kind.ANALYTICS_DIFFERS, what, self.number, None, self.totals.seq))

    # What an entry must be, given what was decided before.

    def _reserved(self, entry: InventoryReserved, source: Source | None) -> None:
        self.totals.reserved += 1
        self.totals.portions[entry.item] += entry.quantity
        if self._comes_too_late(source):
            self._accuse(entry, Kind.DECIDED_TOO_LATE, "its owner may have decided and forgotten it")
        item = self._item(entry.item)
        if self._decide_order(entry, Reservation(item.number, entry.quantity)).reserved:
            self._accuse(entry, Kind.RESERVED_TWICE, f"order {entry.order_id!r} was reserved before")
        item.reserved += entry.quantity
        if item.remaining < 0:
            self._accuse(entry, Kind.STOCK_BELOW_ZERO, f"{item.remaining} {entry.item!r} would remain")
        self._check_remaining(entry, item.remaining)

    def _failed(self, entry: InventoryFailed, source: Source | None) -> None:
        self.totals.failed[entry.reason] += 1
        item = self.items.get(entry.item)
        in_stock = item.remaining if item else None
        true_reason = self._reason_to_fail(entry.quantity, in_stock, source)
        self._check_reason(entry, true_reason)
        self._decide_order(entry, None)
        self._check_remaining(entry, in_stock)

    def _released(self, entry: ReservationReleased, _source: Source | None) -> None:
        reservation = self.ids.reservation(entry.order_id)
        reason = self._reason_to_keep(entry, reservation)
        if reason == "already_cancelled":
            self._accuse(entry, Kind.RELEASED_TWICE, f"order {entry.order_id!r} was cancelled before")
        elif reason or not reservation:
            self._accuse(entry, Kind.RELEASED_UNRESERVED, f"order {entry.order_id!r}: the truth is {reason}")
        else:
            self.ids.release(entry.order_id)
            if entry.quantity != reservation.quantity:
                what = f"releases {entry.quantity}, the order had reserved {reservation.quantity}"
                self._accuse(entry, Kind.WRONG_RELEASE, what)
        self.totals.cancelled += 1
        self.totals.portions[entry.item] -= entry.quantity
        item = self._item(entry.item)
        item.released += entry.quantity
        self._check_remaining(entry, item.remaining)

    def _cancel_rejected(self, entry: CancelRejected, _source: Source | None) -> None:
        self.findings.not_cancelled[entry.reason] += 1
        true_reason = self._reason_to_keep(entry, self.ids.reservation(entry.order_id))
        self._check_reason(entry, true_reason)
        item = self.items.get(entry.item)
        self._check_remaining(entry, item.remaining if item else None)

    def _stock_changed(self, entry: StockChanged, _source: Source | None) -> None:
        item = self._item(entry.item)
        if entry.reason == "opening":
            if item.was_opened:
                self._accuse(entry, Kind.OPENING_TWICE, f"{entry.item!r} had its opening stock before")
            item.was_opened = True
            item.opening += entry.quantity
        else:
            past = self.ids.decide(self._restock(entry.event_id), at_ms=self.at_ms)
            if past.remembered:
                self._accuse(entry, Kind.DECIDED_TWICE, f"{entry.event_id!r} was added before")
            item.added += entry.quantity
        self._check_remaining(entry, item.remaining)

    def _duplicate(self, entry: DuplicateIgnored, source: Source | None) -> None:
        self.findings.duplicates += 1
        if source and isinstance(source.event, StockAdded) and source.event.reason == "opening":
            item = self.items.get(entry.item)
            was_decided = item is not None and item.was_opened
        elif entry.repeated_type == "StockAdded":
            was_decided = self.ids.knows(self._restock(entry.repeated_id))
        else:
            was_decided = self.ids.knows(entry.repeated_id)
        if not was_decided:
            self._accuse(entry, Kind.IGNORED_UNDECIDED, f"{entry.repeated_id!r} was never decided before")

    def _rerouted(self, entry: OrderRerouted, source: Source | None) -> None:
        self.findings.reroutes += 1
        if source:
            sent_on = (entry.to_partition, self._origin(entry), source.record.value)
            self.reroutes.promise(sent_on, self.number, entry.source_offset, entry.seq)

    def _dead_lettered(self, entry: OrderDeadLettered, source: Source | None) -> None:
        self.findings.dead_letters += 1
        if source:
            value = source.record.value
            letter = (self.number, self._origin(entry), value and value[:DEAD_LETTER_BYTES])
            self.dead_letters.promise(letter, self.number, entry.source_offset, entry.seq)

    # The questions that several of them ask

    def _decide_order(self, entry: InventoryReserved | InventoryFailed, reserved: Reservation | None) -> Past:
        past = self.ids.decide(entry.order_id, at_ms=self.at_ms, reserved=reserved)
        if past.elsewhere:
            self.findings.note_shared(entry.order_id)
        if past.remembered:
            self._accuse(entry, Kind.DECIDED_TWICE, f"order {entry.order_id!r} was decided before")
        return past

    def _reason_to_fail(
        self, quantity: int, in_stock: int | None, source: Source | None
    ) -> FailReason | None:
        if self._comes_too_late(source):
            return "too_old"
        if in_stock is None:
            return "unknown_item"
        return "insufficient_stock" if in_stock < quantity else None

    def _reason_to_keep(
        self, entry: ReservationReleased | CancelRejected, reservation: Reservation | None
    ) -> CancelReason | None:
        """Why its order cannot be cancelled, `reservation` being what it has reserved."""
        if not self.ids.remembers(entry.order_id):
            return "unknown_order"
        if not reservation:
            return "not_reserved"
        item = self.items.get(entry.item)
        if not item or item.number != reservation.item:
            return "unknown_order"  # of that item
        return "already_cancelled" if reservation.released else None

    def _comes_too_late(self, source: Source | None) -> bool:
        """Whether it is a rerouted order of a time from which decisions have been forgotten."""
        return source is not None and source.origin_ms is not None and source.origin_ms <= self.ids.horizon_ms

    def _check_reason(self, entry: InventoryFailed | CancelRejected, truth: str | None) -> None:
        if entry.reason != truth:
            self._accuse(entry, Kind.FALSE_REASON, f"says {entry.reason}, the truth is {truth}")

    def _check_remaining(self, entry: StockEntry, remaining: int | None) -> None:
        if entry.remaining != remaining:
            what = f"says {entry.remaining} {entry.item!r} remain, but it is {remaining}"
            self._accuse(entry, Kind.WRONG_REMAINING, what)

    def _item(self, name: str) -> Item:
        item = self.items.get(name)
        if item is None:
            item = self.items[name] = Item(len(self.items))
        return item

    def _restock(self, event_id: str) -> tuple[str, int, str]:
        """Its name among the ids: not an order's, and never shared with another partition."""
        return "restock", self.number, event_id

    def _origin(self, entry: Entry) -> bytes:
        return f"{self.number}:{entry.source_offset}".encode()

    def _accuse(self, entry: Entry, kind: Kind, what: str) -> None:
        self.findings.accuse(Violation(kind, what, self.number, entry.source_offset, entry.seq))

    def _accuse_record(self, source: Source, next_entry: Entry) -> None:
        what = f"the next entry, seq {next_entry.seq}, is of offset {next_entry.source_offset}"
        self.findings.accuse(Violation(Kind.RECORD_WITHOUT_ENTRY, what, self.number, source.record.offset))


JUDGES: dict[type, Callable[[PartitionAudit, Any, Source | None], None]] = {
    InventoryReserved: PartitionAudit._reserved,
    InventoryFailed: PartitionAudit._failed,
    StockChanged: PartitionAudit._stock_changed,
    ReservationReleased: PartitionAudit._released,
    CancelRejected: PartitionAudit._cancel_rejected,
    DuplicateIgnored: PartitionAudit._duplicate,
    OrderRerouted: PartitionAudit._rerouted,
    OrderDeadLettered: PartitionAudit._dead_lettered,
}
