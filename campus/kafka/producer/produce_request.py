"""Kafka's Produce, as bytes: the request that every order and every outcome takes, and the leader's answer.

kafka-python makes it of Kafka's schemas, like a hundred others, and that takes four times as long: with one
customer at a time an eighth of the orders a second (benchmarks/http). So its connection is handed this in the
place of its own classes, in those versions whose layout is plain: https://kafka.apache.org/protocol, Produce.
Byte for byte it is what kafka-python makes of the same (test_produce_request_properties.py).
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Any, NamedTuple, TypeAlias

API_KEY = 0
OLDEST, NEWEST = 3, 8  # 3: the first with today's batches; 9 packs its lengths otherwise and tells no more
HAS_LOG_START, HAS_MESSAGES = 5, 8
ALL_IN_SYNC = -1

# A text has its length in bytes before it, and one that is not there has the length -1.
INT16, INT32 = Struct(">h"), Struct(">i")
HEADER = Struct(">ihhih")  # bytes that follow, API, version, correlation id, length of the client id
BODY = Struct(">hhii")  # length of the transactional id, acks, timeout in ms, topics
PARTITION = Struct(">ii")  # its number, the bytes of its batch
APPENDED = Struct(">ihqq")  # partition, error code, first offset, the log's time if it sets one
LOG_START_BYTES = 8

Batches: TypeAlias = Mapping[str, Sequence[tuple[int, bytes | bytearray]]]  # topic -> partition, batch


class Appended(NamedTuple):
    topic: str
    partition: int
    error: int
    first: int  # the offset of the batch's first record
    message: str | None  # about the error


class ProduceResponse(NamedTuple):
    appended: list[Appended]
    throttle_time_ms: int


class ProduceRequest:
    """What kafka-python's connection asks of a request. It sets the version, then the header."""

    API_KEY = API_KEY
    name = "ProduceRequest"
    min_version = _min_version = OLDEST
    max_version = _max_version = NEWEST

    def __init__(self, batches: Batches, *, timeout_s: float) -> None:
        self.API_VERSION: int | None = None
        self.header: _Header | None = None
        self._client_id = b""
        self._batches = batches
        self._timeout_ms = max(1, round(timeout_s * 1000))

    def expect_response(self) -> bool:
        return True

    def with_header(self, *, correlation_id: int, client_id: str) -> None:
        assert self.API_VERSION is not None
        self.header = _Header(API_KEY, self.API_VERSION, correlation_id)
        self._client_id = client_id.encode()

    def encode(self, *, header: bool, framed: bool) -> bytes:
        assert (header, framed) == (True, True), "a request is sent whole"
        assert self.header is not None
        api_key, api_version, correlation_id = self.header
        body = BODY.pack(-1, ALL_IN_SYNC, self._timeout_ms, len(self._batches))
        parts: list[bytes | bytearray] = [self._client_id, body]
        for topic, batches in self._batches.items():
            name = topic.encode()
            parts += INT16.pack(len(name)), name, INT32.pack(len(batches))
            for partition, batch in batches:
                parts += PARTITION.pack(partition, len(batch)), batch
        size = HEADER.size - INT32.size + sum(map(len, parts))
        head = HEADER.pack(size, api_key, api_version, correlation_id, len(self._client_id))
        return b"".join((head, *parts))


class _Header(NamedTuple):
    api_key: int
    api_version: int
    correlation_id: int

    def get_response_class(self) -> "_Decoder":
        return _Decoder(self.api_version)


class _ResponseHeader(NamedTuple):
    correlation_id: int


class _Decoder(NamedTuple):
    version: int

    def parse_header(self, data: Any) -> _ResponseHeader:
        return _ResponseHeader(*INT32.unpack(data.read(INT32.size)))

    def decode(self, data: Any) -> ProduceResponse:
        """Raises ValueError or struct.error if it is cut short."""
        reader = _Reader(data.read())
        appended = []
        for _ in range(reader.int32()):
            topic = reader.text()
            appended += [self._appended(reader, topic) for _ in range(reader.int32())]
        return ProduceResponse(appended, reader.int32())

    def _appended(self, reader: "_Reader", topic: str | None) -> Appended:
        partition, error, first, _ = reader.take(APPENDED)
        message = None
        if self.version >= HAS_LOG_START:
            reader.at += LOG_START_BYTES
        if self.version >= HAS_MESSAGES:
            for _ in range(reader.int32()):  # about single records
                reader.int32()
                reader.text()
            message = reader.text()
        return Appended(topic or "", partition, error, first, message)


class _Reader:
    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, struct: Struct) -> tuple[Any, ...]:
        at, self.at = self.at, self.at + struct.size
        return struct.unpack_from(self.data, at)

    def int32(self) -> int:
        number: int
        (number,) = self.take(INT32)
        return number

    def text(self) -> str | None:
        (length,) = self.take(INT16)
        if length < 0:
            return None
        at, self.at = self.at, self.at + length
        return self.data[at : self.at].decode()
