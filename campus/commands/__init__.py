"""What a person calls by name, one file each: `HELP`, `add_arguments(parser)`, `run(args, context)`.

A command parses, does and prints; its exit code is what `run` returns.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import Progress

from campus.broker.resolve import broker_for, for_these_clients
from campus.config.settings import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`system("producer", …)` runs these roles in this process, for as long as its block lasts; of this
    config, or of another: `system("producer", …, config=other)`."""

    config: Config
    system: Callable[..., AbstractContextManager[None]]


def a_broker(config: Config, log: Callable[[str], None] = lambda _: None) -> AbstractContextManager[None]:
    """A Kafka for as long as the block lasts: the one that answers, else the embedded one, or NoBroker."""
    addresses, wait_s = config.kafka.addresses, config.kafka.connect_timeout_s
    return broker_for(for_these_clients(config), addresses, log=log, wait_s=wait_s)


def number(kind: type[Any], least: float, most: float) -> Callable[[str], Any]:
    """An argument's type: a number within these bounds."""

    def number(text: str) -> Any:  # argparse names it when the text is none
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not allowed: {least} to {most}")
        return value

    return number


# How the proofs (audit and replay) show their progress and their figures


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr if that is a terminal, moved by calls with (records read, all records)."""
    stderr = Console(stderr=True)
    with Progress(console=stderr, disable=not stderr.is_terminal, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def figure_line(name: str, count: int, *details: str) -> str:
    return f"{name:<13}{count:>12,}   {' · '.join(details)}".rstrip()


def largest_first(counts: Mapping[str, int]) -> list[str]:
    return [f"{count:,} {name}" for name, count in Counter(counts).most_common()]


def coordinates(**numbers: int | None) -> str:
    """`partition 1 seq 7`, without those that are None."""
    return " ".join(f"{name} {number}" for name, number in numbers.items() if number is not None)


def verdict_line(verdict: str, records: int, took_s: float) -> str:
    rate = records / took_s if took_s else 0.0
    return f"{verdict}  ({took_s:.1f} s, {rate:,.0f} records/s)"
