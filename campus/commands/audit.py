"""Prove that the journal is right about every order, or say where it is not.

Reads order-events, the journal and the dead letters once, up to their present ends, with a checker that
shares no rule with the program that wrote them, and compares what analytics has counted. A system may run
meanwhile. Exits with 0 if everything is right, 1 if something is not, 3 if there are no decisions to audit.
"""

import argparse
import json
import time
from pathlib import Path

import msgspec

from campus.audit.findings import Findings, Violation
from campus.audit.kafka_logs import run_audit
from campus.commands import (
    Context,
    a_broker,
    coordinates,
    figure_line,
    largest_first,
    progress_bar,
    verdict_line,
)
from campus.errors import CampusError
from campus.logs import printable

HELP = "prove that the journal is right about every order"
EXIT_CODES = {"clean": 0, "violated": 1, "empty": 3}
NAMED_MAX = 8  # items whose portions are named in the text; JSON has them all


class NoExpectations(CampusError):
    exit_code = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.add_argument(
        "--expect", type=Path, metavar="FILE", help="order ids, one a line: each must be in order-events"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    expected = _expected(args.expect) if args.expect else []
    started_at = time.monotonic()
    with a_broker(context.config), progress_bar("auditing") as on_progress:
        findings = run_audit(context.config, expected, on_progress=on_progress)
    took_s = time.monotonic() - started_at
    print(as_json(findings) if args.json else as_text(findings, took_s))
    return EXIT_CODES[findings.verdict]


def _expected(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise NoExpectations(
            f"{file} cannot be read ({fault}). It must contain order ids, one a line."
        ) from fault


# The findings as text


def as_json(findings: Findings) -> str:
    totals = findings.summed_totals()
    sums = {name: getattr(totals, name) for name in ("orders", "reserved", "cancelled", "failed", "portions")}
    figures = msgspec.to_builtins(findings) | {"totals": sums}
    return json.dumps({"verdict": findings.verdict, **figures}, indent=2)


def as_text(findings: Findings, took_s: float) -> str:
    totals = findings.summed_totals()
    portions = [f"{printable(item)} {count:,}" for item, count in totals.portions.most_common(NAMED_MAX)]
    not_cancelled, ignored = findings.not_cancelled, findings.ignored
    lines = [
        figure_line("records", findings.records, f"{findings.undecided:,} of them not decided yet"),
        figure_line("decisions", findings.decisions, f"by {findings.claims:,} claims"),
        figure_line("orders", totals.orders, f"{totals.reserved:,} reserved", *largest_first(totals.failed)),
        figure_line("cancelled", totals.cancelled),
        figure_line("not cancelled", not_cancelled.total(), *largest_first(not_cancelled)),
        figure_line("portions", totals.portions.total(), *portions),
        figure_line("duplicates", findings.duplicates),
        figure_line("dead letters", findings.dead_letters),
        figure_line("rerouted", findings.reroutes),
        figure_line("ignored", ignored.total(), *largest_first(ignored)),
    ]
    if findings.repeated:
        what = "dead letters and reroutes that a crash wrote again"
        lines.append(figure_line("repeated", findings.repeated, what))
    if findings.shared_ids:
        ids = ", ".join(map(printable, findings.shared_ids_listed))
        what = f"ids of orders in several partitions, each a separate order: {ids}"
        lines.append(figure_line("shared ids", findings.shared_ids, what))
    lines.append(figure_line("violations", findings.violations))
    lines += [f"  {_violation(violation)}" for violation in findings.violations_listed]
    if findings.violations > len(findings.violations_listed):
        lines.append(f"  … and {findings.violations - len(findings.violations_listed):,} more")
    return "\n".join([*lines, _verdict(findings, took_s)])


def _violation(violation: Violation) -> str:
    where = coordinates(partition=violation.partition, offset=violation.offset, seq=violation.seq)
    return ": ".join(part for part in (violation.kind.value, where, violation.what) if part)


def _verdict(findings: Findings, took_s: float) -> str:
    if findings.verdict == "empty":
        return "nothing to audit: no order was decided, and that proves nothing"
    verdict = "clean: every record has its one right entry" if findings.verdict == "clean" else "violated"
    return verdict_line(verdict, findings.records, took_s)
