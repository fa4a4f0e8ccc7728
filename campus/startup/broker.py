"""The first child: makes sure that a Kafka is there for the roles, an external one or one that it runs.

If the Kafka that it runs ends, this role crashes with the reason, and the supervisor starts it again on the
same data.
"""

import logging
from threading import Event

from campus.broker.data import DataFolderLock
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
        # The roles themselves notice when an external Kafka goes away and comes back.
        doing = f"running Kafka (process {broker.pid})" if broker else "using a Kafka that runs elsewhere"
        self._heartbeat.report(doing, ready=not stop.is_set())
        while not stop.wait(CHECK_EVERY_S):
            self._heartbeat.renew()
            if broker and (reason := broker.exit_reason()) is not None:
                # Keep the lock for the restart, else another process could start a Kafka on this data.
                raise BrokerDied(reason)
        if broker:
            broker.stop(timeout_s=STOP_S)

    def _log(self, line: str) -> None:
        self._heartbeat.report(line)
        log.info(line)
