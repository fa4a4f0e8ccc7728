"""Decide all of order-events again, from its beginning, and compare every decision with the journal.

A fresh ledger decides each record up to where the logs end now, as a new owner would; each decision must be
the journal's entry byte for byte, and the metrics folded from them those of analytics. A system may run
meanwhile. Exits with 0 if all is identical, 1 if something is different (the first difference is shown), 3 if
there is nothing to replay, 130 if it was interrupted.
"""

import argparse
import json
import math
import signal
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import timedelta
from threading import TIMEOUT_MAX
from threading import Event as StopEvent
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress

from campus.analytics.metrics import OrderMetrics
from campus.analytics.report import text_report
from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.domain.events import Entry
from campus.domain.times import iso_utc
from campus.groups.offset_target import parse_target
from campus.inventory.rules import RULES_VERSION
from campus.logs import printable
from campus.replay.event_lines import journal_line, said
from campus.replay.findings import Difference, Replay
from campus.replay.kafka_logs import Ends, freeze, replay
from campus.replay.timeline import LogEvent, happenings

HELP = "decide everything again and compare it with the journal"
EXIT_CODES = {"identical": 0, "different": 1, "empty": 3}
INTERRUPTED = 130
HISTORY_SHOWN = 20  # the last decisions about --item
NAMED_MAX = 8  # items whose stock is named in the text; JSON has them all
LONG_PAUSE_S = 5.0  # of --speed: one that is longer is announced
TIME_IS = "2026-01-31T12:00:00Z (UTC, unless it says otherwise) or milliseconds since 1970"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as-of", type=a_time_ms, metavar="TIME", help=f"only what was there then: {TIME_IS}"
    )
    parser.add_argument("--item", metavar="NAME", help="only what is about this item, and how its stock went")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--json", action="store_true", help="print what was found as one JSON object")
    told.add_argument(
        "--speed", type=a_speed, metavar="10x", help="first show the events as they happened, so fast; or max"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    config = context.config
    last: deque[Entry] = deque(maxlen=HISTORY_SHOWN)
    with a_broker(config):
        ends = freeze(config, as_of_ms=args.as_of)
        if args.speed and not was_shown(config, ends, args.item, args.speed):
            print("stopped; nothing was compared")
            return INTERRUPTED
        started_at = time.monotonic()
        found = _replayed(config, ends, args.item, last)
        took_s = time.monotonic() - started_at
    history = list(last) if args.item else []
    if args.json:
        print(as_json(found, as_of_ms=args.as_of, item=args.item, history=history))
    else:
        print(as_text(found, as_of_ms=args.as_of, item=args.item, history=history, took_s=took_s))
    return EXIT_CODES[found.verdict]


def _replayed(config: Config, ends: Ends, item: str | None, last: deque[Entry]) -> Replay:
    notes = Console(stderr=True)
    with Progress(console=notes, disable=not notes.is_terminal, transient=True) as bar:
        task = bar.add_task("replaying", total=None)
        return replay(
            config,
            ends=ends,
            item=item,
            watch=last.append,
            on_progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def a_time_ms(text: str) -> int:
    try:
        at = parse_target(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write {TIME_IS}") from fault
    if at.kind != "time":
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write {TIME_IS}")
    return at.number


def a_speed(text: str) -> float:
    """How much faster than it happened."""
    if text == "max":
        return math.inf
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = math.nan
    if not 0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed; write 10x, 0.5x or max")
    return speed


# As it happened


def was_shown(config: Config, ends: Ends, item: str | None, speed: float) -> bool:
    """Print what happened, with the pauses that were between, so much shorter; False if interrupted."""
    began_s, first_ms = time.monotonic(), None
    with _until_ctrl_c() as stop, closing(happenings(config, ends, item, stop)) as events:
        for happening in events:
            first_ms = happening.at_ms if first_ms is None else first_ms
            due_s = began_s + (happening.at_ms - first_ms) / 1000 / speed
            if _was_interrupted(stop, due_s - time.monotonic()):
                break
            print(printable(as_line(happening)), flush=True)
        return not stop.is_set()


def as_line(happening: LogEvent) -> str:
    tp = happening.tp
    where = f"{tp.topic} {tp.partition}:{happening.offset}"
    return f"{iso_utc(happening.at_ms)}  {where:<28}  {said(happening.event)}"


def _was_interrupted(stop: StopEvent, pause_s: float) -> bool:
    pause_s = min(max(0.0, pause_s), TIMEOUT_MAX)  # what an event can wait at all
    if pause_s > LONG_PAUSE_S:
        print(f"… nothing for {timedelta(seconds=round(pause_s))}", flush=True)
    return stop.wait(pause_s)


@contextmanager
def _until_ctrl_c() -> Iterator[StopEvent]:
    stop = StopEvent()
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


# Telling


def as_json(found: Replay, *, as_of_ms: int | None, item: str | None, history: Sequence[Entry]) -> str:
    told = found.metrics_of_analytics and _figures(found.metrics_of_analytics)
    if told and item is not None:
        told = {"items": told["items"]}  # it keeps no others by item
    return json.dumps(
        {
            "verdict": found.verdict,
            "as_of": None if as_of_ms is None else iso_utc(as_of_ms),
            "item": item,
            "records": found.records,
            "undecided": found.undecided,
            "decisions": found.decisions,
            "compared": found.compared,
            "different": found.different,
            "other_rules": dict(found.other_rules),
            "claims": found.claims,
            "ignored": dict(found.ignored),
            "digest": found.digest,
            "metrics": _figures(found.metrics),
            "metrics_of_analytics": told,
            "metrics_identical": None if told is None else not found.miscounted,
            "stock": found.stock,
            "first_difference": found.first_difference and asdict(found.first_difference),
            "history": [msgspec.to_builtins(entry) for entry in history],
        },
        indent=2,
    )


def _figures(metrics: OrderMetrics) -> dict[str, Any]:
    return {"total": metrics.total, **msgspec.to_builtins(metrics)}


def as_text(
    found: Replay, *, as_of_ms: int | None, item: str | None, history: Sequence[Entry], took_s: float
) -> str:
    metrics = found.metrics
    lines = [] if as_of_ms is None else [_report(metrics, as_of_ms)]
    lines += [printable(f"{entry.decided_at}  seq {entry.seq:<8} {journal_line(entry)}") for entry in history]
    about = () if item is None else (f"about {printable(item)}",)
    lines += [
        _line("records", found.records, *about, f"{found.undecided:,} of them not decided yet"),
        _line("decisions", found.decisions, f"by {found.claims:,} claims"),
        _line("compared", found.compared, f"{found.different:,} of them different"),
        _line("orders", metrics.total, f"{metrics.successful:,} reserved", *_counts(metrics.reasons)),
        _line("in stock", sum(found.stock.values()), *_largest(found.stock)),
        _line("ignored", found.ignored.total(), *_counts(found.ignored)),
    ]
    lines += [
        _line("not compared", count, f"decided by rules {version}, this program has {RULES_VERSION}")
        for version, count in found.other_rules.items()
    ]
    lines.append(f"{'metrics':<15}{_of_analytics(found)}")
    lines.append(f"{'digest':<15}{found.digest}")
    if found.first_difference:
        lines += _differing(found.first_difference)
    return "\n".join([*lines, _verdict(found, took_s)])


def _report(metrics: OrderMetrics, as_of_ms: int) -> str:
    return text_report(metrics, title=f"as of {iso_utc(as_of_ms)}", partitions=(), partitions_all=0)


def _of_analytics(found: Replay) -> str:
    if not found.told:
        return "analytics has nowhere written down what it counts"
    if found.miscounted:
        return f"analytics counts otherwise in {found.miscounted} of {len(found.told)} partitions"
    return "the same as analytics counts"


def _differing(first: Difference) -> list[str]:
    coordinates = {"partition": first.partition, "seq": first.seq, "offset": first.source_offset}
    where = " ".join(f"{name} {at}" for name, at in coordinates.items() if at is not None)
    field = f"{first.field}: " if first.field else ""
    shown = {"journal": first.journal, "decided again": first.decided, "order-events": first.record}
    lines = [printable(f"first difference, {first.where} {where}: {field}{first.what}")]
    if first.where == "journal":
        lines += [f"  {name:<15}{printable(text or 'nothing')}" for name, text in shown.items()]
    return lines


def _line(name: str, count: int, *details: str) -> str:
    return f"{name:<13}{count:>12,}   {' · '.join(details)}".rstrip()


def _counts(counts: Mapping[str, int]) -> list[str]:
    return [f"{count:,} {name}" for name, count in Counter(counts).most_common()]


def _largest(stock: Mapping[str, int]) -> list[str]:
    named = [f"{printable(item)} {left:,}" for item, left in sorted(stock.items())[:NAMED_MAX]]
    return [*named, f"… {len(stock) - NAMED_MAX:,} more"] if len(stock) > NAMED_MAX else named


def _verdict(found: Replay, took_s: float) -> str:
    if found.verdict == "empty":
        return "nothing to replay: no decision could be compared, and that proves nothing"
    rate = found.records / took_s if took_s else 0.0
    word = "identical: every decision again, byte for byte" if found.verdict == "identical" else "different"
    return f"{word}  ({took_s:.1f} s, {rate:,.0f} records/s)"
