"""The values that go to and come from Kafka: where a record stands, what is written, what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kafka.structs import TopicPartition as KafkaTopicPartition

Key: TypeAlias = bytes | None
Value: TypeAlias = bytes | None
Headers: TypeAlias = Sequence[tuple[str, bytes]]
ProducerRecord: TypeAlias = tuple[Key, Value, Headers]


class TopicPartition(KafkaTopicPartition):
    """kafka-python's own, printed as `order-events[1]`; equal to it, so each can stand for the other."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


Records: TypeAlias = Mapping[TopicPartition, Sequence[ProducerRecord]]


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The offset of the first record, and the one after the last.

    `end - first` is the number of records if and only if nobody else wrote between them.
    """

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """`start`: the first offset that is still there; `end`: the offset that the next record gets."""

    start: int
    end: int
