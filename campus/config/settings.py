"""Every setting that the core knows: its key, type, range, default and meaning, as pydantic models.

The names are the keys of config.yaml, and the defaults and descriptions are the values and comments in it
(tests compare them). A model checks each setting by itself, also one that a test builds by hand. What
several settings must fulfil together is in `issues`, which `config_file.load` asks.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, SerializeAsAny

from campus.addresses import Address, parse_addresses
from campus.config.stanza import (
    ConfigIssue,
    Key,
    LocalPath,
    Milliseconds,
    Stanza,
    Timeout,
    not_allowed,
    setting,
)

TOPICS = ("orders", "journal", "dead_letters", "inventory_snapshots", "analytics_snapshots")
TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class SecurityConfig(Stanza):
    """For a Kafka that requires TLS or a password."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT", "PLAINTEXT | SSL | SASL_PLAINTEXT | SASL_SSL"
    )
    ssl_cafile: LocalPath | None = setting(None, "certificates to trust, PEM; null: the system's")
    ssl_certfile: LocalPath | None = setting(None, "our certificate, PEM, if the broker wants one")
    ssl_keyfile: LocalPath | None = setting(None, "the key of our certificate, PEM")
    ssl_password: SecretStr | None = setting(None, 'opens the key; write "${NAME}"', min_length=1)
    ssl_check_hostname: bool = setting(True, "false accepts a certificate of another host: for tests")
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = setting(
        None, "PLAIN | SCRAM-SHA-256 | SCRAM-SHA-512"
    )
    sasl_username: str | None = setting(None, "the user to log in as")
    sasl_password: SecretStr | None = setting(None, 'write "${NAME}", so that no file holds it', min_length=1)

    def issues(self) -> Iterator[ConfigIssue]:
        for key, field in type(self).model_fields.items():
            family = key.partition("_")[0].upper()
            is_used = family == "PROTOCOL" or family in self.protocol.split("_")
            # A setting that the protocol ignores is refused: its author believes that it protects.
            if not is_used and getattr(self, key) != field.default:
                yield ConfigIssue(
                    (key, "protocol"),
                    f"has no effect with protocol {self.protocol}; "
                    f"choose one with {family} in it, or leave {key} out",
                )
        if self.protocol.startswith("SASL"):
            for key in ("sasl_mechanism", "sasl_username", "sasl_password"):
                if getattr(self, key) is None:
                    yield ConfigIssue((key, "protocol"), f"is missing: {self.protocol} needs it")
        for key in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
            path = getattr(self, key)
            if path is not None and not path.is_file():
                yield ConfigIssue((key,), f'there is no file "{path}"')
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            yield ConfigIssue(("ssl_certfile", "ssl_keyfile"), "is missing: ssl_keyfile needs it")
        if self.ssl_password is not None and self.ssl_keyfile is None:
            yield ConfigIssue(("ssl_keyfile", "ssl_password"), "is missing: ssl_password is for it")


class ConsumerConfig(Stanza):
    """How the roles read from Kafka."""

    session_timeout_ms: Milliseconds = setting(
        6000, "no heartbeat for this long: another takes its partitions"
    )
    heartbeat_interval_ms: Milliseconds = setting(
        1000, "between heartbeats; at most a third of session_timeout_ms"
    )
    fetch_max_wait_ms: Milliseconds = setting(100, "how long a fetch waits for records; less takes more CPU")
    max_poll_records: int = setting(
        2000, "records per poll: more is faster, fewer stop sooner", ge=1, le=100_000
    )

    def issues(self) -> Iterator[ConfigIssue]:
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            yield not_allowed(self, "heartbeat_interval_ms", "at most a third of", "session_timeout_ms")


def _addresses(text: str) -> str:
    try:
        parse_addresses(text)
    except ValueError:
        raise ValueError('host:port, several with commas between, such as "a:9092,b:9092"') from None
    return text


class KafkaConfig(Stanza):
    """The connection to Kafka."""

    bootstrap_servers: Annotated[str, AfterValidator(_addresses)] = setting(
        "127.0.0.1:9092", "where Kafka is; several as host:port,host:port"
    )
    connect_timeout_s: Timeout = setting(10.0, "how long to wait for a broker that does not answer")
    request_timeout_s: float = setting(
        10.0, "time limit of a request; less than supervisor.stuck_s", ge=0.1, le=300
    )
    security: SecurityConfig = SecurityConfig()
    consumer: ConsumerConfig = ConsumerConfig()

    @property
    def addresses(self) -> tuple[Address, ...]:
        return parse_addresses(self.bootstrap_servers)

    def issues(self) -> Iterator[ConfigIssue]:
        if self.consumer.fetch_max_wait_ms >= self.request_timeout_s * 1000:
            yield not_allowed(self, "request_timeout_s", "more than", "consumer.fetch_max_wait_ms")


