"""Says, when all is up, where things are and what to type next; then it is done."""

from collections.abc import Sequence
from threading import Event
from typing import Any

from campus.config.settings import Config
from campus.supervision.role import Health, Heartbeat

EXAMPLE_ORDER = '{"user_id": "ana", "item": "pizza", "quantity": 2}'


class Welcome:
    def __init__(self, config: Config, roles: Sequence[str], program: str) -> None:
        self._config, self._roles, self._program = config, roles, program
        self._heartbeat = Heartbeat()

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, _stop: Event) -> None:
        print(welcome(self._config, self._roles, self._program), flush=True)


def welcome(config: Config, roles: Sequence[str], program: str) -> str:
    lines = [f"CampusKafka is up: {', '.join(roles)}, on Kafka at {config.kafka.bootstrap_servers}"]
    if "producer" in roles:
        producer: Any = config.roles["producer"]
        json_type = "-H 'Content-Type: application/json'"
        lines += [
            "",
            f"  order:          {program} order pizza 2 --user ana",
            f"  one that fails: {program} order pizza 5000",
        ]
        if producer.port:
            url = f"http://{producer.host}:{producer.port}/order"
            lines.append(f"  by hand:        curl {url} {json_type} -d '{EXAMPLE_ORDER}'")
    return "\n".join(["", *lines, "  stop:           Ctrl-C", ""])
