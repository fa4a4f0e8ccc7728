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
from collections.abc import Iterator, Sequence, Set
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from campus.commands import Context, a_broker
from campus.domain.audit import Audit
from campus.domain.audit_findings import Findings, Totals, Violation
from campus.domain.audit_partition import Record
from campus.domain.metrics import OrderMetrics
from campus.domain.snapshot import SnapshotUnreadable, unpacked
from campus.runtime.config import Config, TopicsConfig
from campus.runtime.errors import CampusError
from campus.runtime.logs import printable
from campus.stream.clients import admin
from campus.stream.history import Bounds, HistoryReader
from campus.stream.topics import PartitionCountMismatch, partition_counts
from campus.stream.writer import Place

HELP = "prove that the journal is right about every order"
EXIT_CODES = {"clean": 0, "violated": 1, "empty": 3}
NAMED_MAX = 8  # items whose portions are named in the text; JSON has them all


class LogTrimmed(CampusError):
    exit_code = 1

    def __init__(self, place: Place, start: int) -> None:
        super().__init__(
            f"{place.topic}-{place.partition} begins at offset {start}: what was before cannot be audited. "
            "Probably the topic has a retention limit, or records were deleted; it must keep everything "
            "(retention.ms=-1)."
        )


class NoExpectations(CampusError):
    exit_code = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON object")
    parser.add_argument(
        "--expect", type=Path, metavar="FILE", help="order ids, one a line: each must be in order-events"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    config, notes = context.config, Console(stderr=True)
    expected = _expected(args.expect) if args.expect else []
    started_at = time.monotonic()
    with a_broker(config):
        findings = audited(config, expected, notes)
    took_s = time.monotonic() - started_at
    print(as_json(findings) if args.json else as_text(findings, took_s))
    return EXIT_CODES[findings.verdict]


def audited(config: Config, expected: Sequence[str], notes: Console) -> Findings:
    """Raises BrokerAway, HistoryMissing, LogTrimmed, PartitionCountMismatch."""
    topics = config.topics
    audit = Audit(topics.partitions, expected=expected)
    with (
        # Two, so that of the two logs of a partition neither runs ahead of the other, into memory.
        closing(HistoryReader(config.kafka, client_id="audit-orders")) as orders,
        closing(HistoryReader(config.kafka, client_id="audit-journal")) as journal,
        Progress(console=notes, disable=not notes.is_terminal, transient=True) as bar,
    ):
        # Taken before the ends, so that the journal has all that they count.
        told = _told_by_analytics(journal, config)
        spans = _frozen(journal, topics, _topics_there(config, _audited_topics(topics)))
        task = bar.add_task("auditing", total=sum(span.end - span.start for span in spans.values()))

        def read(reader: HistoryReader, topic: str, partition: int) -> Iterator[Record]:
            place = Place(topic, partition)
            for _, batch in reader.read({place: spans.get(place, Bounds(0, 0))}):
                bar.advance(task, len(batch))
                yield from batch

        for partition in range(topics.partitions):
            audit.dead_letters(partition, read(orders, topics.dead_letters_topic, partition))
            audit.partition(
                partition,
                read(orders, topics.orders_topic, partition),
                read(journal, topics.journal_topic, partition),
                told.get(partition),
            )
    return audit.finish()


def _audited_topics(topics: TopicsConfig) -> Set[str]:
    return {topics.journal_topic, topics.orders_topic, topics.dead_letters_topic}


def _topics_there(config: Config, names: Set[str]) -> set[str]:
    """Those that are not have no records."""
    with admin(config.kafka) as client:
        counts = partition_counts(client, names)
    for topic, found in counts.items():
        if found != config.topics.partitions:
            raise PartitionCountMismatch(topic, found, config.topics.partitions)
    return set(counts)


def _told_by_analytics(reader: HistoryReader, config: Config) -> dict[int, Totals]:
    """What analytics has last written down of each partition, if it has anything that can be read."""
    topic = config.topics.analytics_snapshots_topic
    if topic not in _topics_there(config, {topic}):
        return {}
    told: dict[int, Totals] = {}
    places = [Place(topic, partition) for partition in range(config.topics.partitions)]
    for place, records in reader.read(reader.bounds(places)):
        for record in records:
            with suppress(SnapshotUnreadable, ValueError):
                snapshot = unpacked(record.value)
                told[place.partition] = as_totals(snapshot.seq, OrderMetrics.from_state(snapshot.state))
    return told


def as_totals(seq: int, metrics: OrderMetrics) -> Totals:
    portions = {name: item.portions for name, item in metrics.items.items() if item.portions}
    return Totals(seq, metrics.successful, Counter(metrics.reasons), Counter(portions))


def _frozen(reader: HistoryReader, topics: TopicsConfig, there: Set[str]) -> dict[Place, Bounds]:
    """What is audited, of a system that goes on meanwhile. The journal's ends are taken first: whatever
    stands before them was read from the other topics, or written to them, before it was written there."""
    spans: dict[Place, Bounds] = {}
    for names in [{topics.journal_topic}, {topics.orders_topic, topics.dead_letters_topic}]:
        places = [Place(name, p) for name in sorted(names & there) for p in range(topics.partitions)]
        spans |= reader.bounds(places)
    for place, span in spans.items():
        if span.start > 0:
            raise LogTrimmed(place, span.start)
    return spans


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
            "dead_letters": findings.dead_letters,
            "reroutes": findings.reroutes,
            "side_outputs_repeated": findings.repeated,
            "shared_ids": findings.shared_ids,
            "shared_ids_listed": findings.shared_ids_listed,
            "totals": {
                "orders": totals.orders,
                "reserved": totals.reserved,
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
