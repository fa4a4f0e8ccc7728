"""What one append sends and learns: records cut into batches, a produce request, the answers in it.

Each round takes the next batch of every place that has records left, so all of a call's batches of one
place go out in order. Not here: which broker gets them (leaders.py), and when (writer.py).
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from kafka import errors as kafka_errors
from kafka.record.memory_records import MemoryRecordsBuilder

from campus.runtime.errors import CampusError
from campus.stream.produce import ProduceRequest, ProduceResponse

BATCH_BYTES_MAX = 512 * 1024  # of one place in one round; a topic takes 1 MiB unless it is told otherwise
RECORD_OVERHEAD_BYTES = 36  # at most: attributes, and varints of length, time, offset, key, value, headers
HEADER_OVERHEAD_BYTES = 10  # at most: varints of the name's and the value's length

Key: TypeAlias = bytes | None
Value: TypeAlias = bytes | None
Outgoing: TypeAlias = tuple[Key, Value, Sequence[tuple[str, bytes]]]


class Place(NamedTuple):
    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


@dataclass(frozen=True, slots=True)
class Landed:
    """The offset of the first record, and the one after the last.

    `end - first` is the number of records if and only if nobody else wrote between them.
    """

    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Batch:
    data: bytearray
    count: int


Answer: TypeAlias = int | Exception  # the offset of a batch's first record, or why it has none


class WriterClosed(CampusError):
    def __init__(self) -> None:
        super().__init__(
            "this writer is closed and appends nothing. Probably its role is stopping: make a new one"
        )


# A round that failed so may be sent again; anything else is refused for good.
RETRIABLE: tuple[type[Exception], ...] = (
    # The leader moved, is not elected, or cannot be reached; the topic is not made yet.
    kafka_errors.InvalidMetadataError,
    kafka_errors.UnknownBrokerIdError,
    kafka_errors.BrokerNotAvailableError,
    # Nobody answered in time: the broker hangs, or its followers do.
    kafka_errors.KafkaTimeoutError,
    kafka_errors.RequestTimedOutError,
    # Between two attempts to connect; a broker that has just started; a connection that idled too long.
    kafka_errors.NodeNotReadyError,
    kafka_errors.MetadataEmptyBrokerList,
    kafka_errors.Cancelled,
    # Too few followers are there: they come back.
    kafka_errors.NotEnoughReplicasError,
    kafka_errors.NotEnoughReplicasAfterAppendError,
    # Nobody's refusal: what was in flight then may have landed, and a new writer can try again.
    WriterClosed,
    # The checksum broke on the way: the bytes that we have are right.
    kafka_errors.CorruptRecordError,
)


class AppendFailed(CampusError):
    """What was written is unknown, but for the places that `landed`, and the `refused` ones' last batch.

    `errors`: what went wrong, per place. `refused`: those of them that trying again cannot mend.
    `retriable`: trying again can mend all. A place in neither `errors` nor `landed` is written in part.
    """

    def __init__(
        self, errors: Mapping[Place, Exception], landed: Mapping[Place, Landed] | None = None
    ) -> None:
        assert errors, "a failure without an error"
        self.errors = dict(errors)
        self.landed = dict(landed or {})
        self.refused = {p: e for p, e in errors.items() if not isinstance(e, RETRIABLE)}
        self.retriable = not self.refused
        place, error = next(iter((self.refused or self.errors).items()))
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{place}{others} did not acknowledge: {_one_line(error)}. {self._advice()}")

    def _advice(self) -> str:
        if self.retriable:
            return "Probably the broker is away, or its partitions are moving. What was sent may have landed."
        return "Sending the same again will not help."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def size_most(record: Outgoing) -> int:
    """An upper bound of the bytes that a record takes in a batch."""
    key, value, headers = record
    size = RECORD_OVERHEAD_BYTES + len(key or b"") + len(value or b"")
    for name, content in headers:
        size += HEADER_OVERHEAD_BYTES + len(name.encode()) + len(content)
    return size


class Remaining:
    """What one append call has still to send, and what has become of the rest."""

    def __init__(self, records: Mapping[Place, Sequence[Outgoing]]) -> None:
        self._records = {place: those for place, those in records.items() if those}
        self._sent = dict.fromkeys(self._records, 0)
        self._landed: dict[Place, Landed] = {}

    @property
    def places(self) -> list[Place]:
        return list(self._records)

    def cut(self) -> dict[Place, Batch]:
        """The next batch of each place; nothing when everything is sent."""
        now_ms = int(time.time() * 1000)
        return {
            place: _batch(records, self._sent[place], now_ms)
            for place, records in self._records.items()
            if self._sent[place] < len(records)
        }

    def note(self, batches: Mapping[Place, Batch], answers: Mapping[Place, Answer]) -> None:
        for place, answer in answers.items():
            if isinstance(answer, int):
                count = batches[place].count
                before = self._landed.get(place)
                self._landed[place] = Landed(before.first if before else answer, answer + count)
                self._sent[place] += count

    @property
    def landed(self) -> dict[Place, Landed]:
        """The places of which every record has landed."""
        return {p: at for p, at in self._landed.items() if self._sent[p] == len(self._records[p])}


def _batch(records: Sequence[Outgoing], start: int, now_ms: int) -> Batch:
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


def produce_request(batches: Mapping[Place, Batch], *, timeout_s: float) -> ProduceRequest:
    """One request with all the batches of one leader."""
    by_topic: dict[str, list[tuple[int, bytearray]]] = defaultdict(list)
    for place, batch in batches.items():
        by_topic[place.topic].append((place.partition, batch.data))
    return ProduceRequest(by_topic, timeout_s=timeout_s)


def answers_in(response: ProduceResponse, asked: Mapping[Place, Batch]) -> dict[Place, Answer]:
    """What the leader says of each place that it was asked to write."""
    answers: dict[Place, Answer] = {
        place: kafka_errors.KafkaTimeoutError("the broker's answer leaves this partition out")
        for place in asked
    }
    for topic, partition, error, first, message in response.appended:
        answers[Place(topic, partition)] = error_for(error, message) if error else first
    return answers


def error_for(code: int, told: str | None) -> Exception:
    kind = kafka_errors.for_code(code)
    error: Exception = kind(told) if told else kind()
    return error
