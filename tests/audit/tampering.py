"""Puts a fault into a copy of a clean log, at a random place.

A fault is a function on a `Tampered` log, with the kind of violation that the audit must report. In every
other respect it writes right entries, so that the audit can find it by nothing but the fault.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import msgspec

from campus.audit.findings import ViolationKind
from campus.domain.codec import decode_input, encode
from campus.domain.events import (
    CancelRejected,
    Entry,
    Event,
    InventoryFailed,
    InventoryReserved,
    OrderDeadLettered,
    OwnerClaimed,
    ReservationReleased,
    StockChanged,
)
from campus.domain.journal import JournalRule
from campus.inventory.ledger import ORIGIN_HEADER
from tests.builders import PARTITIONS, ARecord
from tests.simulation.memory_log import TOPICS, MemoryLog

STOCK_ENTRIES = (InventoryReserved, InventoryFailed, StockChanged, ReservationReleased, CancelRejected)


class At(NamedTuple):
    """An entry that counts: its partition, its index in the journal's list, and the entry itself."""

    partition: int
    index: int
    entry: Any


def entries_that_count(log: MemoryLog) -> list[At]:
    return [at for partition in range(PARTITIONS) for at in _counting(log, partition)]


def _counting(log: MemoryLog, partition: int) -> list[At]:
    rule, found = JournalRule(), []
    for index, record in enumerate(log.at(TOPICS.journal_topic, partition)):
        for event in rule.counting([record]):
            if not isinstance(event, OwnerClaimed):
                found.append(At(partition, index, event))
    return found


class Tampered:
    """A copy of a log, with methods to tamper with it."""

    def __init__(self, clean: MemoryLog, entries: Sequence[At], rng: random.Random) -> None:
        """`entries`: those that count in the clean log."""
        self.log, self.random = MemoryLog(), rng
        self.log.records = {tp: list(records) for tp, records in clean.records.items()}
        self._entries = entries

    def journal(self, partition: int) -> list[ARecord]:
        return self.log.at(TOPICS.journal_topic, partition)

    def orders(self, partition: int) -> list[ARecord]:
        return self.log.at(TOPICS.orders_topic, partition)

    def any(self, wanted: type | tuple[type, ...], fits: Callable[[At], bool] = lambda at: True) -> At:
        """A random entry of that kind. Raises IndexError if there is none: the fault would not be tried."""
        fitting = [at for at in self._entries if isinstance(at.entry, wanted) and fits(at)]
        return self.random.choice(fitting)

    def before(self, at: At) -> list[Any]:
        """The entries of the partition that count before it."""
        return [a.entry for a in self._entries if a.partition == at.partition and a.index < at.index]

    def last(self, partition: int) -> At:
        return [at for at in self._entries if at.partition == partition][-1]

    def any_and_later(self) -> tuple[At, list[At]]:
        """An entry and those that count after it, at least one: nothing would show that the last one is lost.

        Records that do not count are removed from their partition: one of them may be a repeat that would
        take the entry's place.
        """
        partition = self.random.randrange(PARTITIONS)
        rule, journal = JournalRule(), self.journal(partition)
        journal[:] = [record for record in journal if list(rule.counting([record]))]
        entries = _counting(self.log, partition)
        chosen = self.random.randrange(len(entries) - 1)
        return entries[chosen], entries[chosen + 1 :]

    def rewrite(self, at: At, entry: Event) -> None:
        self.journal(at.partition)[at.index] = replace(
            self.journal(at.partition)[at.index], value=encode(entry)
        )

    def change(self, at: At, **fields: Any) -> None:
        self.rewrite(at, msgspec.structs.replace(at.entry, **fields))

    def shift_seqs(self, later: list[At], by: int) -> None:
        for at in later:
            self.change(at, seq=at.entry.seq + by)

    def source(self, at: At) -> ARecord:
        return next(r for r in self.orders(at.partition) if r.offset == at.entry.source_offset)

    def replace_source(self, at: At, record: ARecord | None) -> None:
        orders = self.orders(at.partition)
        index = orders.index(self.source(at))
        orders[index : index + 1] = [] if record is None else [record]

    def change_source(self, at: At, **fields: Any) -> None:
        record = self.source(at)
        event = msgspec.structs.replace(decode_input(record.value), **fields)
        self.replace_source(at, replace(record, value=encode(event)))

    def left_before(self, at: At, item: str) -> int:
        """What remained of the item when the entry was decided."""
        changes = [e for e in self.before(at) if isinstance(e, STOCK_ENTRIES) and e.item == item]
        return (changes[-1].remaining or 0) if changes else 0

    def side_outputs_of(self, at: At) -> Iterator[tuple[list[ARecord], int]]:
        """The copies of the entry's record in other topics: each as a list of records and an index in it."""
        origin = (ORIGIN_HEADER, f"{at.partition}:{at.entry.source_offset}".encode())
        for (topic, partition), records in self.log.records.items():
            wanted = isinstance(at.entry, OrderDeadLettered) == (topic == TOPICS.dead_letters_topic)
            if wanted and topic in (TOPICS.dead_letters_topic, TOPICS.orders_topic):
                for index, record in enumerate(records):
                    if origin in record.headers and partition == self._side_of(at):
                        yield records, index

    def _side_of(self, at: At) -> int:
        return at.partition if isinstance(at.entry, OrderDeadLettered) else at.entry.to_partition


PutInto: TypeAlias = Callable[[Tampered], None]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    kind: ViolationKind
    put_into: PutInto


class Faults(list[Fault]):
    """A table of faults. The decorator `of` adds one, with the kind of violation that it must cause."""

    def of(self, kind: ViolationKind) -> Callable[[PutInto], PutInto]:
        def add(put_into: PutInto) -> PutInto:
            self.append(Fault(put_into.__name__, kind, put_into))
            return put_into

        return add


def outcome(kind: type[Entry], at: At, **fields: Any) -> Entry:
    """Another entry for the same record, with the same seq."""
    entry = at.entry
    if kind is not OrderDeadLettered and "item" not in fields:
        fields["item"] = entry.item
    return kind(seq=entry.seq, source_offset=entry.source_offset, decided_at=entry.decided_at, **fields)
