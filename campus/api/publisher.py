"""What the API needs of the role that runs it: a publisher of events, and settings."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from pydantic import SecretStr

from campus.config.settings import TopicsConfig
from campus.kafka.records import ProducerRecord, TopicPartition

# Called once, in the event loop, for each record taken: True if the broker acknowledged it, False if it did
# not in time. A record of which it was False may still be written.
OnDelivery: TypeAlias = Callable[[bool], None]


class Publisher(Protocol):
    def submit(self, tp: TopicPartition, record: ProducerRecord, on_delivery: OnDelivery) -> None:
        """Raises Refused if the record was not taken."""

    def is_acknowledging(self) -> bool:
        """Whether the broker acknowledges records, as far as is known."""

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call it in the event loop, from any thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """`acknowledged`: a response waits until the broker has acknowledged the event."""

    topics: TopicsConfig
    acknowledged: bool
    batch_orders_max: int
    wait_max_s: int
    waits_max: int
    token: Callable[[], SecretStr]
