"""What a role needs around its loop: a thread, Kafka clients, and waiting for the broker during an outage.

Only errors that can end with the broker's return are waited for; every other error reaches the supervisor.
An outage costs two log lines, one when it begins and one when it ends.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Protocol

from campus.addresses import wait_for_listener
from campus.config.settings import KafkaConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced, GroupConsumer
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.supervision.role import Heartbeat

KAFKA_ERRORS = (AppendFailed, BrokerAway, Fenced)
COMMIT_EVERY_S = 1.0
RETRY_PAUSE_S = 0.2
LISTENER_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Clients:
    """The Kafka clients of a role in a consumer group. Tests pass their own (tests/simulation)."""

    group: GroupConsumer
    reader: LogReader
    writer: Writer


class LoopRole:
    """A role that waits until the broker listens. Then `work` runs the role's loop until the event is set."""

    def __init__(self, kafka: KafkaConfig, work: Callable[[Event, Heartbeat], None]) -> None:
        self._kafka, self._work, self._heartbeat = kafka, work, Heartbeat()
        self.health = self._heartbeat.health

    def run(self, stop: Event) -> None:
        if wait_for_listener(self._kafka.addresses, stop, heartbeat=self._heartbeat.renew):
            self._work(stop, self._heartbeat)


@contextmanager
def open_clients(
    kafka: KafkaConfig, *, role: str, topic: str, group: str, heartbeat: Heartbeat, fetch_bytes_min: int = 1
) -> Iterator[Clients]:
    """Clients for one thread; the role joins `group` on `topic` at its first poll. Raises BrokerAway.

    A fetch waits up to `kafka.consumer.fetch_max_wait_ms` for `fetch_bytes_min` of new records.
    """
    with (
        closing(Writer(kafka, client_id=role)) as writer,
        closing(LogReader(kafka, client_id=role, heartbeat=heartbeat.renew)) as reader,
        closing(
            GroupConsumer(kafka, topic=topic, group=group, client_id=role, fetch_bytes_min=fetch_bytes_min)
        ) as consumer,
    ):
        yield Clients(consumer, reader, writer)


class PeriodicCommit:
    """Commits the group's offset about once a second, also when idle.

    Only a commit tells a member that the group dropped it; kafka-python's poll does not.
    """

    def __init__(self, group: GroupConsumer, clock: Callable[[], float]) -> None:
        self._group, self._clock, self._due_at_s = group, clock, clock()

    def commit_if_due(self, partitions: Collection[int]) -> bool:
        """True if the group confirmed our membership. Raises BrokerAway, Fenced."""
        if not partitions or self._clock() < self._due_at_s:
            return False
        self._group.commit(partitions)
        self._due_at_s = self._clock() + COMMIT_EVERY_S
        return True


class Loop(Protocol):
    def step(self, stop: Event) -> bool:
        """One iteration; True if the broker has answered, so that an outage is over."""

    def reset(self) -> None:
        """Called after `step` raised and before it is called again."""


def run_through_outages(
    loop: Loop,
    stop: Event,
    *,
    kafka: KafkaConfig,
    heartbeat: Heartbeat,
    log: logging.Logger,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """Report the role as ready, then step until `stop` is set. Raises what a retry cannot repair."""
    heartbeat.report("running", ready=True)
    outage_began_at_s: float | None = None
    while not stop.is_set():
        try:
            if loop.step(stop) and outage_began_at_s is not None:
                log.info("the broker is back after %.1f s", time.monotonic() - outage_began_at_s)
                heartbeat.report("running")
                outage_began_at_s = None
        except Fenced as fenced:
            log.info("starting anew: %s", fenced)
            loop.reset()
        except (AppendFailed, BrokerAway) as error:
            if isinstance(error, AppendFailed) and not error.retriable:
                raise
            loop.reset()
            if outage_began_at_s is None:
                log.warning("waiting for the broker: %s", error)
                heartbeat.report("waiting for the broker")
                outage_began_at_s = time.monotonic()
            wait_for_listener(kafka.addresses, stop, timeout_s=LISTENER_WAIT_S)
            stop.wait(RETRY_PAUSE_S)
        heartbeat.renew()
        after_step()
