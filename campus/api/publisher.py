"""What the API needs of whoever runs it: that events are carried to the log, and calls in the event loop.

An event that was handed over is settled once, in the event loop: it landed, or nobody can say. What is
refused at once was not handed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import SecretStr

from campus.config.settings import TopicsConfig
from campus.kafka.records import ProducerRecord, TopicPartition


class Waiting(Protocol):
    """Who handed an event over. Called in the event loop, one of them, once."""

    def landed(self) -> None: ...
    def failed(self) -> None: ...


class Timer(Protocol):
    def cancel(self) -> None: ...


class Publisher(Protocol):
    def submit(self, tp: TopicPartition, record: ProducerRecord, waiting: Waiting) -> None:
        """Raises Refused, and then nothing was handed over."""

    def is_through(self) -> bool:
        """Whether the broker takes what it is given, as far as anybody knows."""

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """In the event loop, from any thread."""

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> Timer:
        """In the event loop, and from there only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """On which the API serves. `acknowledged`: an answer waits until the broker has what it is about."""

    topics: TopicsConfig
    acknowledged: bool
    answer_timeout_s: float
    batch_orders_max: int
    wait_max_s: int
    waits_max: int
    token: Callable[[], SecretStr]
