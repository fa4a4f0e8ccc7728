"""Cuts the records of an append into batches, and reads the answers in a Produce response.

A produce batch takes the next batch of each partition that has records left, so a partition's records stay in
order. Not here: which broker gets them (leaders.py), and when (writer.py).
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kafka import errors as kafka_errors
from kafka.record.memory_records import MemoryRecordsBuilder

from campus.kafka.producer.produce_request import ProduceRequest, ProduceResponse
from campus.kafka.records import AppendResult, ProducerRecord, Records, TopicPartition

BATCH_BYTES_MAX = 512 * 1024  # for one partition; the default max.message.bytes of a topic is 1 MiB
RECORD_OVERHEAD_BYTES = 36  # at most: attributes, and varints of length, time, offset, key, value, headers
HEADER_OVERHEAD_BYTES = 10  # at most: varints of the lengths of name and value


@dataclass(frozen=True, slots=True)
class Batch:
    data: bytearray
    count: int


Batches: TypeAlias = Mapping[TopicPartition, Batch]
# The offset of each batch's first record, or why the batch was not written.
Answers: TypeAlias = Mapping[TopicPartition, int | Exception]


def size_bound(record: ProducerRecord) -> int:
    """An upper bound of the bytes that the record takes in a batch."""
    key, value, headers = record
    size = RECORD_OVERHEAD_BYTES + len(key or b"") + len(value or b"")
    for name, content in headers:
        size += HEADER_OVERHEAD_BYTES + len(name.encode()) + len(content)
    return size


class Remaining:
    """The records that an append has still to send, and where the others landed."""

    def __init__(self, records: Records) -> None:
        self._records = {tp: tp_records for tp, tp_records in records.items() if tp_records}
        self._sent = dict.fromkeys(self._records, 0)
        self._landed: dict[TopicPartition, AppendResult] = {}

    def next_batches(self) -> dict[TopicPartition, Batch]:
        """The next batch of each partition that has records left."""
        now_ms = int(time.time() * 1000)
        return {
            tp: _batch(records, self._sent[tp], now_ms)
            for tp, records in self._records.items()
            if self._sent[tp] < len(records)
        }

    def update(self, batches: Batches, answers: Answers) -> None:
        for tp, answer in answers.items():
            if isinstance(answer, int):
                count = batches[tp].count
                before = self._landed.get(tp)
                self._landed[tp] = AppendResult(before.first if before else answer, answer + count)
                self._sent[tp] += count

    @property
    def landed(self) -> dict[TopicPartition, AppendResult]:
        """The partitions whose records have all landed."""
        return {tp: at for tp, at in self._landed.items() if self._sent[tp] == len(self._records[tp])}


def _batch(records: Sequence[ProducerRecord], start: int, now_ms: int) -> Batch:
    """As many records from `start` on as fit; at least one, however large."""
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


def produce_request(batches: Batches, *, timeout_s: float) -> ProduceRequest:
    by_topic: dict[str, list[tuple[int, bytearray]]] = defaultdict(list)
    for tp, batch in batches.items():
        by_topic[tp.topic].append((tp.partition, batch.data))
    return ProduceRequest(by_topic, timeout_s=timeout_s)


def parse_answers(response: ProduceResponse, batches: Batches) -> Answers:
    """The leader's answer to each batch."""
    missing = kafka_errors.KafkaTimeoutError("the broker's response does not mention this partition")
    answers: dict[TopicPartition, int | Exception] = dict.fromkeys(batches, missing)
    for topic, partition, code, offset, message in response.partitions:
        answers[TopicPartition(topic, partition)] = error_for(code, message) if code else offset
    return answers


def error_for(code: int, message: str | None) -> Exception:
    kind = kafka_errors.for_code(code)
    error: Exception = kind(message) if message else kind()
    return error
