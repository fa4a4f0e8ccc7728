"""What one append sends and learns: records cut into batches, a produce request, the answers in it.

Each round takes the next batch of every place that has records left, so all of a call's batches of one
place go out in order. Not here: which broker gets them (leaders.py), and when (writer.py).
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kafka import errors as kafka_errors
from kafka.record.memory_records import MemoryRecordsBuilder

from campus.kafka.producer.produce_request import ProduceRequest, ProduceResponse
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition

BATCH_BYTES_MAX = 512 * 1024  # of one place in one round; a topic takes 1 MiB unless it is told otherwise
RECORD_OVERHEAD_BYTES = 36  # at most: attributes, and varints of length, time, offset, key, value, headers
HEADER_OVERHEAD_BYTES = 10  # at most: varints of the name's and the value's length


@dataclass(frozen=True, slots=True)
class Batch:
    data: bytearray
    count: int


Answer: TypeAlias = int | Exception  # the offset of a batch's first record, or why it has none


def size_most(record: ProducerRecord) -> int:
    """An upper bound of the bytes that a record takes in a batch."""
    key, value, headers = record
    size = RECORD_OVERHEAD_BYTES + len(key or b"") + len(value or b"")
    for name, content in headers:
        size += HEADER_OVERHEAD_BYTES + len(name.encode()) + len(content)
    return size


class Remaining:
    """What one append call has still to send, and what has become of the rest."""

    def __init__(self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]) -> None:
        self._records = {tp: those for tp, those in records.items() if those}
        self._sent = dict.fromkeys(self._records, 0)
        self._landed: dict[TopicPartition, AppendResult] = {}

    @property
    def partitions(self) -> list[TopicPartition]:
        return list(self._records)

    def cut(self) -> dict[TopicPartition, Batch]:
        """The next batch of each place; nothing when everything is sent."""
        now_ms = int(time.time() * 1000)
        return {
            tp: _batch(records, self._sent[tp], now_ms)
            for tp, records in self._records.items()
            if self._sent[tp] < len(records)
        }

    def note(self, batches: Mapping[TopicPartition, Batch], answers: Mapping[TopicPartition, Answer]) -> None:
        for tp, answer in answers.items():
            if isinstance(answer, int):
                count = batches[tp].count
                before = self._landed.get(tp)
                self._landed[tp] = AppendResult(before.first if before else answer, answer + count)
                self._sent[tp] += count

    @property
    def landed(self) -> dict[TopicPartition, AppendResult]:
        """The places of which every record has landed."""
        return {p: at for p, at in self._landed.items() if self._sent[p] == len(self._records[p])}


def _batch(records: Sequence[ProducerRecord], start: int, now_ms: int) -> Batch:
    """The records from `start` on, as many as fit; the first one always does, alone if need be."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=BATCH_BYTES_MAX)
    append = builder.append
    count = 0
    for index in range(start, len(records)):
        key, value, headers = records[index]
        if append(now_ms, key, value, headers) is None:
            break
        count += 1
    builder.close()
    return Batch(builder.buffer(), count)


def produce_request(batches: Mapping[TopicPartition, Batch], *, timeout_s: float) -> ProduceRequest:
    """One request with all the batches of one leader."""
    by_topic: dict[str, list[tuple[int, bytearray]]] = defaultdict(list)
    for tp, batch in batches.items():
        by_topic[tp.topic].append((tp.partition, batch.data))
    return ProduceRequest(by_topic, timeout_s=timeout_s)


def answers_in(
    response: ProduceResponse, asked: Mapping[TopicPartition, Batch]
) -> dict[TopicPartition, Answer]:
    """What the leader says of each place that it was asked to write."""
    answers: dict[TopicPartition, Answer] = {
        tp: kafka_errors.KafkaTimeoutError("the broker's answer leaves this partition out") for tp in asked
    }
    for topic, partition, error, first, message in response.appended:
        answers[TopicPartition(topic, partition)] = error_for(error, message) if error else first
    return answers


def error_for(code: int, told: str | None) -> Exception:
    kind = kafka_errors.for_code(code)
    error: Exception = kind(told) if told else kind()
    return error
