"""Judges one partition: reads its two logs side by side, and compares each entry that counts with its record
and with everything that was decided before.

After a violation the audit goes on from what the journal says, so one fault can cause several violations; the
first one is the cause.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from campus.audit.findings import Findings, Totals, Violation, ViolationKind
from campus.audit.memory import DecidedIds, Decision, IdHistory, SideOutputs
from campus.audit.record import SourceRecord, differences, header
from campus.domain.codec import ConsumerRecord, decode_journal
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
    analytics: Totals | None = None  # what it has counted, as of its own seq
    items: dict[str, Item] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    offset: int = -1  # the source offset of the last entry
    at_ms: int = 0  # the time of its record

    def run(self, sources: Iterator[SourceRecord], journal: Iterable[ConsumerRecord]) -> None:
        self.findings.totals[self.number] = self.totals
        head = next(sources, None)
        for entry in self._counting(journal):
            while head and head.record.offset < entry.source_offset:
                self._report_record(head, entry)
                head = next(sources, None)
            if entry.source_offset <= self.offset:
                self._report(
                    entry, ViolationKind.OFFSET_NOT_GROWING, f"the entry before it is of {self.offset}"
                )
            elif not head or head.record.offset != entry.source_offset:
                self._report(entry, ViolationKind.ENTRY_WITHOUT_RECORD, "order-events has no record there")
            source = head if head and head.record.offset == entry.source_offset else None
            self._judge(entry, source)
            self._check_analytics()
            self.offset = max(self.offset, entry.source_offset)
            if source:
                head = next(sources, None)
        while head:
            self.findings.undecided += 1
            head = next(sources, None)
        if self.analytics and self.analytics.seq > self.totals.seq:
            self._report_analytics(f"it has counted up to seq {self.analytics.seq}, which nobody has decided")

    # Which entries count: those of the owner that claimed last, in the order of seq

    def _counting(self, journal: Iterable[ConsumerRecord]) -> Iterator[Entry]:
        owner: bytes | None = None
        gap: Entry | None = None  # the first entry beyond the next seq, until that seq comes
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
            self._report(
                gap, ViolationKind.SEQ_GAP, f"follows seq {self.totals.seq}, and nothing closes the gap"
            )

    # What an entry must be, given its record

    def _judge(self, entry: Entry, source: SourceRecord | None) -> None:
        if source:
            self.at_ms = source.record.timestamp
            for kind, what in differences(entry, source, self.number, self.partitions):
                self._report(entry, kind, what)
        JUDGES[type(entry)](self, entry, source)

    def _check_analytics(self) -> None:
        if not self.analytics or self.analytics.seq != self.totals.seq:
            return
        if difference := self.totals.difference(self.analytics):
            self._report_analytics(difference)

    def _report_analytics(self, what: str) -> None:
        self.findings.report(
            Violation(ViolationKind.ANALYTICS_DIFFERS, what, self.number, None, self.totals.seq)
        )

    # What an entry must be, given what was decided before

    def _reserved(self, entry: InventoryReserved, source: SourceRecord | None) -> None:
        self.totals.reserved += 1
        self.totals.portions[entry.item] += entry.quantity
        if self._comes_too_late(source):
            self._report(entry, ViolationKind.DECIDED_TOO_LATE, "its owner may have decided and forgotten it")
        if self._decide_order(entry, item=entry.item, quantity=entry.quantity).was_reserved:
            self._report(entry, ViolationKind.RESERVED_TWICE, f"order {entry.order_id!r} was reserved before")
        item = self._item(entry.item)
        item.reserved += entry.quantity
        if item.remaining < 0:
            self._report(
                entry, ViolationKind.STOCK_BELOW_ZERO, f"{item.remaining} {entry.item!r} would remain"
            )
        self._check_remaining(entry, item.remaining)

    def _failed(self, entry: InventoryFailed, source: SourceRecord | None) -> None:
        self.totals.failed[entry.reason] += 1
        item = self.items.get(entry.item)
        in_stock = item.remaining if item else None
        self._check_reason(entry, self._reason_to_fail(entry.quantity, in_stock, source))
        self._decide_order(entry)
        self._check_remaining(entry, in_stock)

    def _released(self, entry: ReservationReleased, _source: SourceRecord | None) -> None:
        order = self.ids.remembered(entry.order_id)
        reason = _reason_to_keep(entry, order)
        if reason == "already_cancelled":
            self._report(
                entry, ViolationKind.RELEASED_TWICE, f"order {entry.order_id!r} was cancelled before"
            )
        elif reason or not order:
            self._report(
                entry, ViolationKind.RELEASED_UNRESERVED, f"order {entry.order_id!r}: the truth is {reason}"
            )
        else:
            order.is_released = True
            if entry.quantity != order.quantity:
                what = f"releases {entry.quantity}, the order had reserved {order.quantity}"
                self._report(entry, ViolationKind.WRONG_RELEASE, what)
        self.totals.cancelled += 1
        self.totals.portions[entry.item] -= entry.quantity
        item = self._item(entry.item)
        item.released += entry.quantity
        self._check_remaining(entry, item.remaining)

    def _cancel_rejected(self, entry: CancelRejected, _source: SourceRecord | None) -> None:
        self.findings.not_cancelled[entry.reason] += 1
        self._check_reason(entry, _reason_to_keep(entry, self.ids.remembered(entry.order_id)))
        item = self.items.get(entry.item)
        self._check_remaining(entry, item.remaining if item else None)

    def _stock_changed(self, entry: StockChanged, _source: SourceRecord | None) -> None:
        item = self._item(entry.item)
        if entry.reason == "opening":
            if item.was_opened:
                self._report(
                    entry, ViolationKind.OPENING_TWICE, f"{entry.item!r} had its opening stock before"
                )
            item.was_opened = True
            item.opening += entry.quantity
        else:
            if self.ids.decide(_restock(entry.event_id), at_ms=self.at_ms).is_remembered:
                self._report(entry, ViolationKind.DECIDED_TWICE, f"{entry.event_id!r} was added before")
            item.added += entry.quantity
        self._check_remaining(entry, item.remaining)

    def _duplicate(self, entry: DuplicateIgnored, source: SourceRecord | None) -> None:
        self.findings.duplicates += 1
        if source and isinstance(source.event, StockAdded) and source.event.reason == "opening":
            item = self.items.get(entry.item)
            was_decided = item is not None and item.was_opened
        elif entry.repeated_type == "StockAdded":
            was_decided = self.ids.is_decided(_restock(entry.repeated_id))
        else:
            was_decided = self.ids.is_decided(entry.repeated_id)
        if not was_decided:
            self._report(
                entry, ViolationKind.IGNORED_UNDECIDED, f"{entry.repeated_id!r} was never decided before"
            )

    def _rerouted(self, entry: OrderRerouted, source: SourceRecord | None) -> None:
        self.findings.reroutes += 1
        if source:
            sent_on = (entry.to_partition, self._origin(entry), source.record.value)
            self.reroutes.promise(sent_on, self.number, entry.source_offset, entry.seq)

    def _dead_lettered(self, entry: OrderDeadLettered, source: SourceRecord | None) -> None:
        self.findings.dead_letters += 1
        if source:
            value = source.record.value
            letter = (self.number, self._origin(entry), value and value[:DEAD_LETTER_BYTES])
            self.dead_letters.promise(letter, self.number, entry.source_offset, entry.seq)

    # Used by several of them

    def _decide_order(
        self, entry: InventoryReserved | InventoryFailed, *, item: str | None = None, quantity: int = 0
    ) -> IdHistory:
        """`item` and `quantity`: what was reserved, if anything."""
        before = self.ids.decide(entry.order_id, at_ms=self.at_ms, item=item, quantity=quantity)
        if before.is_shared:
            self.findings.note_shared(entry.order_id)
        if before.is_remembered:
            self._report(entry, ViolationKind.DECIDED_TWICE, f"order {entry.order_id!r} was decided before")
        return before

    def _reason_to_fail(
        self, quantity: int, in_stock: int | None, source: SourceRecord | None
    ) -> FailReason | None:
        if self._comes_too_late(source):
            return "too_old"
        if in_stock is None:
            return "unknown_item"
        return "insufficient_stock" if in_stock < quantity else None

    def _comes_too_late(self, source: SourceRecord | None) -> bool:
        """Whether it is a rerouted order, from a time from which decisions have been forgotten."""
        return source is not None and source.origin_ms is not None and source.origin_ms <= self.ids.horizon_ms

    def _check_reason(self, entry: InventoryFailed | CancelRejected, truth: str | None) -> None:
        if entry.reason != truth:
            self._report(entry, ViolationKind.FALSE_REASON, f"says {entry.reason}, the truth is {truth}")

    def _check_remaining(self, entry: StockEntry, remaining: int | None) -> None:
        if entry.remaining != remaining:
            what = f"says {entry.remaining} {entry.item!r} remain, but it is {remaining}"
            self._report(entry, ViolationKind.WRONG_REMAINING, what)

    def _item(self, name: str) -> Item:
        return self.items.setdefault(name, Item())

    def _origin(self, entry: Entry) -> bytes:
        return f"{self.number}:{entry.source_offset}".encode()

    def _report(self, entry: Entry, kind: ViolationKind, what: str) -> None:
        self.findings.report(Violation(kind, what, self.number, entry.source_offset, entry.seq))

    def _report_record(self, source: SourceRecord, next_entry: Entry) -> None:
        what = f"the next entry, seq {next_entry.seq}, is of offset {next_entry.source_offset}"
        self.findings.report(
            Violation(ViolationKind.RECORD_WITHOUT_ENTRY, what, self.number, source.record.offset)
        )


def _reason_to_keep(
    entry: ReservationReleased | CancelRejected, order: Decision | None
) -> CancelReason | None:
    """Why the order cannot be cancelled. `order`: the decision about it, if its owner remembers one."""
    if not order:
        return "unknown_order"
    if order.item is None:
        return "not_reserved"
    if order.item != entry.item:
        return "unknown_order"  # no order of that item
    return "already_cancelled" if order.is_released else None


def _restock(event_id: str) -> tuple[str, str]:
    """The name of a restock among the ids; an order's is its id alone."""
    return "restock", event_id


JUDGES: dict[type, Callable[[PartitionAudit, Any, SourceRecord | None], None]] = {
    InventoryReserved: PartitionAudit._reserved,
    InventoryFailed: PartitionAudit._failed,
    StockChanged: PartitionAudit._stock_changed,
    ReservationReleased: PartitionAudit._released,
    CancelRejected: PartitionAudit._cancel_rejected,
    DuplicateIgnored: PartitionAudit._duplicate,
    OrderRerouted: PartitionAudit._rerouted,
    OrderDeadLettered: PartitionAudit._dead_lettered,
}
