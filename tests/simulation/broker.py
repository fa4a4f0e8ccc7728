"""A simulated broker: topics whose appends can be late, and consumer groups with sessions.

It keeps Kafka's guarantees and no others. The records of a topic keep their order; an append that its writer
gave up can land later; a member that the group dropped learns it only from a commit.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from tests.builders import APPENDED_AT_MS, ARecord
from tests.simulation.memory_log import MemoryLog

LATE_BATCHES_MAX = 8  # batches


@dataclass(slots=True)
class Clock:
    ms: int = 0

    def __call__(self) -> float:
        return self.ms / 1000


@dataclass(slots=True, eq=False)
class InFlight:
    """A batch that its writer gave up; it lands after `batches_before` others of its partition."""

    tp: TopicPartition
    batch: Sequence[ProducerRecord]
    batches_before: int


class Topics(MemoryLog):
    """All topics. None at an offset without a record (a transaction marker, or after compaction)."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.records: defaultdict[TopicPartition, list[ARecord | None]] = defaultdict(list)
        self._clock = clock
        self.in_flight: list[InFlight] = []

    def end(self, tp: TopicPartition) -> int:
        return len(self.records[tp])

    def span(self, tp: TopicPartition, start: int, end: int) -> list[ARecord]:
        return [record for record in self.records[tp][start:end] if record]

    def records_of(self, topic: str, partition: int) -> list[ARecord]:
        return [record for record in self.records[TopicPartition(topic, partition)] if record]

    def append_batch(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult:
        """All records of a batch get the same append time."""
        slots = self.records[tp]
        first, at_ms = len(slots), APPENDED_AT_MS + self._clock.ms
        for offset, (key, value, headers) in enumerate(batch, first):
            slots.append(ARecord(offset, value, key, at_ms, headers))
        landed = AppendResult(first, len(slots))
        if self.in_flight:
            self._count_down_late_batches(tp)
        return landed

    def append_late(self, late: InFlight) -> None:
        self.in_flight.remove(late)
        self.append_batch(late.tp, late.batch)

    def _count_down_late_batches(self, tp: TopicPartition) -> None:
        for late in [late for late in self.in_flight if late.tp == tp]:
            late.batches_before -= 1
            if late.batches_before == 0:
                self.append_late(late)

    def add_transaction_marker(self, tp: TopicPartition) -> None:
        """An offset without a record, as another client's transaction leaves it."""
        self.records[tp].append(None)

    def rewrite(self, tp: TopicPartition, offset: int, value: bytes | None) -> None:
        slots = self.records[tp]
        slots[offset] = replace(slots[offset], value=value)

    def compact(self, tp: TopicPartition) -> None:
        """Keep only the newest record of each key."""
        slots = self.records[tp]
        newest = {record.key: record.offset for record in slots if record}
        slots[:] = [record if record and newest[record.key] == record.offset else None for record in slots]


class Member(Protocol):
    """What the coordinator calls on a group consumer."""

    assigned: set[int]

    def gain(self, partition: int, position: int | None) -> None: ...
    def lose(self, partitions: set[int]) -> None: ...


class Coordinator:
    """One group on one topic with cooperative rebalancing: the present and the intended assignment."""

    def __init__(self, random: Random, partitions: int) -> None:
        self._random, self._partitions = random, range(partitions)
        self.members: list[Member] = []
        self.committed: dict[int, int] = {}
        self._holders: dict[int, Member] = {}
        self._targets: dict[int, Member] = {}

    def join(self, member: Member) -> None:
        self.members.append(member)
        self.rebalance()

    def drop(self, member: Member) -> None:
        """The member left or its session expired; it may still believe that it owns partitions."""
        if member in self.members:
            self.members.remove(member)
            self._holders = {p: holder for p, holder in self._holders.items() if holder is not member}
            self.rebalance()

    def rebalance(self) -> None:
        """Assigns at random, not with the fewest moves: a harder case for the instances."""
        if not self.members:
            self._targets = {}
            return
        order = self._random.sample(self.members, len(self.members))
        first = self._random.randrange(len(order))
        self._targets = {p: order[(first + p) % len(order)] for p in self._partitions}

    @property
    def is_settled(self) -> bool:
        return self._holders == self._targets

    def sync(self, member: Member) -> None:
        """The member revokes what is not in its share, and gains what no other member holds any more."""
        share = {p for p, target in self._targets.items() if target is member}
        if revoked := member.assigned - share:
            member.lose(revoked)
            self._holders = {p: holder for p, holder in self._holders.items() if p not in revoked}
        for partition in sorted(share - self._holders.keys()):
            self._holders[partition] = member
            member.gain(partition, self.committed.get(partition))
