"""A broker in a dictionary: topics whose appends can be in flight, and consumer groups with sessions.

It keeps Kafka's promises and nothing more. What stands in a topic stays there in one order; an append that
was given up can land later; a member that was left behind is told only when it asks by a commit.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from tests.builders import APPENDED_AT_MS, ARecord
from tests.simulation.memory_log import MemoryLog

LATE_BY_MOST = 8  # batches


@dataclass(slots=True)
class Clock:
    ms: int = 0

    def __call__(self) -> float:
        return self.ms / 1000


@dataclass(slots=True, eq=False)
class InFlight:
    """A batch that was given up for lost, and lands after so many others have passed it."""

    tp: TopicPartition
    batch: Sequence[ProducerRecord]
    passed_by: int


class Topics(MemoryLog):
    """All topics. Where an offset holds no record (a transaction's marker, compaction) stands None."""

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

    def land(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult:
        """A batch has one append time."""
        slots = self.records[tp]
        first, at_ms = len(slots), APPENDED_AT_MS + self._clock.ms
        for offset, (key, value, headers) in enumerate(batch, first):
            slots.append(ARecord(offset, value, key, at_ms, headers))
        landed = AppendResult(first, len(slots))
        if self.in_flight:
            self._let_pass(tp)
        return landed

    def land_late(self, late: InFlight) -> None:
        self.in_flight.remove(late)
        self.land(late.tp, late.batch)

    def _let_pass(self, tp: TopicPartition) -> None:
        for late in [late for late in self.in_flight if late.tp == tp]:
            late.passed_by -= 1
            if late.passed_by == 0:
                self.land_late(late)

    def leave_marker(self, tp: TopicPartition) -> None:
        """A transaction of somebody else ended: an offset without a record."""
        self.records[tp].append(None)

    def rewrite(self, tp: TopicPartition, offset: int, value: bytes | None) -> None:
        slots = self.records[tp]
        slots[offset] = replace(slots[offset], value=value)

    def compact(self, tp: TopicPartition) -> None:
        """Of each key only the newest record stays."""
        slots = self.records[tp]
        newest = {record.key: record.offset for record in slots if record}
        slots[:] = [record if record and newest[record.key] == record.offset else None for record in slots]


class Member(Protocol):
    """The client's side of a membership, as the coordinator changes it."""

    assigned: set[int]

    def gain(self, partition: int, position: int | None) -> None: ...
    def lose(self, partitions: set[int]) -> None: ...


class Coordinator:
    """One group on one topic, cooperative: who holds what, and who shall."""

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
        """It left, or its session expired; what it believes to hold is its own affair."""
        if member in self.members:
            self.members.remove(member)
            self._holders = {p: holder for p, holder in self._holders.items() if holder is not member}
            self.rebalance()

    def rebalance(self) -> None:
        """Shares by chance, not by what moves least: that is what the instances must bear."""
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
        """The member hears of its share: gives up what is not in it, takes what nobody holds any more."""
        share = {p for p, target in self._targets.items() if target is member}
        if revoked := member.assigned - share:
            member.lose(revoked)
            self._holders = {p: holder for p, holder in self._holders.items() if p not in revoked}
        for partition in sorted(share - self._holders.keys()):
            self._holders[partition] = member
            member.gain(partition, self.committed.get(partition))
