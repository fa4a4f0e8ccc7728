"""Feeds the logs of a campus through the audit, one partition after the other.

    audit = Audit(partitions)
    for p in range(partitions):
        audit.dead_letters(p, the dead letters of p)
        audit.partition(p, the records of order-events of p, the journal of p)
    findings = audit.finish()

On a running system the end of the journal must be taken before the ends of the other topics: what the journal
says was read from them, or written to them, before.
"""

from collections.abc import Collection, Iterable, Iterator

from campus.audit.findings import Findings, Totals, Violation, ViolationKind
from campus.audit.memory import DecidedIds, SideOutputs
from campus.audit.partition import PartitionAudit
from campus.audit.record import SourceRecord, header
from campus.domain.codec import ConsumerRecord, Undecodable, decode_input
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
        self._decided_elsewhere: set[int] = set()
        self._dead_letters, self._reroutes = SideOutputs(), SideOutputs()

    def dead_letters(self, partition: int, letters: Iterable[ConsumerRecord]) -> None:
        for letter in letters:
            self._dead_letters.add((partition, header(letter, ORIGIN_HEADER), letter.value))

    def partition(
        self,
        partition: int,
        orders: Iterable[ConsumerRecord],
        journal: Iterable[ConsumerRecord],
        analytics: Totals | None = None,
    ) -> None:
        """`analytics`: what analytics has counted in the partition, as of the seq in it."""
        ids = DecidedIds(self._decided_elsewhere)
        PartitionAudit(
            partition,
            self._partitions,
            self.findings,
            ids,
            dead_letters=self._dead_letters,
            reroutes=self._reroutes,
            analytics=analytics,
        ).run(self._sources(partition, orders), journal)
        self._decided_elsewhere.update(ids.hashes)

    def finish(self) -> Findings:
        self._check(self._dead_letters, ViolationKind.DEAD_LETTER_MISSING, "are not among the dead letters")
        self._check(
            self._reroutes, ViolationKind.REROUTE_MISSING, "are not in the partition they were sent on to"
        )
        for order_id in sorted(self._missing):
            what = f"order {order_id!r} is not in order-events"
            self.findings.report(Violation(ViolationKind.EXPECTED_MISSING, what))
        return self.findings

    def _sources(self, partition: int, orders: Iterable[ConsumerRecord]) -> Iterator[SourceRecord]:
        """Every record of order-events, also those that are not decided yet."""
        for record in orders:
            self.findings.records += 1
            event: Input | Undecodable
            try:
                event = decode_input(record.value)
            except Undecodable as fault:
                event = fault
            if self._missing and isinstance(event, OrderPlaced):
                self._missing.discard(event.order_id)
            origin = header(record, ORIGIN_HEADER)
            if origin is not None:
                self._reroutes.add((partition, origin, record.value))
            yield SourceRecord(record, event, _milliseconds(header(record, ORIGIN_TIME_HEADER)))

    def _check(self, outputs: SideOutputs, kind: ViolationKind, what: str) -> None:
        for found, partition, offset, seq in outputs.promised():
            if found:
                self.findings.repeated += found - 1
            else:
                self.findings.report(Violation(kind, f"the record's bytes {what}", partition, offset, seq))


def _milliseconds(digits: bytes | None) -> int | None:
    """The time in a header; None if no owner can have written it."""
    if digits is None or not digits.isdigit() or len(digits) > TIME_DIGITS_MAX:
        return None
    return int(digits)
