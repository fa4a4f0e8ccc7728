"""Kafka clients as this program wants them: the settings that proved right, under one roof.

The constructors of kafka-python block and leak without a broker, so a client is made only where
something listens. A broker that is away is `BrokerAway`, whichever call met it.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import KafkaError, RetriableError
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from campus.addresses import listens
from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.records import TopicPartition

BOOTSTRAP_TIMEOUT_MS = 3000

AdminClient: TypeAlias = KafkaAdminClient


class BrokerAway(CampusError):
    """No broker answered, or none that could; asking again later may help."""

    def __init__(self, kafka: KafkaConfig, fact: str) -> None:
        super().__init__(
            f"no Kafka at {kafka.bootstrap_servers} ({fact}). "
            "Probably the broker is down or starting. Start it, or let broker.mode be auto."
        )


def kafka_settings(kafka: KafkaConfig) -> dict[str, Any]:
    """Where the brokers are and how to be let in, for any client of kafka-python."""
    security = kafka.security
    return {
        "bootstrap_servers": [str(address) for address in kafka.addresses],
        "security_protocol": security.protocol,
        "ssl_check_hostname": security.ssl_check_hostname,
        "ssl_cafile": _path(security.ssl_cafile),
        "ssl_certfile": _path(security.ssl_certfile),
        "ssl_keyfile": _path(security.ssl_keyfile),
        "ssl_password": _secret(security.ssl_password),
        "sasl_mechanism": security.sasl_mechanism,
        "sasl_plain_username": security.sasl_username,
        "sasl_plain_password": _secret(security.sasl_password),
        "request_timeout_ms": round(kafka.request_timeout_s * 1000),
        # An outage ends within this of the broker's return; kafka-python would wait up to 30 s.
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 300,
    }


def make_consumer(kafka: KafkaConfig, **settings: Any) -> KafkaConsumer:
    """A consumer that hands over bytes and decides nothing by itself. Raises BrokerAway.

    It never commits, never falls back to an offset that nobody asked for, and never makes a topic.
    Not a `value_deserializer`: one that raises does so inside `poll`, and pins the partition.
    """
    return _made(
        kafka,
        KafkaConsumer,
        **kafka_settings(kafka),
        enable_auto_commit=False,
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=kafka.consumer.fetch_max_wait_ms,
        bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS,
        metrics_enabled=False,
        **settings,
    )


@contextmanager
def admin(kafka: KafkaConfig) -> Iterator[KafkaAdminClient]:
    """An admin client for as long as the block lasts. Raises BrokerAway."""
    client = _made(
        kafka, KafkaAdminClient, **kafka_settings(kafka), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS
    )
    try:
        with broker_errors(kafka):
            yield client
    finally:
        client.close()


@contextmanager
def broker_errors(kafka: KafkaConfig) -> Iterator[None]:
    """What kafka-python raises while the broker is away, as BrokerAway; the rest is let through."""
    try:
        yield
    except RetriableError as away:
        raise BrokerAway(kafka, _named(away)) from away


def offsets_of(
    kafka: KafkaConfig, ask: Callable[..., Any], tps: Collection[TopicPartition], **timeout: int
) -> dict[TopicPartition, int]:
    """What a consumer's `beginning_offsets` or `end_offsets` says. Raises BrokerAway."""
    try:
        with broker_errors(kafka):
            offsets: dict[TopicPartition, int] = ask(list(tps), **timeout)
    except KeyError as unknown:
        # How kafka-python meets a partition that the broker knows nothing of: its topic was deleted, or the
        # broker has only just started. Nobody can tell which, so it is waited for.
        (tp,) = unknown.args
        raise BrokerAway(kafka, f"it does not know {TopicPartition(*tp)}") from unknown
    return offsets


def broker_version(kafka: KafkaConfig) -> str:
    """The Kafka release that the broker's protocol versions belong to, and its metadata.version.

    Brokers tell protocol versions and features, not their release. Raises BrokerAway.
    """
    with admin(kafka) as client:
        brokers = [broker["broker_id"] for broker in client.describe_cluster()["brokers"]]
        speaks = client.get_broker_version_data(brokers[0]).broker_version_str
        level = client.describe_features().get("metadata.version", {}).get("finalized", (None, None))[1]
    return f"{speaks} (by its protocols; metadata.version {level}; brokers: {len(brokers)})"


def _made(kafka: KafkaConfig, client: Any, **settings: Any) -> Any:
    if not any(map(listens, kafka.addresses)):
        raise BrokerAway(kafka, "nothing listens there")
    with broker_errors(kafka):
        return client(**settings)


def _named(error: KafkaError) -> str:
    text = str(error).split("\n")[0][:200]
    name = type(error).__name__
    return text if name in text else f"{name}: {text}" if text else name


def _path(path: object) -> str | None:
    return None if path is None else str(path)


def _secret(secret: Any) -> str | None:
    return None if secret is None else secret.get_secret_value()


# kafka-python raises in `poll` on a record whose header name is not UTF-8, again at every poll, so one
# foreign record could stop a partition for good. Kafka itself allows any bytes there. So we patch the
# decoder: such names are read with "?" for each byte, as other clients do.

_read_strictly = DefaultRecordBatch._read_msg


def _read_leniently(batch: Any) -> Any:
    """Read the next record; where a header's name cannot be decoded, blot all such out and read again."""
    start = batch._pos
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        _blot_out_names(batch._buffer, start)
        return _read_strictly(batch)


def _blot_out_names(buffer: bytearray, pos: int) -> None:
    """Of the record there; its layout is told in https://kafka.apache.org/documentation/#recordformat."""
    for _ in range(4):  # length, attributes, time, offset
        _, pos = decode_varint(buffer, pos)
    pos = _behind_bytes(buffer, _behind_bytes(buffer, pos))  # key and value
    count, pos = decode_varint(buffer, pos)
    for _ in range(count):
        length, begin = decode_varint(buffer, pos)
        pos = begin + length
        try:
            buffer[begin:pos].decode()
        except UnicodeDecodeError:
            buffer[begin:pos] = b"?" * length
        pos = _behind_bytes(buffer, pos)


def _behind_bytes(buffer: bytearray, pos: int) -> int:
    length, begin = decode_varint(buffer, pos)
    return int(begin + max(0, length))  # -1 is null


DefaultRecordBatch._read_msg = _read_leniently
