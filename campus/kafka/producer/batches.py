"""Encodes records as record batches of limited size."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kafka.record.memory_records import MemoryRecordsBuilder

from campus.kafka.records import ProducerRecord, TopicPartition

BATCH_BYTES_MAX = 512 * 1024  # for one partition; the default max.message.bytes of a topic is 1 MiB
RECORD_OVERHEAD_BYTES = 36  # at most: attributes, and varints of length, time, offset, key, value, headers
HEADER_OVERHEAD_BYTES = 10  # at most: varints of the lengths of name and value


@dataclass(frozen=True, slots=True)
class Batch:
    data: bytearray
    count: int


Batches: TypeAlias = Mapping[TopicPartition, Batch]


def encode_batch(records: Sequence[ProducerRecord], start: int) -> Batch:
    """As many records from `start` on as fit; at least one, however large."""
    builder = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=BATCH_BYTES_MAX)
    append, now_ms = builder.append, int(time.time() * 1000)
    for index in range(start, len(records)):
        key, value, headers = records[index]
        if append(now_ms, key, value, headers) is None:
            break
    builder.close()
    return Batch(builder.buffer(), builder.next_offset())


def size_bound(record: ProducerRecord) -> int:
    """An upper bound of the bytes that the record takes in a batch."""
    key, value, headers = record
    size = RECORD_OVERHEAD_BYTES + len(key or b"") + len(value or b"")
    for name, content in headers:
        size += HEADER_OVERHEAD_BYTES + len(name.encode()) + len(content)
    return size
