"""The first child: makes sure that a Kafka is there for the roles, an external one or one that it runs.

If the Kafka that it runs ends, this role crashes with the reason, and the supervisor starts it again on the
same data.
"""

import logging
from threading import Event

from campus.broker.data import DataFolderLock
from campus.broker.embedded import EmbeddedBroker
from campus.broker.errors import BrokerDied
from campus.broker.resolve import resolve
from campus.config.settings import Config
from campus.supervision.role import Health, Heartbeat

CHECK_EVERY_S = 0.1
STOP_S = 5.0  # of the shutdown time; half a second is usual

log = logging.getLogger("broker")


class Broker:
    def __init__(self, config: Config, lock: DataFolderLock) -> None:
        """`lock` belongs to the process, not to this role, so that it survives a crash of the role."""
        self._config, self._lock = config, lock
        self._heartbeat = Heartbeat("looking for a Kafka")

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, stop: Event) -> None:
        broker = resolve(self._config, log=self._log, stop=stop, lock=self._lock)
        if broker is None:
            self._stand_by(stop)
        else:
            self._watch(broker, stop)

    def _stand_by(self, stop: Event) -> None:
        """Wait for `stop`: the roles themselves notice when an external Kafka goes away and comes back."""
        self._heartbeat.report("using a Kafka that runs elsewhere", ready=not stop.is_set())
        while not stop.wait(1.0):
            self._heartbeat.renew()

    def _watch(self, broker: EmbeddedBroker, stop: Event) -> None:
        self._heartbeat.report(f"running Kafka (process {broker.pid})", ready=True)
        while not stop.wait(CHECK_EVERY_S):
            self._heartbeat.renew()
            if (reason := broker.exit_reason()) is not None:
                # Keep the lock for the restart, else another process could start a Kafka on this data.
                raise BrokerDied(reason)
        broker.stop(timeout_s=STOP_S)

    def _log(self, line: str) -> None:
        self._heartbeat.report(line)
        log.info(line)
