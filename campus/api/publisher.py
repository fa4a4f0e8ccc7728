"""What the API needs of the role that runs it: to write events to Kafka, and to schedule callbacks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from campus.config.settings import Secret, TopicsConfig
from campus.kafka.records import ProducerRecord, TopicPartition


class Delivery(Protocol):
    """Exactly one of the two is called, once, in the event loop, for each record that was submitted."""

    def on_acknowledged(self) -> None: ...
    def on_failed(self) -> None:
        """Not acknowledged in time. The record may still be written."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Publisher(Protocol):
    def submit(self, tp: TopicPartition, record: ProducerRecord, callback: Delivery) -> None:
        """Raises Refused if the record was not taken; then the callback is never called."""

    def is_acknowledging(self) -> bool:
        """Whether the broker acknowledges records, as far as is known."""

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call it in the event loop, from any thread."""

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> Timer:
        """Call it in the event loop after a delay. From the event loop only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """`acknowledged`: a response waits until the broker has acknowledged the event."""

    topics: TopicsConfig
    acknowledged: bool
    answer_timeout_s: float
    batch_orders_max: int
    wait_max_s: int
    waits_max: int
    token: Callable[[], Secret]
