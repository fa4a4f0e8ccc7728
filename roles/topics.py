"""Makes the topics before any role starts, and is done. Runs in every process: the first one makes them."""

import logging
from threading import Event

from campus.runtime.addresses import wait_for_listener
from campus.runtime.config import Config
from campus.runtime.role import Health, Pulse
from campus.stream.clients import BrokerAway
from campus.stream.topics import ensure_topics
from campus.stream.writer import AppendFailed

RETRY_PAUSE_S = 0.5
log = logging.getLogger("topics")


class Topics:
    def __init__(self, config: Config) -> None:
        self._config = config
        self._pulse = Pulse("waiting for the broker")

    def health(self) -> Health:
        return self._pulse.health()

    def run(self, stop: Event) -> None:
        while wait_for_listener(self._config.kafka.addresses, stop, beat=self._pulse.beat):
            try:
                made = ensure_topics(self._config.kafka, self._config.topics, self._opening_stock())
            except (AppendFailed, BrokerAway) as away:
                log.info("trying again: %s", away)
                stop.wait(RETRY_PAUSE_S)
                continue
            if made:
                log.info("made %s with %d partitions each", ", ".join(made), self._config.topics.partitions)
            return

    def _opening_stock(self) -> dict[str, int]:
        inventory = self._config.roles.get("inventory")
        return dict(getattr(inventory, "stock", {}))
