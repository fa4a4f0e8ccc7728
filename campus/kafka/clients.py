"""kafka-python's clients with the settings that proved right, and `BrokerAway`.

Without a broker, kafka-python's constructors block and leak a thread; so a client is made only if an address
listens. Importing this module also patches kafka-python's record decoder, at the end of the file.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from kafka import KafkaAdminClient, KafkaConsumer
from kafka.errors import RetriableError
from kafka.record.default_records import DefaultRecordBatch

from campus.addresses import listens
from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.records import TopicPartition

BOOTSTRAP_TIMEOUT_MS = 3000

AdminClient: TypeAlias = KafkaAdminClient  # for signatures elsewhere, where `kafka` must not be imported


class BrokerAway(CampusError):
    """No broker answered, or none that could; a retry may help."""

    def __init__(self, kafka: KafkaConfig, fact: str) -> None:
        super().__init__(
            f"no Kafka at {kafka.bootstrap_servers} ({fact}). "
            "Probably the broker is down or starting. Start it, or let broker.mode be auto."
        )


@contextmanager
def broker_errors(kafka: KafkaConfig) -> Iterator[None]:
    """Raises BrokerAway for each error that a retry can mend, and lets other errors pass."""
    try:
        yield
    except RetriableError as error:
        name, text = type(error).__name__, str(error).split("\n")[0][:200]
        raise BrokerAway(kafka, text if name in text else f"{name}: {text}" if text else name) from error


def kafka_settings(kafka: KafkaConfig) -> dict[str, Any]:
    """The settings of every client: addresses, security, timeouts."""
    security = kafka.security
    return {
        "bootstrap_servers": [str(address) for address in kafka.addresses],
        "security_protocol": security.protocol,
        "ssl_check_hostname": security.ssl_check_hostname,
        "ssl_cafile": security.ssl_cafile and str(security.ssl_cafile),
        "ssl_certfile": security.ssl_certfile and str(security.ssl_certfile),
        "ssl_keyfile": security.ssl_keyfile and str(security.ssl_keyfile),
        "ssl_password": security.ssl_password and security.ssl_password.get_secret_value(),
        "sasl_mechanism": security.sasl_mechanism,
        "sasl_plain_username": security.sasl_username,
        "sasl_plain_password": security.sasl_password and security.sasl_password.get_secret_value(),
        "request_timeout_ms": round(kafka.request_timeout_s * 1000),
        # A client is back within this after the broker is; kafka-python would wait up to 30 s.
        "reconnect_backoff_ms": 50,
        "reconnect_backoff_max_ms": 300,
    }


def make_consumer(kafka: KafkaConfig, **settings: Any) -> KafkaConsumer:
    """A consumer that returns bytes, never commits by itself, and creates no topics. Raises BrokerAway.

    Without a position it raises, instead of starting at an end of the log. Never set a `value_deserializer`:
    when one raises inside `poll`, the partition cannot get past that record.
    """
    return _make(
        kafka,
        KafkaConsumer,
        enable_auto_commit=False,
        auto_offset_reset="none",
        allow_auto_create_topics=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=kafka.consumer.fetch_max_wait_ms,
        metrics_enabled=False,
        **settings,
    )


@contextmanager
def admin(kafka: KafkaConfig) -> Iterator[KafkaAdminClient]:
    """An admin client, closed at the end of the block. Raises BrokerAway, also for calls in the block."""
    client = _make(kafka, KafkaAdminClient)
    try:
        with broker_errors(kafka):
            yield client
    finally:
        client.close()


def list_offsets(
    kafka: KafkaConfig, list_: Callable[..., Any], tps: Collection[TopicPartition], **timeout: int
) -> dict[TopicPartition, int]:
    """Call a consumer's `beginning_offsets` or `end_offsets`. Raises BrokerAway."""
    try:
        with broker_errors(kafka):
            offsets = list_(list(tps), **timeout)
    except KeyError as error:
        # kafka-python raises this for a partition that the broker does not know: its topic was deleted, or
        # the broker has just started. Nobody can tell which, so the caller should retry.
        (tp,) = error.args
        raise BrokerAway(kafka, f"it does not know {TopicPartition(*tp)}") from error
    return {tp: offsets[tp] for tp in tps}


def broker_version(kafka: KafkaConfig) -> str:
    """The Kafka release by its protocol versions, since brokers do not report it. Raises BrokerAway."""
    with admin(kafka) as client:
        brokers = [broker["broker_id"] for broker in client.describe_cluster()["brokers"]]
        release = client.get_broker_version_data(brokers[0]).broker_version_str
        level = client.describe_features().get("metadata.version", {}).get("finalized", (None, None))[1]
    return f"{release} (by its protocols; metadata.version {level}; brokers: {len(brokers)})"


def _make(kafka: KafkaConfig, client: Any, **settings: Any) -> Any:
    if not any(map(listens, kafka.addresses)):
        raise BrokerAway(kafka, "nothing listens there")
    with broker_errors(kafka):
        return client(**kafka_settings(kafka), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS, **settings)


# The patch. On a record header whose name is not UTF-8, kafka-python raises in `poll`, again at each poll, so
# one foreign record could stop a partition for good. Kafka itself allows any bytes there. Patched, such a
# name is read with "?" for each byte, as other clients do.

_read_record = DefaultRecordBatch._read_msg


class _LenientBuffer(bytearray):
    """Slices that are not UTF-8 decode to question marks. kafka-python decodes nothing but header names."""

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return _LenientBuffer(part) if isinstance(index, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        try:
            return super().decode(encoding, errors)
        except UnicodeDecodeError:
            return "?" * len(self)


def _read_any_record(batch: Any) -> Any:
    """Read the next record; once a header name cannot be decoded, use the slower buffer for the batch."""
    try:
        return _read_record(batch)
    except UnicodeDecodeError:
        batch._buffer = _LenientBuffer(batch._buffer)
        return _read_record(batch)


DefaultRecordBatch._read_msg = _read_any_record
