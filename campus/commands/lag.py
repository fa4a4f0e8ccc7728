"""How far behind every consumer group is: per partition the log, the commit, rates, and a verdict.

Looks several times, since rates and verdicts are of the time between the looks; --watch goes on until
Ctrl-C. The lag is the log's end minus what the group has committed, never an estimate; with no commit,
`committed` is null and the lag counts from the log's start. Exits with 1 for an unknown group, 3 without a
broker.
"""

import argparse
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import groupby, islice

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from campus.commands import Context, a_broker, number
from campus.config.settings import Config
from campus.groups.lag import WINDOW_SAMPLES, LagMonitor, PartitionLag, our_groups
from campus.kafka.clients import BrokerAway
from campus.kafka.consumer_groups import with_retries
from campus.logs import printable

HELP = "show how far behind each consumer group is, and whether it keeps up"
NO_BROKER = 3
LEFT = ("group", "topic", "verdict", "held by")  # columns of text; the others are of numbers
COLUMNS = ("group", "topic", "p", "start", "committed", "end", "lag", "in/s", "out/s", "drains", *LEFT[2:])
NAMES = 2  # so many of them are the same for all of a group on a topic
NUMBER_CHARS = 4
COLOURS = {"OK": "green", "WARN": "yellow", "STALL": "red", "STOP": "red", "REWIND": "magenta"}

Rows = Sequence[PartitionLag]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", metavar="G", help="only this one (default: all on the broker, and ours)")
    parser.add_argument("--watch", action="store_true", help="look again and again, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="a list of objects, one for each partition")
    parser.add_argument(
        "--interval",
        type=number(float, 0.05, 3600),
        default=1.0,
        metavar="S",
        help="between looks (default: 1)",
    )
    parser.add_argument(
        "--samples", type=number(int, 2, 1000), default=4, metavar="N", help="looks (default: 4)"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    show, looks_max = (show_all, WINDOW_SAMPLES) if args.watch else (show_last, args.samples)
    watch = LagMonitor(our_groups(context.config), only=args.group, samples_max=looks_max)
    try:
        with a_broker(context.config):
            show(looks(watch, context.config, args.interval), args)
    except BrokerAway as away:
        print(f"campuskafka: {away}", file=sys.stderr)
        return NO_BROKER
    return 0


def looks(watch: LagMonitor, config: Config, interval_s: float) -> Iterator[Rows]:
    """One after the other, without end. Raises BrokerAway, UnknownGroup."""
    pause = threading.Event()
    while True:
        yield with_retries(watch.sample, config.kafka)
        pause.wait(interval_s)


# Showing


def show_last(looks: Iterator[Rows], args: argparse.Namespace) -> None:
    """Of so many looks: they make the window that rates and verdicts are of."""
    span = f"{args.samples} looks within {(args.samples - 1) * args.interval:g} s"
    with Console(stderr=True).status(f"taking {span}"):
        *_, rows = islice(looks, args.samples)
    console = Console()
    if args.json:
        print(as_json(rows))
        return
    if console.is_terminal:
        console.print(as_tables(rows))
    else:
        print(as_text(rows))
    print(f"Rates and verdicts are of {span}; who commits less often looks stalled: see --interval.")


def show_all(looks: Iterator[Rows], args: argparse.Namespace) -> None:
    """From the second on, since one look has no rates; until Ctrl-C."""
    with suppress(KeyboardInterrupt), _shown(args) as show:
        for rows in islice(looks, 1, None):
            show(rows)


@contextmanager
def _shown(args: argparse.Namespace) -> Iterator[Callable[[Rows], None]]:
    """One after the other, or in a terminal one in place of the other."""
    console = Console()
    if console.is_terminal and not args.json:
        with Live(console=console, auto_refresh=False) as live:
            yield lambda rows: live.update(as_tables(rows), refresh=True)
    else:
        as_printed = as_json if args.json else as_text
        yield lambda rows: print(as_printed(rows), flush=True)


def as_json(rows: Rows) -> str:
    return json.dumps([asdict(row) for row in rows], indent=2)


def as_text(rows: Rows) -> str:
    lines = [COLUMNS, *map(_cells, rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in LEFT else cell.rjust(width)
            for cell, width, name in zip(line, widths, COLUMNS, strict=True)
        ).rstrip()
        for line in lines
    )


def as_tables(rows: Rows) -> Group:
    """For a terminal: what a group does on a topic is a table, so that the names take no columns."""
    tables = groupby(rows, key=lambda row: (row.group, row.topic))
    return Group(*(_table(f"{printable(group)} on {topic}", [*of]) for (group, topic), of in tables))


def _table(title: str, rows: Rows) -> Table:
    # As Text: a stranger's group may be named like rich's markup.
    table = Table(box=None, title=Text(title, style="bold"), title_justify="left", header_style="dim")
    for name in COLUMNS[NAMES:-1]:
        table.add_column(
            name, justify="left" if name in LEFT else "right", min_width=NUMBER_CHARS, no_wrap=True
        )
    table.add_column(COLUMNS[-1], overflow="fold")
    for row in rows:
        cells = [Text(cell) for cell in _cells(row)[NAMES:]]
        cells[COLUMNS.index("verdict") - NAMES].stylize(COLOURS[row.verdict])
        table.add_row(*cells)
    return table


def _cells(row: PartitionLag) -> tuple[str, ...]:
    return (
        printable(row.group),
        row.topic,
        str(row.partition),
        f"{row.start:,}",
        "-" if row.committed is None else f"{row.committed:,}",
        f"{row.end:,}",
        f"{row.lag:,}",
        _rate(row.rate_in),
        _rate(row.rate_out),
        _drains_in(row),
        row.verdict,
        f"{printable(row.client_id)} at {row.host}" if row.client_id else f"nobody ({row.state})",
    )


def _rate(per_s: float | None) -> str:
    return "-" if per_s is None else f"{per_s:,.1f}"


def _drains_in(row: PartitionLag) -> str:
    if row.lag <= 0:
        return "-"
    return "never" if row.time_to_drain_s is None else f"{row.time_to_drain_s:,.1f} s"
