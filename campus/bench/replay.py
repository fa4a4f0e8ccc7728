"""Replay by an offset reset: compares what analytics counted with what it counts again from the beginning.

The metrics are the snapshots that analytics writes at a clean stop: once before its group's offsets are moved
to the earliest, and once after. Of the second, only snapshots written after the reset count: an older one
would be compared with itself.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal, NamedTuple

from campus.analytics.metrics import OrderMetrics, summed
from campus.config.settings import Config
from campus.domain.snapshot import Snapshot, SnapshotUnreadable, unpacked
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition
from campus.replay.findings import Difference, ReplayFindings, first_figure


class AnalyticsSnapshots(NamedTuple):
    """The latest snapshot of each partition; `ends`: the end offsets of their topic when they were read."""

    snapshots: Mapping[int, Snapshot]
    ends: Mapping[int, int]

    @property
    def metrics(self) -> dict[int, OrderMetrics]:
        return {partition: OrderMetrics.from_state(s.state) for partition, s in self.snapshots.items()}


@dataclass(frozen=True, slots=True)
class OrderCounts:
    events: int
    successful: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """`after`: None on a live system, whose offsets cannot be reset. `verdict`, `decisions`, `digest`: of
    deciding everything again with a fresh ledger. `minutes`: orders decided in each."""

    before: OrderCounts
    after: OrderCounts | None
    rebuilt_s: float | None
    metrics_bytes: int
    first_difference: str | None
    verdict: Literal["identical", "different", "empty"]
    decisions: int
    digest: str
    minutes: Mapping[str, int]

    @property
    def has_passed(self) -> bool:
        """The metrics are consistent. Zero events prove nothing."""
        return self.before.events > 0 and self.first_difference is None and self.verdict == "identical"


def read_snapshots(config: Config, *, since: Mapping[int, int] = {}) -> AnalyticsSnapshots:
    """`since`: offsets by partition; snapshots before them are ignored. Raises BrokerAway, HistoryMissing."""
    topic, partitions = config.topics.analytics_snapshots_topic, config.topics.partitions
    snapshots: dict[int, Snapshot] = {}
    with closing(LogReader(config.kafka, client_id="bench-replay")) as reader:
        bounds = reader.bounds([TopicPartition(topic, partition) for partition in range(partitions)])
        for tp, records in reader.read(bounds):
            for record in records:
                if record.offset < since.get(tp.partition, 0):
                    continue
                try:
                    snapshots[tp.partition] = unpacked(record.value)
                except SnapshotUnreadable:
                    snapshots.pop(tp.partition, None)  # an older one is not the latest
    return AnalyticsSnapshots(snapshots, {tp.partition: log.end for tp, log in bounds.items()})


def find_difference(before: AnalyticsSnapshots, after: AnalyticsSnapshots) -> str | None:
    """The first difference, in words; None if the metrics are the same, byte for byte."""
    for partition in sorted(before.snapshots.keys() | after.snapshots.keys()):
        old, new = before.snapshots.get(partition), after.snapshots.get(partition)
        if old is None or new is None:
            return (
                f"partition {partition}: analytics wrote no snapshot {'before' if old is None else 'after'}"
            )
        if old.seq != new.seq:
            return f"partition {partition}: counted up to seq {old.seq} before, {new.seq} after"
        if old.state != new.state:
            return f"partition {partition}: {_describe_difference(old.state, new.state)}"
    return None


def _describe_difference(old: bytes, new: bytes) -> str:
    figure = first_figure(OrderMetrics.from_state(old), OrderMetrics.from_state(new))
    return "{} is {} before, {} after".format(*figure) if figure else "the same figures in other bytes"


def evaluate(
    decided: ReplayFindings,
    before: AnalyticsSnapshots | None = None,
    after: AnalyticsSnapshots | None = None,
    rebuilt_s: float | None = None,
) -> ReplayResult:
    """`before` and `after` the reset; None without one: then the metrics are those that `decided` has."""
    difference = decided.first_difference
    counted = before.metrics if before else decided.analytics or decided.partitions
    metrics = summed(counted.values())
    found = find_difference(before, after) if before and after else None
    return ReplayResult(
        before=count_orders(metrics),
        after=count_orders(summed(after.metrics.values())) if after else None,
        rebuilt_s=rebuilt_s,
        metrics_bytes=sum(len(partition.state()) for partition in counted.values()),
        first_difference=found or (_describe(difference) if difference else None),
        verdict=decided.verdict,
        decisions=decided.decisions,
        digest=decided.digest,
        minutes=metrics.minutes,
    )


def count_orders(metrics: OrderMetrics) -> OrderCounts:
    return OrderCounts(metrics.total, metrics.successful, metrics.failed)


def _describe(difference: Difference) -> str:
    seq = "" if difference.seq is None else f" seq {difference.seq}"
    return f"partition {difference.partition}{seq}: {difference.what}"
