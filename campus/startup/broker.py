"""Keeps a Kafka there for the other roles: somebody else's, or one that this process runs and watches.

If the one that it runs ends, the role crashes with the reason, and the supervisor starts it anew on the
same data.
"""

import logging
from threading import Event

from campus.broker.data import Claim
from campus.broker.embedded import EmbeddedBroker
from campus.broker.errors import BrokerDied
from campus.broker.resolve import for_these_clients, resolve
from campus.config.settings import Config
from campus.supervision.role import Health, Heartbeat

WATCH_EVERY_S = 0.1
STOP_S = 5.0  # of the shutdown time; half a second is usual

log = logging.getLogger("broker")


class Broker:
    def __init__(self, config: Config, claim: Claim) -> None:
        """`claim`: on the data folder; the process's, not this role's, so that it outlives a crash."""
        self._kafka, self._claim = config.kafka, claim
        self._config = for_these_clients(config)
        self._heartbeat = Heartbeat("looking for a Kafka")

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, stop: Event) -> None:
        broker = resolve(
            self._config,
            self._kafka.addresses,
            log=self._log,
            stop=stop,
            wait_s=self._kafka.connect_timeout_s,
            claim=self._claim,
        )
        if broker is None:
            self._stand_by(stop)
        else:
            self._watch(broker, stop)

    def _stand_by(self, stop: Event) -> None:
        """It is somebody else's: the roles notice for themselves when it is away, and when it is back."""
        self._heartbeat.now("using a Kafka that runs elsewhere", ready=not stop.is_set())
        while not stop.wait(1.0):
            self._heartbeat.renew()

    def _watch(self, broker: EmbeddedBroker, stop: Event) -> None:
        self._heartbeat.now(f"running Kafka (process {broker.pid})", ready=True)
        while not stop.wait(WATCH_EVERY_S):
            self._heartbeat.renew()
            if (reason := broker.died()) is not None:
                # The claim is kept for the restart: else another process could begin a Kafka of its own here.
                raise BrokerDied(reason)
        broker.stop(timeout_s=STOP_S)

    def _log(self, line: str) -> None:
        self._heartbeat.now(line)
        log.info(line)
