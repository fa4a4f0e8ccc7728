"""One partition's logs side by side: each entry that counts finds its record, and is held against it and
against all that was decided before.

After a violation it goes on as the journal does, so one fault can show as several; the first is the one to
look at.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

from campus.domain.audit_findings import Findings, Kind, Totals, Violation
from campus.domain.audit_memory import DecidedIds, Past, SideOutputs
from campus.domain.codec import Unfit, decode_journal
from campus.domain.events import (
    DuplicateIgnored,
    Entry,
    FailReason,
    Input,
    InventoryFailed,
    InventoryReserved,
    OrderDeadLettered,
    OrderPlaced,
    OrderRerouted,
    OwnerClaimed,
    StockAdded,
    StockChanged,
)
from campus.domain.partitions import item_partition

OWNER_HEADER = "owner"
DEAD_LETTER_BYTES = 64 * 1024
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Getter: TypeAlias = Callable[[Any], Any]

# Which outcomes an event can have, and what each says of it: the same as the event does.
ORDER = attrgetter("order_id", "user_id", "item", "quantity", "placed_at")
STOCK = attrgetter("event_id", "item", "quantity", "reason")
ORDER_NAME = attrgetter("__class__.__name__", "order_id", "item")
STOCK_NAME = attrgetter("__class__.__name__", "event_id", "item")
REPEATED_NAME = attrgetter("repeated_type", "repeated_id", "item")
REROUTED_NAME = attrgetter("rerouted_type", "rerouted_id", "item")
SAID: dict[tuple[type, type], tuple[Getter, Getter]] = {
    (OrderPlaced, InventoryReserved): (ORDER, ORDER),
    (OrderPlaced, InventoryFailed): (ORDER, ORDER),
    (OrderPlaced, DuplicateIgnored): (ORDER_NAME, REPEATED_NAME),
    (OrderPlaced, OrderRerouted): (ORDER_NAME, REROUTED_NAME),
    (StockAdded, StockChanged): (STOCK, STOCK),
    (StockAdded, DuplicateIgnored): (STOCK_NAME, REPEATED_NAME),
    (StockAdded, OrderRerouted): (STOCK_NAME, REROUTED_NAME),
    (Unfit, OrderDeadLettered): (attrgetter("reason"), attrgetter("reason")),
}


class Record(Protocol):
    """A record as a consumer hands it over; `timestamp`: append time in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Source(NamedTuple):
    """A record of order-events and what it is. `origin_ms`: when it was first appended, if rerouted."""

    record: Record
    event: Input | Unfit
    origin_ms: int | None


@dataclass(slots=True)
class Item:
    opening: int = 0
    added: int = 0
    reserved: int = 0
    was_opened: bool = False

    @property
    def remaining(self) -> int:
        return self.opening + self.added - self.reserved


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
            self._compare(entry, source)
        JUDGES[type(entry)](self, entry, source)

    def _check_told(self) -> None:
        if self.told and self.told.seq == self.totals.seq:
            difference = self.totals.differ_from(self.told)
            if difference:
                self._accuse_told(difference)

    def _accuse_told(self, what: str) -> None:
        self.findings.accuse(Violation(Kind.ANALYTICS_DIFFERS, what, self.number, None, self.totals.seq))

    def _compare(self, entry: Entry, source: Source) -> None:
        event = source.event
        self._check(entry, entry.decided_at, _iso(source.record.timestamp))
        if not isinstance(event, Unfit):
            home = item_partition(event.item, self.partitions)
            if (home != self.number) != isinstance(entry, OrderRerouted):
                what = f"is {_name(entry)}, but {event.item!r} belongs to partition {home}"
                self._accuse(entry, Kind.WRONG_TYPE, what)
                return
            if isinstance(entry, OrderRerouted):
                self._check(entry, entry.to_partition, home)
        if (type(event), type(entry)) not in SAID:
            self._accuse(entry, Kind.WRONG_TYPE, f"is {_name(entry)}, its record {_name(event)}")
            return
        of_event, of_entry = SAID[type(event), type(entry)]
        self._check(entry, of_entry(entry), of_event(event))

    def _check(self, entry: Entry, found: object, wanted: object) -> None:
        if found != wanted:
            self._accuse(entry, Kind.DIFFERS_FROM_RECORD, f"says {found!r}, its record {wanted!r}")

    # What an entry must be, given what was decided before.

    def _reserved(self, entry: InventoryReserved, source: Source | None) -> None:
        self.totals.reserved += 1
        self.totals.portions[entry.item] += entry.quantity
        if self._comes_too_late(source):
            self._accuse(entry, Kind.DECIDED_TOO_LATE, "its owner may have decided and forgotten it")
        if self._decide_order(entry, reserved=True).reserved:
            self._accuse(entry, Kind.RESERVED_TWICE, f"order {entry.order_id!r} was reserved before")
        item = self.items.setdefault(entry.item, Item())
        item.reserved += entry.quantity
        if item.remaining < 0:
            self._accuse(entry, Kind.STOCK_BELOW_ZERO, f"{item.remaining} {entry.item!r} would remain")
        self._check_remaining(entry, item.remaining)

    def _failed(self, entry: InventoryFailed, source: Source | None) -> None:
        self.totals.failed[entry.reason] += 1
        item = self.items.get(entry.item)
        in_stock = item.remaining if item else None
        true_reason = self._reason_to_fail(entry.quantity, in_stock, source)
        if entry.reason != true_reason:
            self._accuse(entry, Kind.FALSE_REASON, f"says {entry.reason}, the truth is {true_reason}")
        self._decide_order(entry, reserved=False)
        self._check_remaining(entry, in_stock)

    def _stock_changed(self, entry: StockChanged, _source: Source | None) -> None:
        item = self.items.setdefault(entry.item, Item())
        if entry.reason == "opening":
            if item.was_opened:
                self._accuse(entry, Kind.OPENING_TWICE, f"{entry.item!r} had its opening stock before")
            item.was_opened = True
            item.opening += entry.quantity
        else:
            past = self.ids.decide(self._restock(entry.event_id), reserved=False, at_ms=self.at_ms)
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

    def _decide_order(self, entry: InventoryReserved | InventoryFailed, *, reserved: bool) -> Past:
        past = self.ids.decide(entry.order_id, reserved=reserved, at_ms=self.at_ms)
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

    def _comes_too_late(self, source: Source | None) -> bool:
        """Whether it is a rerouted order of a time from which decisions have been forgotten."""
        return source is not None and source.origin_ms is not None and source.origin_ms <= self.ids.horizon_ms

    def _check_remaining(
        self, entry: InventoryReserved | InventoryFailed | StockChanged, remaining: int | None
    ) -> None:
        if entry.remaining != remaining:
            what = f"says {entry.remaining} {entry.item!r} remain, but it is {remaining}"
            self._accuse(entry, Kind.WRONG_REMAINING, what)

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
    DuplicateIgnored: PartitionAudit._duplicate,
    OrderRerouted: PartitionAudit._rerouted,
    OrderDeadLettered: PartitionAudit._dead_lettered,
}


def header(record: Record, name: str) -> bytes | None:
    """The first of that name; Kafka allows several, and one without a value."""
    for its_name, value in record.headers:
        if its_name == name:
            return value
    return None


@lru_cache(maxsize=16)  # all records of a batch have one append time
def _iso(timestamp_ms: int) -> str:
    text = (EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _name(event: Entry | Input | Unfit) -> str:
    return "no event" if isinstance(event, Unfit) else type(event).__name__
