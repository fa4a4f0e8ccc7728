"""The commands of campuskafka.py, one module each: `HELP`, `add_arguments(parser)` and `run(args, context)`.

A command parses, does its work and prints; what `run` returns is the exit code. The module's docstring is its
help text, so it says what the exit codes mean. A module here imports no other: what several share is in this
file. Read reset.py first: it is short and uses all of it.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from campus.broker.resolve import broker_for, for_these_clients
from campus.config.settings import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`system("producer", …)` runs these roles in this process while its block runs; `config=` replaces the
    config."""

    config: Config
    system: Callable[..., AbstractContextManager[None]]


def a_broker(config: Config, log: Callable[[str], None] = lambda _: None) -> AbstractContextManager[None]:
    """A Kafka for the block: the configured one if it answers, else the embedded one. Raises NoBroker."""
    addresses, wait_s = config.kafka.addresses, config.kafka.connect_timeout_s
    return broker_for(for_these_clients(config), addresses, log=log, wait_s=wait_s)


def number(kind: type[Any], least: float, most: float) -> Callable[[str], Any]:
    """The `type` of an argument: a number from `least` to `most`."""

    def number(text: str) -> Any:  # argparse shows this name: "invalid number value"
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not allowed: {least} to {most}")
        return value

    return number
