"""The commands of campuskafka.py, one module each: `HELP`, `add_arguments(parser)` and `run(args, context)`.

A command parses, does its work and prints; what `run` returns is the exit code. The module's docstring is its
help text, so it says what the exit codes mean. A module here imports no other: what several share is in this
file. Read reset.py first: it is short and uses all of it.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import Progress

from campus.broker.resolve import broker_for
from campus.config.settings import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`system("producer", …)` runs these roles in this process while its block runs; `config=` replaces the
    config."""

    config: Config
    system: Callable[..., AbstractContextManager[None]]


def a_broker(config: Config, log: Callable[[str], None] = lambda _: None) -> AbstractContextManager[None]:
    """A Kafka for the block: the configured one if it answers, else the embedded one. Raises NoBroker."""
    return broker_for(config, log=log)


def number(kind: type[Any], least: float, most: float) -> Callable[[str], Any]:
    """The `type` of an argument: a number from `least` to `most`."""

    def number(text: str) -> Any:  # argparse shows this name: "invalid number value"
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
