"""Measure how the system behaves: latency, ten thousand events, consumer lag, replay, and report on it.

On topics and groups of its own, which are removed afterwards, with the roles started for it; with --live on
the system that runs, as it is: orders go through its door into its topics, and what cannot be done to it
without changing it (slowing inventory down, moving the offsets of a group that runs) is left out, and said.
Exits with 0 if all that ran is right (nothing lost, metrics consistent), 1 if something is not.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from campus.bench.environment import Ground, live_ground, own_ground
from campus.bench.evidence import write_evidence
from campus.bench.load import CLIENTS_MAX
from campus.bench.produce import EVENTS_MOST
from campus.bench.report import Results, as_data, as_text
from campus.bench.suite import Options, Stage, measured
from campus.commands import Context, a_broker, number
from campus.errors import CampusError
from campus.kafka.clients import broker_version

HELP = "measure latency, throughput, lag and replay, and report on it"
TESTS = ("latency", "produce", "lag", "replay")
REPORT_FILE = "kafka_test_report.txt"
RATE_MOST, DURATION_MOST_S = 100_000, 3600


class WrongOptions(CampusError):
    exit_code = 2


class NotSaved(CampusError):
    exit_code = 1

    def __init__(self, path: Path, fault: OSError) -> None:
        super().__init__(
            f"{path} cannot be written ({fault.strerror}). Name one that can be, by --report or --evidence"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("test", choices=[*TESTS, "all"], help="which test, or all of them")
    parser.add_argument("--live", action="store_true", help="measure the system that runs, as it is")
    parser.add_argument(
        "--events",
        type=number(int, 1, EVENTS_MOST),
        metavar="N",
        help="how many (default: 100 requests, 10000 events produced, whatever lag's load comes to)",
    )
    parser.add_argument(
        "--clients",
        type=number(int, 1, CLIENTS_MAX),
        metavar="N",
        help="that order at the same time (default: latency 1 and, without --rate, a closed loop; lag 32)",
    )
    parser.add_argument(
        "--rate",
        type=number(float, 0.1, RATE_MOST),
        metavar="R",
        help="requests due a second: an open loop; latency counts from when one was due (default: lag 200)",
    )
    parser.add_argument(
        "--duration",
        type=number(float, 0.1, DURATION_MOST_S),
        metavar="S",
        help="seconds of load, in place of --events (default: 10)",
    )
    parser.add_argument(
        "--seed", type=number(int, 0, 2**32), default=1, metavar="N", help="what is ordered is drawn by it"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path(tempfile.gettempdir()) / REPORT_FILE,
        metavar="PATH",
        help="where the report is saved (default: %(default)s)",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="also write there: report, figures, config, versions, series, plots",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    if args.events and args.duration:
        raise WrongOptions("--events says how many and --duration how long; give one of the two")
    if args.rate and args.duration and round(args.rate * args.duration) < 1:
        raise WrongOptions(
            f"--rate {args.rate:g} for --duration {args.duration:g} s comes to no order at all"
        )
    _check_places(args)
    tests = TESTS if args.test == "all" else (args.test,)
    options = Options(
        events=args.events,
        clients=args.clients,
        rate_per_s=args.rate,
        duration_s=args.duration,
        seed=args.seed,
    )
    with (
        _sigterm_as_interrupt(),
        a_broker(context.config),
        _ground(args.live, context) as ground,
    ):
        with _stages() as stage:
            results = measured(ground, tests, options, stage)
        _print_and_save(results, args, ground, context)
    return 0 if results.is_right else 1


def _print_and_save(results: Results, args: argparse.Namespace, ground: Ground, context: Context) -> None:
    text = as_text(results)
    print(json.dumps(as_data(results), indent=2) if args.json else text, flush=True)
    with _saving(args.report):
        args.report.write_text(f"{text}\n", encoding="utf-8")
    saved = [f"saved to {args.report}"]
    if args.evidence:
        kafka_version = broker_version(context.config.kafka)
        with _saving(args.evidence):
            saved += write_evidence(args.evidence, results, ground.config, kafka_version)
    print("\n".join(saved), file=sys.stderr)


def _ground(live: bool, context: Context) -> AbstractContextManager[Ground]:
    return nullcontext(live_ground(context.config)) if live else own_ground(context.config, context.system)


def _check_places(args: argparse.Namespace) -> None:
    """What cannot be written is better known before anything is measured."""
    is_new = not args.report.exists()
    with _saving(args.report):
        args.report.open("a").close()
        if is_new:  # a run that measures nothing leaves none
            args.report.unlink()
    if args.evidence:
        with _saving(args.evidence):
            args.evidence.mkdir(parents=True, exist_ok=True)


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise NotSaved(Path(fault.filename or path), fault) from fault


# While it works


@contextmanager
def _stages() -> Iterator[Stage]:
    """Bars on a terminal's standard error; none if either of the two goes elsewhere."""
    notes = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    shown = notes.is_terminal and sys.stdout.isatty()
    with Progress(*columns, console=notes, disable=not shown, transient=True) as bars:

        @contextmanager
        def stage(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
            task = bars.add_task(name, total=total)
            try:
                yield lambda done: bars.update(task, completed=done)
            finally:
                bars.remove_task(task)

        yield stage


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """So that it cleans up after itself, too, when it is told to end by another program."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
