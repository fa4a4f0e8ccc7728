"""Kafka in a dictionary: the log, the group and the history that the owner's loop needs, and no thread.

It keeps Kafka's promises and nothing more: an append lands whole or not at all, or lands and its
acknowledgement is lost; offsets grow by one; a group hands out what is assigned at each poll.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from kafka.errors import KafkaConnectionError

from campus.config.settings import TopicsConfig
from campus.domain.events import JournalEvent
from campus.domain.journal import JournalRule
from campus.kafka.group_consumer import Fenced, PollResult
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import AppendResult, Bounds, ProducerRecord, TopicPartition
from tests.builders import APPENDED_AT_MS, ARecord

TOPICS = TopicsConfig(partitions=4)


class MemoryLog:
    """All topics. `lose_next`: the next append never arrives, or arrives and is not acknowledged."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[ARecord]] = {}
        self.lose_next: str | None = None
        self.appends: list[dict[TopicPartition, int]] = []

    def append(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]], **_: Any
    ) -> dict[TopicPartition, AppendResult]:
        lost, self.lose_next = self.lose_next, None
        if lost == "before":
            raise AppendFailed({tp: KafkaConnectionError("lost") for tp in records}, {})
        landed = {tp: self._land(tp, batch) for tp, batch in records.items()}
        self.appends.append({tp: len(batch) for tp, batch in records.items()})
        if lost == "after":
            raise AppendFailed({tp: KafkaConnectionError("lost") for tp in records}, {})
        return landed

    def at(self, topic: str, partition: int) -> list[ARecord]:
        return self.records.setdefault(TopicPartition(topic, partition), [])

    def counting(self, partition: int) -> list[JournalEvent]:
        """What of a partition of the journal counts, claims among it."""
        return list(JournalRule().counting(self.at(TOPICS.journal_topic, partition)))

    def _land(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult:
        records = self.at(*tp)
        first = len(records)
        for offset, (key, value, headers) in enumerate(batch, first):
            records.append(ARecord(offset, value, key, APPENDED_AT_MS + offset, tuple(headers)))
        return AppendResult(first, len(records))


class MemoryGroup:
    """A member of a group. Set `assigned`, `lost` and `is_fenced` to make a rebalance."""

    def __init__(self, log: MemoryLog, topic: str, assigned: Collection[int]) -> None:
        self._log, self._topic = log, topic
        self.assigned = frozenset(assigned)
        self.lost: frozenset[int] = frozenset()
        self.is_fenced = False
        self.redeliver = 0  # that many records of the past come again in the next poll
        self.positions_now: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.wishes: dict[int, int] = {}  # commits by some tool, until the next of ours

    def poll(self, *, timeout_s: float, records_max: int) -> PollResult:
        lost, self.lost = self.lost, frozenset()
        batches = {}
        for partition in sorted(self.assigned):
            position = max(0, self.positions_now.get(partition, 0) - self.redeliver)
            records = self._log.at(self._topic, partition)[position : position + records_max]
            if records:
                batches[partition] = records
                self.positions_now[partition] = records[-1].offset + 1
        self.redeliver = 0
        return PollResult(self.assigned, lost, batches)

    def seek(self, partition: int, offset: int) -> None:
        self.positions_now[partition] = offset

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        return {partition: self.positions_now[partition] for partition in partitions}

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        return {partition: len(self._log.at(self._topic, partition)) for partition in partitions}

    def commit(self, partitions: Collection[int]) -> None:
        if self.is_fenced:
            raise Fenced("the group goes on without this member")
        self.committed.update({p: self.positions_now[p] for p in partitions})
        self.wishes = {p: to for p, to in self.wishes.items() if p not in partitions}

    def externally_moved_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        return {p: to for p, to in self.wishes.items() if p in partitions}


class MemoryHistory:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.trimmed_to: dict[TopicPartition, int] = {}
        self.read_from: dict[TopicPartition, int] = {}

    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        return {p: Bounds(self.trimmed_to.get(p, 0), len(self._log.at(*p))) for p in tps}

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Any = None
    ) -> Iterator[tuple[TopicPartition, Sequence[ARecord]]]:
        for tp, span in spans.items():
            self.read_from[tp] = span.start
            yield tp, self._log.at(*tp)[span.start : span.end]
