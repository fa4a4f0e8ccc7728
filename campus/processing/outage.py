"""Going on through an outage: a loop's steps are tried until the broker is back, and it is said
once.

Only what a broker can recover from is waited for; everything else is let through, to the
supervisor.
"""

import logging
import time
from collections.abc import Callable
from threading import Event
from typing import Protocol

from campus.addresses import wait_for_listener
from campus.config.settings import KafkaConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced
from campus.kafka.producer.errors import AppendFailed
from campus.supervision.role import Heartbeat

RETRY_PAUSE_S = 0.2
LISTENER_WAIT_S = 1.0


class Steps(Protocol):
    def step(self, stop: Event) -> bool:
        """One round; True if the broker has confirmed our membership in it."""

    def start_anew(self) -> None: ...


def run_through_outages(
    steps: Steps,
    stop: Event,
    *,
    kafka: KafkaConfig,
    heartbeat: Heartbeat,
    log: logging.Logger,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """Step until `stop` is set. Raises what no waiting can mend."""
    outage = Outage(heartbeat, log)
    while not stop.is_set():
        try:
            if steps.step(stop):
                outage.is_over()
        except Fenced as fenced:
            log.info("starting anew: %s", fenced)
            steps.start_anew()
        except (AppendFailed, BrokerAway) as away:
            if isinstance(away, AppendFailed) and not away.retriable:
                raise
            steps.start_anew()
            outage.goes_on(away)
            wait_for_listener(kafka.addresses, stop, timeout_s=LISTENER_WAIT_S)
            stop.wait(RETRY_PAUSE_S)
        heartbeat.renew()
        after_step()


class Outage:
    """Says when an outage began and when it was over, and nothing in between."""

    def __init__(self, heartbeat: Heartbeat, log: logging.Logger) -> None:
        self._heartbeat, self._log = heartbeat, log
        self._began_at: float | None = None

    def goes_on(self, error: Exception) -> None:
        if self._began_at is None:
            self._began_at = time.monotonic()
            self._log.warning("waiting for the broker: %s", error)
            self._heartbeat.report("waiting for the broker")

    def is_over(self) -> None:
        if self._began_at is not None:
            self._log.info("the broker is back after %.1f s", time.monotonic() - self._began_at)
            self._began_at = None
            self._heartbeat.report("running")