class BrokerConfig(Stanza):
    """The embedded Kafka, and whether to use it."""

    mode: Literal["auto", "external", "embedded"] = setting(
        "auto", "auto: use what answers, else start one | external | embedded"
    )
    data_dir: LocalPath = setting(Path(".campuskafka"), "data of the embedded Kafka; delete it to start anew")
    cache_dir: LocalPath | None = setting(None, "where its jars are kept; null: your user's cache folder")
    jars: LocalPath | None = setting(None, "a folder with the jars, for a machine without internet")
    java: LocalPath | None = setting(None, "a Java 17 or newer; null: the one found, else pip's")
    heap: str = setting(
        "256m",
        "memory of the embedded Kafka; enough for a campus",
        pattern=r"^[1-9][0-9]{0,5}[mg]$",
        examples=["256m", "1g"],
    )
    start_timeout_s: Timeout = setting(30.0, "it starts in 3 s; a slow disk may need longer")


class TopicsConfig(Stanza):
    """The topics, which are made at the first start."""

    prefix: str = setting("", "put before each name: several campuses on one Kafka")
    orders: str = setting("order-events", "the input: what people ordered")
    journal: str = setting("inventory-events", "what was decided on it: the state of the stock")
    dead_letters: str = setting("order-events.dlq", "records that could not be read as an order")
    inventory_snapshots: str = setting("inventory-snapshots", "the stock, written from time to time")
    analytics_snapshots: str = setting("analytics-snapshots", "the counts, written from time to time")
    partitions: int = setting(4, "this many inventories can share the work; fixed once made", ge=1, le=1000)
    replication: int = setting(1, "copies of each record; 3 on a cluster of three", ge=1, le=100)

    @property
    def orders_topic(self) -> str:
        return self.prefix + self.orders

    @property
    def journal_topic(self) -> str:
        return self.prefix + self.journal

    @property
    def dead_letters_topic(self) -> str:
        return self.prefix + self.dead_letters

    @property
    def inventory_snapshots_topic(self) -> str:
        return self.prefix + self.inventory_snapshots

    @property
    def analytics_snapshots_topic(self) -> str:
        return self.prefix + self.analytics_snapshots

    def issues(self) -> Iterator[ConfigIssue]:
        # In its metrics Kafka writes "." as "_", so it refuses a second topic that differs in nothing else.
        seen: dict[str, str] = {}
        for key in TOPICS:
            topic = self.prefix + getattr(self, key)
            if not TOPIC_NAME.fullmatch(topic) or topic in (".", ".."):
                yield ConfigIssue(
                    (key, "prefix"),
                    f"the topic would be {topic[:60]!r}; with its prefix it is 1 to 249 of a-z A-Z 0-9 . _ -",
                )
            other = seen.setdefault(topic.replace(".", "_"), key)
            if other != key:
                yield ConfigIssue(
                    (key, other), f"is the same to Kafka as {other}; give each topic its own name"
                )


class RoleSettings(Stanza):
    """The base of every role's `Settings` (roles/*.py)."""

    enabled: bool = setting(True, "run it when no --role is given")

    def issues_with(self, config: "Config") -> Iterator[ConfigIssue]:
        """The contradictions with settings of other stanzas. The keys are whole: `roles.inventory.stock`."""
        return iter(())


class SupervisorConfig(Stanza):
    """When a role is restarted, and when the process ends."""

    shutdown_s: Timeout = setting(10.0, "after Ctrl-C, time to finish what has begun")
    max_restarts: int = setting(5, "restarts that a role may need within period_s", ge=0, le=1000)
    period_s: Timeout = setting(60.0, "the time in which restarts are counted; more end the process")
    backoff_first_s: float = setting(
        0.2, "pause before the first restart; each restart doubles it", ge=0.01, le=60
    )
    backoff_most_s: float = setting(5.0, "longest pause before a restart", ge=0.01, le=600)
    stuck_s: float = setting(60.0, "no progress for this long ends the process with an error", ge=1, le=3600)

    def issues(self) -> Iterator[ConfigIssue]:
        if self.backoff_first_s > self.backoff_most_s:
            yield not_allowed(self, "backoff_first_s", "at most", "backoff_most_s")


class LoggingConfig(Stanza):
    """The log, on standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = setting("INFO", "DEBUG | INFO | WARNING | ERROR")
    format: Literal["text", "json"] = setting("text", "text for people | json for machines")


class Config(Stanza):
    """The whole configuration. Relative paths have been resolved."""

    kafka: KafkaConfig = KafkaConfig()
    broker: BrokerConfig = BrokerConfig()
    topics: TopicsConfig = TopicsConfig()
    roles: Mapping[str, SerializeAsAny[RoleSettings]] = {}
    supervisor: SupervisorConfig = SupervisorConfig()
    logging: LoggingConfig = LoggingConfig()
    # Where a setting comes from: "file", "environment" or "--set". A key that is not in it has its default.
    sources: Mapping[Key, str] = Field({}, exclude=True, repr=False)

    def issues(self) -> Iterator[ConfigIssue]:
        if self.kafka.request_timeout_s >= self.supervisor.stuck_s:
            why = ", or a role that waits for a slow request counts as stuck"
            yield not_allowed(self, "kafka.request_timeout_s", "less than", "supervisor.stuck_s", why)
        for role in self.roles.values():
            yield from role.issues_with(self)
