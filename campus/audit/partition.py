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
from campus.domain import events
from campus.domain.codec import ConsumerRecord, decode_journal

StockEntry: TypeAlias = (
    events.InventoryReserved
    | events.InventoryFailed
    | events.StockChanged
    | events.ReservationReleased
    | events.CancelRejected
)

OWNER_HEADER = "owner"
DEAD_LETTER_BYTES = 64 * 1024


@dataclass(slots=True)
class Item:
    remaining: int = 0  # added - reserved + released, opening stock included
    was_opened: bool = False


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
    last_offset: int = -1  # the highest source offset of the entries before the one that is judged
    offset: int = -1  # the source offset of the entry that is judged; its seq is the last in `totals`
    source: SourceRecord | None = None  # its record, if there is one
    at_ms: int = 0  # the time of the last such record

    def run(self, sources: Iterator[SourceRecord], journal: Iterable[ConsumerRecord]) -> None:
        self.findings.totals[self.number] = self.totals
        head = next(sources, None)
        for entry in self._counting(journal):
            while head and head.record.offset < entry.source_offset:
                what = f"the next entry, seq {entry.seq}, is of offset {entry.source_offset}"
                self._report_at(ViolationKind.RECORD_WITHOUT_ENTRY, what, offset=head.record.offset)
                head = next(sources, None)
            self.source = head if head and head.record.offset == entry.source_offset else None
            self.offset = entry.source_offset
            self._judge(entry)
            self.last_offset = max(self.last_offset, self.offset)
            if self.source:
                head = next(sources, None)
        while head:
            self.findings.undecided += 1
            head = next(sources, None)
        if self.analytics and self.analytics.seq > self.totals.seq:
            self._report_analytics(f"it has counted up to seq {self.analytics.seq}, which nobody has decided")

    # Which entries count: those of the owner that claimed last, in the order of seq

    def _counting(self, journal: Iterable[ConsumerRecord]) -> Iterator[events.Entry]:
        owner: bytes | None = None
        gap: events.Entry | None = None  # the first entry beyond the next seq, until that seq comes
        for record in journal:
            event = decode_journal(record.value)
            if event is None:
                self.findings.ignored["unreadable"] += 1
            elif isinstance(event, events.OwnerClaimed):
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
            what = f"follows seq {self.totals.seq}, and nothing closes the gap"
            self._report_at(ViolationKind.SEQ_GAP, what, offset=gap.source_offset, seq=gap.seq)

    # What an entry must be, given its record

    def _judge(self, entry: events.Entry) -> None:
        if self.offset <= self.last_offset:
            self._report(ViolationKind.OFFSET_NOT_GROWING, f"the entry before it is of {self.last_offset}")
        elif not self.source:
            self._report(ViolationKind.ENTRY_WITHOUT_RECORD, "order-events has no record there")
        if self.source:
            self.at_ms = self.source.record.timestamp
            for kind, what in differences(entry, self.source, self.number, self.partitions):
                self._report(kind, what)
        JUDGES[type(entry)](self, entry)
        if isinstance(entry, StockEntry) and entry.remaining != (remaining := self._in_stock(entry.item)):
            what = f"says {entry.remaining} {entry.item!r} remain, but it is {remaining}"
            self._report(ViolationKind.WRONG_REMAINING, what)
        if self.analytics and self.analytics.seq == entry.seq:
            self._report_analytics(self.totals.difference(self.analytics))

    # What an entry must be, given what was decided before

    def _reserved(self, entry: events.InventoryReserved) -> None:
        self.totals.reserved += 1
        self.totals.portions[entry.item] += entry.quantity
        if self._comes_too_late():
            self._report(ViolationKind.DECIDED_TOO_LATE, "its owner may have decided and forgotten it")
        if self._decide_order(entry).was_reserved:
            self._report(ViolationKind.RESERVED_TWICE, f"order {entry.order_id!r} was reserved before")
        item = self._item(entry.item)
        item.remaining -= entry.quantity
        if item.remaining < 0:
            self._report(ViolationKind.STOCK_BELOW_ZERO, f"{item.remaining} {entry.item!r} would remain")

    def _failed(self, entry: events.InventoryFailed) -> None:
        self.totals.failed[entry.reason] += 1
        self._check_reason(entry.reason, self._reason_to_fail(entry))
        self._decide_order(entry)

    def _released(self, entry: events.ReservationReleased) -> None:
        order = self.ids.remembered(entry.order_id)
        reason = _reason_to_keep(entry, order)
        if reason == "already_cancelled":
            self._report(ViolationKind.RELEASED_TWICE, f"order {entry.order_id!r} was cancelled before")
        elif reason or not order:
            self._report(
                ViolationKind.RELEASED_UNRESERVED, f"order {entry.order_id!r}: the truth is {reason}"
            )
        else:
            order.is_released = True
            if entry.quantity != order.quantity:
                what = f"releases {entry.quantity}, the order had reserved {order.quantity}"
                self._report(ViolationKind.WRONG_RELEASE, what)
        self.totals.cancelled += 1
        self.totals.portions[entry.item] -= entry.quantity
        self._item(entry.item).remaining += entry.quantity

    def _cancel_rejected(self, entry: events.CancelRejected) -> None:
        self.findings.not_cancelled[entry.reason] += 1
        self._check_reason(entry.reason, _reason_to_keep(entry, self.ids.remembered(entry.order_id)))

    def _stock_changed(self, entry: events.StockChanged) -> None:
        item = self._item(entry.item)
        if entry.reason == "opening":
            if item.was_opened:
                self._report(ViolationKind.OPENING_TWICE, f"{entry.item!r} had its opening stock before")
            item.was_opened = True
        elif self.ids.decide(_restock(entry.event_id), at_ms=self.at_ms).is_remembered:
            self._report(ViolationKind.DECIDED_TWICE, f"{entry.event_id!r} was added before")
        item.remaining += entry.quantity

    def _duplicate(self, entry: events.DuplicateIgnored) -> None:
        self.findings.duplicates += 1
        event = self.source and self.source.event
        if isinstance(event, events.StockAdded) and event.reason == "opening":
            item = self.items.get(entry.item)
            was_decided = item is not None and item.was_opened
        elif entry.repeated_type == "StockAdded":
            was_decided = self.ids.is_decided(_restock(entry.repeated_id))
        else:
            was_decided = self.ids.is_decided(entry.repeated_id)
        if not was_decided:
            self._report(ViolationKind.IGNORED_UNDECIDED, f"{entry.repeated_id!r} was never decided before")

    def _rerouted(self, entry: events.OrderRerouted) -> None:
        self.findings.reroutes += 1
        if self.source:
            self._promise(self.reroutes, entry.to_partition, self.source.record.value)

    def _dead_lettered(self, entry: events.OrderDeadLettered) -> None:
        self.findings.dead_letters += 1
        if self.source:
            value = self.source.record.value
            self._promise(self.dead_letters, self.number, value and value[:DEAD_LETTER_BYTES])

    # Used by several of them

    def _decide_order(self, entry: events.InventoryReserved | events.InventoryFailed) -> IdHistory:
        item = entry.item if isinstance(entry, events.InventoryReserved) else None
        before = self.ids.decide(entry.order_id, at_ms=self.at_ms, item=item, quantity=entry.quantity)
        if before.is_shared:
            self.findings.note_shared(entry.order_id)
        if before.is_remembered:
            self._report(ViolationKind.DECIDED_TWICE, f"order {entry.order_id!r} was decided before")
        return before

    def _reason_to_fail(self, entry: events.InventoryFailed) -> events.FailReason | None:
        if self._comes_too_late():
            return "too_old"
        in_stock = self._in_stock(entry.item)
        if in_stock is None:
            return "unknown_item"
        return "insufficient_stock" if in_stock < entry.quantity else None

    def _comes_too_late(self) -> bool:
        """Whether it is a rerouted order, from a time from which decisions have been forgotten."""
        origin_ms = self.source.origin_ms if self.source else None
        return origin_ms is not None and origin_ms <= self.ids.horizon_ms

    def _check_reason(self, reason: str, truth: str | None) -> None:
        if reason != truth:
            self._report(ViolationKind.FALSE_REASON, f"says {reason}, the truth is {truth}")

    def _item(self, name: str) -> Item:
        return self.items.setdefault(name, Item())

    def _in_stock(self, name: str) -> int | None:
        item = self.items.get(name)
        return item.remaining if item else None

    def _promise(self, outputs: SideOutputs, partition: int, value: bytes | None) -> None:
        origin = f"{self.number}:{self.offset}".encode()
        outputs.promise((partition, origin, value), self.number, self.offset, self.totals.seq)

    def _report(self, kind: ViolationKind, what: str) -> None:
        """A violation of the entry that is judged."""
        self._report_at(kind, what, self.offset, self.totals.seq)

    def _report_analytics(self, what: str | None) -> None:
        if what:
            self._report_at(ViolationKind.ANALYTICS_DIFFERS, what, seq=self.totals.seq)

    def _report_at(
        self, kind: ViolationKind, what: str, offset: int | None = None, seq: int | None = None
    ) -> None:
        self.findings.report(Violation(kind, what, self.number, offset, seq))


def _reason_to_keep(
    entry: events.ReservationReleased | events.CancelRejected, order: Decision | None
) -> events.CancelReason | None:
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


JUDGES: dict[type, Callable[[PartitionAudit, Any], None]] = {
    events.InventoryReserved: PartitionAudit._reserved,
    events.InventoryFailed: PartitionAudit._failed,
    events.StockChanged: PartitionAudit._stock_changed,
    events.ReservationReleased: PartitionAudit._released,
    events.CancelRejected: PartitionAudit._cancel_rejected,
    events.DuplicateIgnored: PartitionAudit._duplicate,
    events.OrderRerouted: PartitionAudit._rerouted,
    events.OrderDeadLettered: PartitionAudit._dead_lettered,
}
