"""What a person calls by name, one file each: `HELP`, `add_arguments(parser)`, `run(args, context)`.

A command parses, does and prints; its exit code is what `run` returns.
"""

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from campus.broker.resolve import broker_for
from campus.config.settings import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`system("producer", …)` runs these roles in this process, for as long as its block lasts; of this
    config, or of another: `system("producer", …, config=other)`."""

    config: Config
    system: Callable[..., AbstractContextManager[None]]


def a_broker(config: Config, log: Callable[[str], None] = lambda _: None) -> AbstractContextManager[None]:
    """A Kafka for as long as the block lasts: the one that answers, else the embedded one, or NoBroker."""
    return broker_for(config, log=log)


def number(kind: type[Any], least: float, most: float) -> Callable[[str], Any]:
    """An argument's type: a number within these bounds."""

    def number(text: str) -> Any:  # argparse names it when the text is none
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not allowed: {least} to {most}")
        return value

    return number
