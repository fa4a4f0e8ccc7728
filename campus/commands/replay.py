"""Decide all of order-events again, from its beginning, and compare every decision with the journal.

A fresh ledger decides each record up to the present ends of the logs, as a new owner would. Each decision
must be the journal's entry byte for byte, and their metrics must be those of analytics. A system may run
meanwhile. Exits with 0 if everything is identical, 1 if something differs (the first difference is shown), 3
if there is nothing to replay, 130 if it was interrupted.
"""

import argparse
import json
import math
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from datetime import timedelta
from threading import TIMEOUT_MAX, Event
from typing import Any

import msgspec

from campus.analytics.metrics import OrderMetrics
from campus.analytics.report import text_report
from campus.commands import (
    Context,
    a_broker,
    coordinates,
    figure_line,
    largest_first,
    progress_bar,
    verdict_line,
)
from campus.config.settings import Config
from campus.domain.times import iso_utc
from campus.groups.offset_target import parse_target
from campus.inventory.rules import RULES_VERSION
from campus.logs import printable
from campus.replay.event_lines import describe, describe_journal
from campus.replay.findings import Difference, ReplayFindings
from campus.replay.kafka_logs import Ends, freeze, replay
from campus.replay.timeline import read_timeline

HELP = "decide everything again and compare it with the journal"
EXIT_CODES = {"identical": 0, "different": 1, "empty": 3}
INTERRUPTED = 130
NAMED_MAX = 8  # items whose stock is named in the text; JSON has them all
LONG_PAUSE_S = 5.0  # with --speed, longer pauses are announced
TIME_FORMAT = "2026-01-31T12:00:00Z (UTC, unless it says otherwise) or milliseconds since 1970"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--as-of", type=a_time_ms, metavar="TIME", help=f"only what was in the logs then: {TIME_FORMAT}"
    )
    parser.add_argument(
        "--item", metavar="NAME", help="only this item, and the last decisions about its stock"
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    output.add_argument(
        "--speed", type=a_speed, metavar="10x", help="first show the events in their order, this fast; or max"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    config = context.config
    with a_broker(config):
        ends = freeze(config, item=args.item, as_of_ms=args.as_of)
        if args.speed:
            try:
                show_timeline(config, ends, args.speed)
            except KeyboardInterrupt:
                print("stopped; nothing was compared")
                return INTERRUPTED
        started_at = time.monotonic()
        with progress_bar("replaying") as on_progress:
            found = replay(config, ends, on_progress=on_progress)
        took_s = time.monotonic() - started_at
    print(as_json(found, args.as_of) if args.json else as_text(found, args.as_of, took_s))
    return EXIT_CODES[found.verdict]


def a_time_ms(text: str) -> int:
    with suppress(ValueError):
        target = parse_target(text)
        if target.kind == "time":
            return target.number
    raise argparse.ArgumentTypeError(f"{text!r} is no time; write {TIME_FORMAT}")


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


# The events in their order


def show_timeline(config: Config, ends: Ends, speed: float) -> None:
    """Print the events with the pauses between them, `speed` times faster."""
    began_s, first_ms = time.monotonic(), None
    with closing(read_timeline(config, ends)) as events:
        for event in events:
            first_ms = event.at_ms if first_ms is None else first_ms
            due_s = began_s + (event.at_ms - first_ms) / 1000 / speed
            _pause(due_s - time.monotonic())
            where = f"{event.tp.topic} {event.tp.partition}:{event.offset}"
            line = f"{iso_utc(event.at_ms)}  {where:<28}  {describe(event.event)}"
            print(printable(line), flush=True)


def _pause(pause_s: float) -> None:
    """Ctrl-C ends it with a KeyboardInterrupt."""
    pause_s = min(max(0.0, pause_s), TIMEOUT_MAX)  # the longest wait that Python allows
    if pause_s > LONG_PAUSE_S:
        print(f"… nothing for {timedelta(seconds=round(pause_s))}", flush=True)
    Event().wait(pause_s)


# The findings as text


def as_json(found: ReplayFindings, as_of_ms: int | None) -> str:
    analytics = found.metrics_of_analytics and _figures(found.metrics_of_analytics)
    if analytics and found.item is not None:
        analytics = {"items": analytics["items"]}  # the only figures that are kept by item
    return json.dumps(
        {
            "verdict": found.verdict,
            "as_of": None if as_of_ms is None else iso_utc(as_of_ms),
            "item": found.item,
            "records": found.records,
            "undecided": found.undecided,
            "decisions": found.decisions,
            "compared": found.compared,
            "different": found.different,
            "other_rules": found.other_rules,
            "claims": found.claims,
            "ignored": found.ignored,
            "digest": found.digest,
            "metrics": _figures(found.metrics),
            "metrics_of_analytics": analytics,
            "metrics_identical": None if analytics is None else not found.miscounted,
            "stock": found.stock,
            "first_difference": msgspec.to_builtins(found.first_difference),
            "history": msgspec.to_builtins([*found.history]),
        },
        indent=2,
    )


def _figures(metrics: OrderMetrics) -> dict[str, Any]:
    return {"total": metrics.total, **msgspec.to_builtins(metrics)}


def as_text(found: ReplayFindings, as_of_ms: int | None, took_s: float) -> str:
    metrics = found.metrics
    lines = []
    if as_of_ms is not None:
        title = f"as of {iso_utc(as_of_ms)}"
        lines.append(text_report(metrics, title=title, partitions=(), partitions_all=0))
    lines += [
        printable(f"{entry.decided_at}  seq {entry.seq:<8} {describe_journal(entry)}")
        for entry in found.history
    ]
    about = () if found.item is None else (f"about {printable(found.item)}",)
    lines += [
        figure_line("records", found.records, *about, f"{found.undecided:,} of them not decided yet"),
        figure_line("decisions", found.decisions, f"by {found.claims:,} claims"),
        figure_line("compared", found.compared, f"{found.different:,} of them different"),
        figure_line(
            "orders", metrics.total, f"{metrics.successful:,} reserved", *largest_first(metrics.reasons)
        ),
        figure_line("in stock", sum(found.stock.values()), *_first_items(found.stock)),
        figure_line("ignored", found.ignored.total(), *largest_first(found.ignored)),
    ]
    lines += [
        figure_line("not compared", count, f"decided by rules {version}, this program has {RULES_VERSION}")
        for version, count in found.other_rules.items()
    ]
    lines.append(f"{'metrics':<15}{_of_analytics(found)}")
    lines.append(f"{'digest':<15}{found.digest}")
    if found.first_difference:
        lines += _differing(found.first_difference)
    return "\n".join([*lines, _verdict(found, took_s)])


def _of_analytics(found: ReplayFindings) -> str:
    if not found.analytics:
        return "analytics has written no snapshot yet"
    if found.miscounted:
        return f"analytics counts otherwise in {found.miscounted} of {len(found.analytics)} partitions"
    return "the same as analytics counts"


def _differing(first: Difference) -> list[str]:
    where = coordinates(partition=first.partition, seq=first.seq, offset=first.source_offset)
    field = f"{first.field}: " if first.field else ""
    shown = {"journal": first.journal, "decided again": first.decided, "order-events": first.record}
    lines = [printable(f"first difference, {first.where} {where}: {field}{first.what}")]
    if first.where == "journal":
        lines += [f"  {name:<15}{printable(text or 'nothing')}" for name, text in shown.items()]
    return lines


def _first_items(stock: Mapping[str, int]) -> list[str]:
    named = [f"{printable(item)} {left:,}" for item, left in sorted(stock.items())[:NAMED_MAX]]
    return [*named, f"… {len(stock) - NAMED_MAX:,} more"] if len(stock) > NAMED_MAX else named


def _verdict(found: ReplayFindings, took_s: float) -> str:
    if found.verdict == "empty":
        return "nothing to replay: no decision could be compared, and that proves nothing"
    verdict = "identical: every decision again, byte for byte"
    return verdict_line(verdict if found.verdict == "identical" else "different", found.records, took_s)
