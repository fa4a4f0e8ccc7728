"""The values exchanged with Kafka: a partition, a record to write, where it landed, the bounds of a log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kafka.structs import TopicPartition as KafkaTopicPartition

Headers: TypeAlias = Sequence[tuple[str, bytes]]
ProducerRecord: TypeAlias = tuple[bytes | None, bytes | None, Headers]  # key, value, headers


class TopicPartition(KafkaTopicPartition):
    """kafka-python's TopicPartition, equal to it, but printed as `topic[1]`."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


Records: TypeAlias = Mapping[TopicPartition, Sequence[ProducerRecord]]


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The offset of the first record, and the offset after the last.

    `end - first` equals the number of records if and only if nobody else wrote between them.
    """

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """`start`: the first offset the log still holds; `end`: the offset that the next record gets."""

    start: int
    end: int
