"""What can be set, stanza by stanza: each setting with its type, its limits and its default.

The names here are the keys of config.yaml, the defaults here are the values in it (a test compares
them), and every limit stands on the setting that it limits. What no single setting can tell is a
`complaint` of its stanza. Reading is done elsewhere (config_file.py), so these are plain values that a
test can build by hand; they are not checked then.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

from campus.addresses import Address, parse_addresses

MASK = "***"


class Secret:
    """A text that is never printed: only `reveal` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class AtLeast:
    least: float


@dataclass(frozen=True, slots=True)
class AtMost:
    most: float


@dataclass(frozen=True, slots=True)
class Between:
    """From `least` to `most`, both allowed."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Matches:
    """The whole text fits `pattern`; `what` says so to a person: 'a size such as "256m"'."""

    pattern: str
    what: str


class ConfigIssue(NamedTuple):
    """Settings that are right one by one and wrong together; the first key is the one to look at.

    A key inside a stanza of the stanza is dotted: `consumer.fetch_max_wait_ms`.
    """

    keys: tuple[str, ...]
    says: str


@runtime_checkable
class Complaining(Protocol):
    """A stanza, also a role's, that has more to check than its settings one by one."""

    def complaints(self) -> Iterator[ConfigIssue]: ...


class RoleSettings(Protocol):
    """What the settings of every role have."""

    @property
    def enabled(self) -> bool: ...


Timeout = Annotated[float, Between(0.1, 3600)]
Milliseconds = Annotated[int, Between(1, 3_600_000)]
Text = Annotated[str, Matches(r"(?s).{1,256}", "a text of 1 to 256 characters")]
Portions = Annotated[int, Between(0, 1_000_000)]

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfig:
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_password: Secret | None = None
    ssl_check_hostname: bool = True
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: Secret | None = None

    def complaints(self) -> Iterator[ConfigIssue]:
        # A setting that the protocol ignores is a fault: whoever wrote it believes that it protects.
        for family in ("ssl", "sasl"):
            yield from self._unused(family)
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

    def _unused(self, family: str) -> Iterator[ConfigIssue]:
        if family.upper() in self.protocol.split("_"):
            return
        for setting in fields(self):
            if setting.name.startswith(f"{family}_") and (getattr(self, setting.name) != setting.default):
                yield ConfigIssue(
                    (setting.name, "protocol"),
                    f"does nothing with protocol {self.protocol}; "
                    f"choose one with {family.upper()} in it, or leave {setting.name} out",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig:
    session_timeout_ms: Milliseconds = 6000
    heartbeat_interval_ms: Milliseconds = 1000
    fetch_max_wait_ms: Milliseconds = 100
    max_poll_records: Annotated[int, Between(1, 100_000)] = 2000

    def complaints(self) -> Iterator[ConfigIssue]:
        if self.heartbeat_interval_ms >= self.session_timeout_ms:
            yield ConfigIssue(
                ("heartbeat_interval_ms", "session_timeout_ms"),
                f"{self.heartbeat_interval_ms} is not allowed: less than session_timeout_ms, "
                f"which is {self.session_timeout_ms} (a third of it is usual)",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaConfig:
    bootstrap_servers: str = "127.0.0.1:9092"
    connect_timeout_s: Timeout = 10.0
    request_timeout_s: Annotated[float, Between(0.1, 300)] = 10.0
    security: SecurityConfig = field(default_factory=SecurityConfig)
    consumer: ConsumerConfig = field(default_factory=ConsumerConfig)

    @property
    def addresses(self) -> tuple[Address, ...]:
        return parse_addresses(self.bootstrap_servers)

    def complaints(self) -> Iterator[ConfigIssue]:
        try:
            parse_addresses(self.bootstrap_servers)
        except ValueError as error:
            yield ConfigIssue(
                ("bootstrap_servers",), f'{error}; write "host:9092", several with commas between'
            )
        if self.consumer.fetch_max_wait_ms >= self.request_timeout_s * 1000:
            yield ConfigIssue(
                ("request_timeout_s", "consumer.fetch_max_wait_ms"),
                f"{self.request_timeout_s:g} is not allowed: more than consumer.fetch_max_wait_ms, "
                f"which is {self.consumer.fetch_max_wait_ms}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """The embedded broker. `None`: the user's cache folder, the listed jars, the Java that is found."""

    mode: Literal["auto", "external", "embedded"] = "auto"
    data_dir: Path = Path(".campuskafka")
    cache_dir: Path | None = None
    jars: Path | None = None
    java: Path | None = None
    heap: Annotated[str, Matches(r"[1-9][0-9]{0,5}[mg]", 'a size such as "256m" or "1g"')] = "256m"
    start_timeout_s: Timeout = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsConfig:
    prefix: str = ""
    orders: str = "order-events"
    journal: str = "inventory-events"
    dead_letters: str = "order-events.dlq"
    inventory_snapshots: str = "inventory-snapshots"
    analytics_snapshots: str = "analytics-snapshots"
    partitions: Annotated[int, Between(1, 1000)] = 4
    replication: Annotated[int, Between(1, 100)] = 1

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

    def complaints(self) -> Iterator[ConfigIssue]:
        # Kafka takes "." and "_" for the same in its metrics, and refuses a second such topic.
        seen: dict[str, str] = {}
        for key in ("orders", "journal", "dead_letters", "inventory_snapshots", "analytics_snapshots"):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorConfig:
    """More than `max_restarts` of a role within `period_s`, and the process gives up."""

    shutdown_s: Timeout = 10.0
    max_restarts: Annotated[int, Between(0, 1000)] = 5
    period_s: Timeout = 60.0
    backoff_first_s: Annotated[float, Between(0.01, 60)] = 0.2
    backoff_most_s: Annotated[float, Between(0.01, 600)] = 5.0
    stuck_s: Annotated[float, Between(1, 3600)] = 60.0

    def complaints(self) -> Iterator[ConfigIssue]:
        if self.backoff_first_s > self.backoff_most_s:
            yield ConfigIssue(
                ("backoff_first_s", "backoff_most_s"),
                f"{self.backoff_first_s:g} is not allowed: at most backoff_most_s, "
                f"which is {self.backoff_most_s:g}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that was set. Relative paths have been made to start at `folder`."""

    kafka: KafkaConfig = field(default_factory=KafkaConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    topics: TopicsConfig = field(default_factory=TopicsConfig)
    roles: Mapping[str, RoleSettings] = field(default_factory=dict)
    supervisor: SupervisorConfig = field(default_factory=SupervisorConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    folder: Path = Path()


def as_dict(settings: Any) -> dict[str, Any]:
    """A Config, or a stanza of one, as config.yaml would hold it, with its secrets masked."""
    return {
        setting.name: _plain(getattr(settings, setting.name))
        for setting in fields(settings)
        if not (isinstance(settings, Config) and setting.name == "folder")
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return str(value) if isinstance(value, (Path, Secret)) else value
