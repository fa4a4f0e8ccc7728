"""The proof: the journal is right about every record of order-events, or it is said where it is not.

Read it as a second opinion. It shares only the events, their codec and the hash of items with the program
that it judges; the rule of what counts, the stock, the window and the reasons are stated once more, in other
words (audit_partition.py, audit_record.py). It goes through both logs of one partition side by side, one
partition after the other, and keeps of each order only what audit_memory.py says.

    audit = Audit(partitions)
    for p in range(partitions):
        audit.dead_letters(p, the dead letters of p)
        audit.partition(p, the orders of p, the journal of p)
    findings = audit.finish()

On a system that runs the ends of the logs must have been taken in this order: the journal's first. What
stands in the journal was read from, and written to, the other topics before; so before these ends, too.
"""

from collections.abc import Collection, Iterable, Iterator

from campus.audit.findings import Findings, Kind, Totals, Violation
from campus.audit.memory import DecidedIds, HashTable, SideOutputs
from campus.audit.partition import PartitionAudit
from campus.audit.record import Record, Source, header
from campus.domain.codec import Unfit, decode_input
from campus.domain.events import Input, OrderPlaced

ORIGIN_HEADER = "origin-partition-offset"
ORIGIN_TIME_HEADER = "origin-time-ms"
TIME_DIGITS_MAX = 13


class Audit:
    def __init__(self, partitions: int, *, expected: Collection[str] = ()) -> None:
        """`expected`: order ids that must be in order-events."""
        self.findings = Findings()
        self._partitions = partitions
        self._missing = set(expected)
        self._ids = HashTable()
        self._dead_letters, self._reroutes = SideOutputs(), SideOutputs()

    def dead_letters(self, partition: int, letters: Iterable[Record]) -> None:
        for letter in letters:
            self._dead_letters.see((partition, header(letter, ORIGIN_HEADER), letter.value))

    def partition(
        self,
        partition: int,
        orders: Iterable[Record],
        journal: Iterable[Record],
        told: Totals | None = None,
    ) -> None:
        """`told`: what analytics has counted in the partition, as of its seq."""
        PartitionAudit(
            partition,
            self._partitions,
            self.findings,
            DecidedIds(partition, self._ids),
            dead_letters=self._dead_letters,
            reroutes=self._reroutes,
            told=told,
        ).run(self._sources(partition, orders), journal)

    def finish(self) -> Findings:
        self._resolve(self._dead_letters, Kind.DEAD_LETTER_MISSING, "are not among the dead letters")
        self._resolve(self._reroutes, Kind.REROUTE_MISSING, "are not in the partition they were sent on to")
        for order_id in sorted(self._missing):
            self.findings.accuse(
                Violation(Kind.EXPECTED_MISSING, f"order {order_id!r} is not in order-events")
            )
        return self.findings

    def _sources(self, partition: int, orders: Iterable[Record]) -> Iterator[Source]:
        """The records and what they are. Every one passes here, also those that are not decided yet."""
        for record in orders:
            self.findings.records += 1
            event = _event_of(record)
            if self._missing and isinstance(event, OrderPlaced):
                self._missing.discard(event.order_id)
            origin = header(record, ORIGIN_HEADER)
            if origin is not None:
                self._reroutes.see((partition, origin, record.value))
            yield Source(record, event, _milliseconds(header(record, ORIGIN_TIME_HEADER)))

    def _resolve(self, outputs: SideOutputs, kind: Kind, what: str) -> None:
        for times_seen, partition, offset, seq in outputs.promised():
            if times_seen:
                self.findings.repeated += times_seen - 1
            else:
                self.findings.accuse(Violation(kind, f"the record's bytes {what}", partition, offset, seq))


def _event_of(record: Record) -> Input | Unfit:
    try:
        return decode_input(record.value)
    except Unfit as unfit:
        return unfit


def _milliseconds(digits: bytes | None) -> int | None:
    """A time as a rerouted record carries it; None for what no owner has written."""
    if digits is None or not digits.isdigit() or len(digits) > TIME_DIGITS_MAX:
        return None
    return int(digits)
