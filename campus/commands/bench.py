"""Measure how the system behaves: latency, ten thousand events, consumer lag, replay, and report on it.

Runs the roles for it, on topics and groups of its own, which it removes afterwards. With --live it measures
the running system as it is: orders go through its API into its topics, and what would change the system
(slowing inventory down, moving a running group's offsets) is left out, and the report says so.
Exits with 0 if every test passed (nothing lost, metrics consistent), with 1 if one did not.
"""

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from campus.bench.environment import Environment, live_environment, own_environment
from campus.bench.evidence import write_evidence
from campus.bench.load import CLIENTS_MAX
from campus.bench.load_process import signal_handler
from campus.bench.produce import EVENTS_MAX
from campus.bench.report import Results, as_data, as_text
from campus.bench.suite import Options, Stage, Suite
from campus.commands import Context, a_broker, number
from campus.errors import CampusError
from campus.kafka.clients import broker_version

HELP = "measure latency, throughput, lag and replay, and report on it"
TESTS = ("latency", "produce", "lag", "replay")
REPORT_FILE = "kafka_test_report.txt"
COUNT = "how many (default: 100 requests, 10000 produced events; lag: as many as --duration gives)"
CLIENTS = "connections that order at the same time (default: latency 1, or 64 with --rate; lag 32)"
RATE = "requests due per second: an open loop; latency counts from when one was due (default: lag 200)"
NUMBERS = (
    ("--events", "N", number(int, 1, EVENTS_MAX), COUNT),
    ("--clients", "N", number(int, 1, CLIENTS_MAX), CLIENTS),
    ("--rate", "R", number(float, 0.1, 100_000), RATE),
    ("--duration", "S", number(float, 0.1, 3600), "seconds of load, instead of --events (default: 10)"),
)


class WrongOptions(CampusError):
    exit_code = 2


class NotSaved(CampusError):
    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("test", choices=[*TESTS, "all"], help="which test, or all of them")
    parser.add_argument("--live", action="store_true", help="measure the running system, as it is")
    for option, unit, kind, text in NUMBERS:
        parser.add_argument(option, type=kind, metavar=unit, help=text)
    parser.add_argument(
        "--seed", type=number(int, 0, 2**32), default=1, metavar="N", help="seed of the orders"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path(tempfile.gettempdir()) / REPORT_FILE,
        metavar="PATH",
        help="where to save the report (default: %(default)s)",
    )
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="also write there: report, figures, config, versions, series, plots",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    if args.events and args.duration:
        raise WrongOptions("--events and --duration both say how long the load is; give one of the two")
    if args.rate and args.duration and round(args.rate * args.duration) < 1:
        raise WrongOptions(f"--rate {args.rate:g} for --duration {args.duration:g} s gives no order at all")
    _check_writable(args)
    options = Options(
        events=args.events,
        clients=args.clients,
        rate_per_s=args.rate,
        duration_s=args.duration,
    )
    with (
        # SIGTERM ends the run as Ctrl-C does, so that its topics and groups are removed then, too.
        signal_handler(signal.SIGTERM, signal.default_int_handler),
        a_broker(context.config),
        _environment(args, context) as environment,
    ):
        with _progress_bar() as stage:
            results = Suite(environment, options, stage).run(TESTS if args.test == "all" else (args.test,))
        _print_and_save(results, args, environment)
    return 0 if results.has_passed else 1


def _environment(args: argparse.Namespace, context: Context) -> AbstractContextManager[Environment]:
    if args.live:
        return nullcontext(live_environment(context.config, args.seed))
    return own_environment(context.config, args.seed, context.system)


def _print_and_save(results: Results, args: argparse.Namespace, environment: Environment) -> None:
    text = as_text(results)
    print(json.dumps(as_data(results), indent=2) if args.json else text, flush=True)
    with _saving(args.report):
        args.report.write_text(f"{text}\n", encoding="utf-8")
    saved = [f"saved to {args.report}"]
    if args.evidence:
        kafka_version = broker_version(environment.config.kafka)
        with _saving(args.evidence):
            saved += write_evidence(args.evidence, results, environment.config, kafka_version)
    print("\n".join(saved), file=sys.stderr)


def _check_writable(args: argparse.Namespace) -> None:
    """Before anything is measured. Leaves no report behind that was not there."""
    is_new = not args.report.exists()
    with _saving(args.report):
        args.report.open("a").close()
        if is_new:
            args.report.unlink()
    if args.evidence:
        with _saving(args.evidence):
            args.evidence.mkdir(parents=True, exist_ok=True)


@contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NotSaved(
            f"{error.filename or path} cannot be written ({error.strerror}). Choose another place with "
            "--report or --evidence"
        ) from error


@contextmanager
def _progress_bar() -> Iterator[Stage]:
    """On standard error, if that and standard output are both a terminal; else nowhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    is_shown = console.is_terminal and sys.stdout.isatty()
    with Progress(*columns, console=console, disable=not is_shown, transient=True) as bar:

        def stage(name: str, total: int | None) -> Callable[[int], None]:
            for before in bar.task_ids:
                bar.remove_task(before)
            task = bar.add_task(name, total=total)
            return lambda done: bar.update(task, completed=done)

        yield stage
