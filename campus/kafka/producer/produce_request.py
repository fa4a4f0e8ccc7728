"""Kafka's Produce request and response as bytes.

kafka-python makes the same bytes from a general schema, which takes four times as long: with one HTTP client
an eighth of the requests per second (benchmarks/http). So its connection is given this instead, for the
versions with the plain layout (https://kafka.apache.org/protocol, Produce).
"""

from collections import defaultdict
from io import BytesIO
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

from kafka import errors as kafka_errors

from campus.kafka.producer.batches import Batches
from campus.kafka.records import TopicPartition

OLDEST, NEWEST = 3, 8  # 3: the first with v2 record batches; 9 encodes lengths differently and adds nothing
HAS_LOG_START, HAS_MESSAGES = 5, 8
ACKS_ALL = -1

# A string follows its length in bytes; null has the length -1.
INT16, INT32 = Struct(">h"), Struct(">i")
HEADER = Struct(">ihhih")  # bytes that follow, API key, version, correlation id, length of the client id
BODY = Struct(">hhii")  # length of the transactional id, acks, timeout in ms, number of topics
PARTITION = Struct(">ii")  # number, bytes of its batch
RESPONSE = Struct(">ihqq")  # partition, error code, base offset, log append time
LOG_START_BYTES = 8

# The offset of each batch's first record, or why the batch was not written.
Answers: TypeAlias = dict[TopicPartition, int | Exception]


class ProduceResponse(NamedTuple):
    answers: Answers
    throttle_time_ms: int


class ProduceRequest:
    """What kafka-python's connection needs of a request. It sets the version, then the header."""

    API_KEY = 0
    name = "ProduceRequest"
    min_version = _min_version = OLDEST
    max_version = _max_version = NEWEST

    def __init__(self, batches: Batches, *, timeout_s: float) -> None:
        self.API_VERSION: int | None = None
        self.header: _Header | None = None
        self._client_id = b""
        self._topics: dict[str, list[tuple[int, bytearray]]] = defaultdict(list)
        for tp, batch in batches.items():
            self._topics[tp.topic].append((tp.partition, batch.data))
        self._timeout_ms = max(1, round(timeout_s * 1000))

    def expect_response(self) -> bool:
        return True

    def with_header(self, *, correlation_id: int, client_id: str) -> None:
        assert self.API_VERSION is not None
        self.header = _Header(self.API_KEY, self.API_VERSION, correlation_id)
        self._client_id = client_id.encode()

    def encode(self, *, header: bool, framed: bool) -> bytes:
        assert (header, framed) == (True, True), "only a whole request is encoded"
        assert self.header is not None
        api_key, api_version, correlation_id = self.header
        body = BODY.pack(-1, ACKS_ALL, self._timeout_ms, len(self._topics))
        parts: list[bytes | bytearray] = [self._client_id, body]
        for topic, batches in self._topics.items():
            name = topic.encode()
            parts += INT16.pack(len(name)), name, INT32.pack(len(batches))
            for partition, batch in batches:
                parts += PARTITION.pack(partition, len(batch)), batch
        size = HEADER.size - INT32.size + sum(map(len, parts))
        head = HEADER.pack(size, api_key, api_version, correlation_id, len(self._client_id))
        return b"".join((head, *parts))


class _Header(NamedTuple):
    """The header of a request; as its response class it also decodes the response."""

    api_key: int
    api_version: int
    correlation_id: int

    def get_response_class(self) -> "_Header":
        return self

    def parse_header(self, data: Any) -> "_Header":
        return self._replace(correlation_id=INT32.unpack(data.read(INT32.size))[0])

    def decode(self, data: Any) -> ProduceResponse:
        """Raises ValueError or struct.error if the response is cut short."""
        data = BytesIO(data.read())
        answers: Answers = {}
        for _ in range(_int32(data)):
            topic = _string(data) or ""
            for _ in range(_int32(data)):
                partition, answer = self._partition(data)
                answers[TopicPartition(topic, partition)] = answer
        return ProduceResponse(answers, _int32(data))

    def _partition(self, data: BytesIO) -> tuple[int, int | Exception]:
        partition, error_code, base_offset, _ = RESPONSE.unpack(data.read(RESPONSE.size))
        message = None
        if self.api_version >= HAS_LOG_START:
            data.read(LOG_START_BYTES)
        if self.api_version >= HAS_MESSAGES:
            for _ in range(_int32(data)):  # errors of single records
                _int32(data)
                _string(data)
            message = _string(data)
        if not error_code:
            return partition, base_offset
        error = kafka_errors.for_code(error_code)
        return partition, error(message) if message else error()


def _int32(data: BytesIO) -> int:
    return int(INT32.unpack(data.read(INT32.size))[0])


def _string(data: BytesIO) -> str | None:
    (length,) = INT16.unpack(data.read(INT16.size))
    return None if length < 0 else str(data.read(length), "utf-8")
