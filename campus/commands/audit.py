"""Prove that the journal is right about every order, or say where it is not.

Reads order-events, the journal and the dead letters once, up to where they end now, with a checker that
shares no rule with the program that wrote them, and holds what analytics has counted against it; a system
may run meanwhile. Exits with 0 if all is right, 1
if something is not, 3 if there is nothing to audit: no orders prove nothing.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from campus.audit.findings import Findings, Violation
from campus.audit.kafka_logs import audited
from campus.commands import Context, a_broker
from campus.config.settings import Config
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
    config = context.config
    expected = _expected(args.expect) if args.expect else []
    started_at = time.monotonic()
    with a_broker(config):
        findings = _audited(config, expected)
    took_s = time.monotonic() - started_at
    print(as_json(findings) if args.json else as_text(findings, took_s))
    return EXIT_CODES[findings.verdict]


def _audited(config: Config, expected: Sequence[str]) -> Findings:
    notes = Console(stderr=True)
    with Progress(console=notes, disable=not notes.is_terminal, transient=True) as bar:
        task = bar.add_task("auditing", total=None)
        return audited(
            config, expected, on_progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def _expected(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as fault:
        raise NoExpectations(
            f"{file} cannot be read ({fault}). It must hold the ids of orders, one a line."
        ) from fault


# Telling


def as_json(findings: Findings) -> str:
    totals = findings.summed_totals()
    return json.dumps(
        {
            "verdict": findings.verdict,
            "records": findings.records,
            "decisions": findings.decisions,
            "undecided": findings.undecided,
            "claims": findings.claims,
            "ignored": dict(findings.ignored),
            "duplicates": findings.duplicates,
            "not_cancelled": dict(findings.not_cancelled),
            "dead_letters": findings.dead_letters,
            "reroutes": findings.reroutes,
            "side_outputs_repeated": findings.repeated,
            "shared_ids": findings.shared_ids,
            "shared_ids_listed": findings.shared_ids_listed,
            "totals": {
                "orders": totals.orders,
                "reserved": totals.reserved,
                "cancelled": totals.cancelled,
                "failed": dict(totals.failed),
                "portions": dict(totals.portions),
            },
            "violations_total": findings.violations,
            "violations": [asdict(violation) for violation in findings.violations_listed],
        },
        indent=2,
    )


def as_text(findings: Findings, took_s: float) -> str:
    totals = findings.summed_totals()
    portions = [f"{printable(item)} {count:,}" for item, count in totals.portions.most_common(NAMED_MAX)]
    lines = [
        _line("records", findings.records, f"{findings.undecided:,} of them not decided yet"),
        _line("decisions", findings.decisions, f"by {findings.claims:,} claims"),
        _line("orders", totals.orders, f"{totals.reserved:,} reserved", *_counts(totals.failed)),
        _line("cancelled", totals.cancelled),
        _line("not cancelled", findings.not_cancelled.total(), *_counts(findings.not_cancelled)),
        _line("portions", totals.portions.total(), *portions),
        _line("duplicates", findings.duplicates),
        _line("dead letters", findings.dead_letters),
        _line("rerouted", findings.reroutes),
        _line("ignored", findings.ignored.total(), *_counts(findings.ignored)),
    ]
    if findings.repeated:
        lines.append(
            _line("repeated", findings.repeated, "dead letters and reroutes that a crash wrote again")
        )
    if findings.shared_ids:
        ids = ", ".join(map(printable, findings.shared_ids_listed))
        lines.append(
            _line("shared ids", findings.shared_ids, f"orders of several items, each its own: {ids}")
        )
    lines.append(_line("violations", findings.violations))
    lines += [f"  {_as_line(violation)}" for violation in findings.violations_listed]
    if findings.violations > len(findings.violations_listed):
        lines.append(f"  … and {findings.violations - len(findings.violations_listed):,} more")
    return "\n".join([*lines, _verdict(findings, took_s)])


def _line(name: str, count: int, *details: str) -> str:
    return f"{name:<13}{count:>12,}   {' · '.join(details)}".rstrip()


def _counts(counts: Counter[str]) -> list[str]:
    return [f"{count:,} {name}" for name, count in counts.most_common()]


def _as_line(violation: Violation) -> str:
    coordinates = {"partition": violation.partition, "offset": violation.offset, "seq": violation.seq}
    where = " ".join(f"{name} {at}" for name, at in coordinates.items() if at is not None)
    return (
        f"{violation.kind.value}: {where}: {violation.what}"
        if where
        else f"{violation.kind.value}: {violation.what}"
    )


def _verdict(findings: Findings, took_s: float) -> str:
    if findings.verdict == "empty":
        return "nothing to audit: no order was decided, and that proves nothing"
    rate = findings.records / took_s if took_s else 0.0
    word = "clean: every record has its one right entry" if findings.verdict == "clean" else "violated"
    return f"{word}  ({took_s:.1f} s, {rate:,.0f} records/s)"
