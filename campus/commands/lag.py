"""Show how far behind each consumer group is: per partition the log, the committed offset, rates, a verdict.

Rates and verdicts compare several samples. --watch goes on until Ctrl-C. The lag is the end of the log minus
the committed offset, never an estimate; if nothing is committed, `committed` is null and the lag counts from
the start of the log. Exits with 1 for an unknown group, 3 without a broker.
"""

import argparse
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import groupby, islice

from rich.console import Console, Group, JustifyMethod
from rich.live import Live
from rich.table import Table
from rich.text import Text

from campus.broker.errors import NoBroker
from campus.commands import Context, a_broker, number
from campus.config.settings import Config
from campus.groups.lag import WINDOW_SAMPLES, LagMonitor, PartitionLag, our_groups
from campus.kafka.clients import BrokerAway
from campus.kafka.consumer_groups import with_retries
from campus.logs import printable

HELP = "show how far behind each consumer group is, and whether it keeps up"
LEFT_ALIGNED = ("group", "topic", "verdict", "held by")
NUMBERS = ("p", "start", "committed", "end", "lag", "in/s", "out/s", "drains")
COLUMNS = (*LEFT_ALIGNED[:2], *NUMBERS, *LEFT_ALIGNED[2:])
IN_TITLE = 2  # a table shows the first two columns as its title
NUMBER_CHARS_MIN = 4
COLOURS = {"OK": "green", "WARN": "yellow", "STALL": "red", "STOP": "red", "REWIND": "magenta"}

Rows = Sequence[PartitionLag]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    seconds, count = number(float, 0.05, 3600), number(int, 2, 1000)
    parser.add_argument("--group", metavar="G", help="only this group (default: all on the broker, and ours)")
    parser.add_argument("--watch", action="store_true", help="take samples until Ctrl-C, and show each")
    parser.add_argument("--json", action="store_true", help="print a list of objects, one per partition")
    parser.add_argument(
        "--interval", type=seconds, default=1.0, metavar="S", help="seconds between samples (default: 1)"
    )
    parser.add_argument("--samples", type=count, default=4, metavar="N", help="how many to take (default: 4)")


def run(args: argparse.Namespace, context: Context) -> int:
    show, samples_max = (show_all, WINDOW_SAMPLES) if args.watch else (show_last, args.samples)
    monitor = LagMonitor(our_groups(context.config), only=args.group, samples_max=samples_max)
    try:
        with a_broker(context.config):
            show(samples(monitor, context.config, args.interval), args)
    except BrokerAway as away:
        raise NoBroker(str(away)) from away
    return 0


def samples(monitor: LagMonitor, config: Config, interval_s: float) -> Iterator[Rows]:
    """Take a sample every `interval_s`, without end. Raises BrokerAway, UnknownGroup."""
    pause = threading.Event()
    while True:
        yield with_retries(monitor.sample, config.kafka)
        pause.wait(interval_s)


def show_last(samples: Iterator[Rows], args: argparse.Namespace) -> None:
    """Show the last of --samples; its rates and verdicts are over all of them."""
    span = f"{args.samples} samples within {(args.samples - 1) * args.interval:g} s"
    with Console(stderr=True).status(f"taking {span}"):
        *_, rows = islice(samples, args.samples)
    if args.json:
        print(as_json(rows))
        return
    console = Console()
    if console.is_terminal:
        console.print(as_tables(rows))
    else:
        print(as_text(rows))
    print(f"Rates and verdicts cover {span}. A group that commits less often looks stalled: see --interval.")


def show_all(samples: Iterator[Rows], args: argparse.Namespace) -> None:
    """Show each sample until Ctrl-C, from the second on: the first has no rates."""
    with suppress(KeyboardInterrupt), _display(args) as show:
        for rows in islice(samples, 1, None):
            show(rows)


@contextmanager
def _display(args: argparse.Namespace) -> Iterator[Callable[[Rows], None]]:
    """In a terminal each sample replaces the last one; elsewhere it is printed below it."""
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
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in LEFT_ALIGNED else cell.rjust(width)
            for cell, width, name in zip(line, widths, COLUMNS, strict=True)
        ).rstrip()
        for line in lines
    )


def as_tables(rows: Rows) -> Group:
    """For a terminal: one table per group and topic, whose names need no columns then."""
    tables = groupby(rows, key=lambda row: (row.group, row.topic))
    return Group(*(_table(f"{printable(group)} on {topic}", [*of]) for (group, topic), of in tables))


def _table(title: str, rows: Rows) -> Table:
    # Text, because a group's name may look like rich's markup.
    table = Table(box=None, title=Text(title, style="bold"), title_justify="left", header_style="dim")
    for name in COLUMNS[IN_TITLE:-1]:
        justify: JustifyMethod = "left" if name in LEFT_ALIGNED else "right"
        table.add_column(name, justify=justify, min_width=NUMBER_CHARS_MIN, no_wrap=True)
    table.add_column(COLUMNS[-1], overflow="fold")
    for row in rows:
        cells = [Text(cell) for cell in _cells(row)[IN_TITLE:]]
        cells[COLUMNS.index("verdict") - IN_TITLE].stylize(COLOURS[row.verdict])
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
