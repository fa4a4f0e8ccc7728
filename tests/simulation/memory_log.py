"""Kafka in memory: the writer, group consumer and log reader that the loops need, without any thread.

It keeps Kafka's guarantees and no others: an append lands whole or not at all, or it lands and its
acknowledgement is lost; offsets grow by one; each poll returns the current assignment.
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
    """All topics, and the writer that appends to them.

    `lose_next`: "before" loses the next append, "after" loses only its acknowledgement.
    """

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
        results = {tp: self._land(tp, batch) for tp, batch in records.items()}
        self.appends.append({tp: len(batch) for tp, batch in records.items()})
        if lost == "after":
            raise AppendFailed({tp: KafkaConnectionError("lost") for tp in records}, {})
        return results

    def at(self, topic: str, partition: int) -> list[ARecord]:
        return self.records.setdefault(TopicPartition(topic, partition), [])

    def counting(self, partition: int) -> list[JournalEvent]:
        """The events that count in a journal partition, claims included."""
        return list(JournalRule().counting(self.at(TOPICS.journal_topic, partition)))

    def _land(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult:
        records = self.at(*tp)
        first = len(records)
        for offset, (key, value, headers) in enumerate(batch, first):
            records.append(ARecord(offset, value, key, APPENDED_AT_MS + offset, tuple(headers)))
        return AppendResult(first, len(records))


class MemoryGroup:
    """A group consumer. A test sets `assigned`, `lost` and `is_fenced` to cause a rebalance."""

    def __init__(self, log: MemoryLog, topic: str, assigned: Collection[int]) -> None:
        self._log, self._topic = log, topic
        self.assigned = frozenset(assigned)
        self.lost: frozenset[int] = frozenset()
        self.is_fenced = False
        self.redeliver = 0  # so many older records come again in the next poll
        self.positions_now: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.moved_offsets: dict[int, int] = {}  # set by an external tool, until our next commit

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
        self.moved_offsets = {p: to for p, to in self.moved_offsets.items() if p not in partitions}

    def externally_moved_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        return {p: to for p, to in self.moved_offsets.items() if p in partitions}


class MemoryReader:
    """A log reader. `trimmed_to`: first offsets; `read_from`: where the last read of each log began."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self.trimmed_to: dict[TopicPartition, int] = {}
        self.read_from: dict[TopicPartition, int] = {}

    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        return {tp: Bounds(self.trimmed_to.get(tp, 0), len(self._log.at(*tp))) for tp in tps}

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Any = None
    ) -> Iterator[tuple[TopicPartition, Sequence[ARecord]]]:
        for tp, span in spans.items():
            self.read_from[tp] = span.start
            yield tp, self._log.at(*tp)[span.start : span.end]
