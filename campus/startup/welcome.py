"""The text that is printed once everything is ready: what runs, and what to type next."""

from collections.abc import Sequence
from typing import Any

from campus.config.settings import Config

EXAMPLE_ORDER = '{"user_id": "ana", "item": "pizza", "quantity": 2}'


def welcome_text(config: Config, roles: Sequence[str], program: str) -> str:
    """`program`: how to call this program from the current folder."""
    lines = [f"CampusKafka is up: {', '.join(roles)}, on Kafka at {config.kafka.bootstrap_servers}"]
    if "producer" in roles:
        producer: Any = config.roles["producer"]
        json_type = "-H 'Content-Type: application/json'"
        lines += [
            "",
            f"  place an order:       {program} order pizza 2 --user ana",
            f"  one that must fail:   {program} order pizza 5000",
        ]
        if producer.port:
            url = f"http://{producer.host}:{producer.port}/order"
            lines.append(f"  the same with curl:   curl {url} {json_type} -d '{EXAMPLE_ORDER}'")
    return "\n".join(["", *lines, "  stop:                 Ctrl-C", ""])
