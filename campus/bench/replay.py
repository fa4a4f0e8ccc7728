"""Replay with an offset reset: what analytics had counted, against what it counts again from the beginning.

The metrics are those that analytics itself has written down, per partition: before, at its clean stop; after,
at the next one, between which its group's offsets were moved to the earliest. Only what was written after the
reset is taken for the metrics after it: a snapshot from before would be compared with itself.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from campus.analytics.metrics import OrderMetrics, summed
from campus.config.settings import KafkaConfig, TopicsConfig
from campus.domain.snapshot import Snapshot, SnapshotUnreadable, unpacked
from campus.kafka.log_reader import LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.replay.findings import first_figure


@dataclass(frozen=True, slots=True)
class Counted:
    """What analytics has counted, as it wrote it down: snapshots by partition. `ends`: of their topic."""

    snapshots: Mapping[int, Snapshot]
    ends: Mapping[int, int]

    @property
    def metrics(self) -> OrderMetrics:
        return summed(OrderMetrics.from_state(snapshot.state) for snapshot in self.snapshots.values())


@dataclass(frozen=True, slots=True)
class Read:
    """One reading of all events: how many orders were decided, and how."""

    events: int
    successful: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTest:
    """`after`: None where a live group's offsets cannot be reset. `first_difference`: in words. `verdict`,
    `decisions`, `digest`: of deciding everything again with a fresh ledger."""

    before: Read
    after: Read | None
    rebuilt_s: float | None
    metrics_bytes: int
    first_difference: str | None
    verdict: Literal["identical", "different", "empty"]
    decisions: int
    digest: str
    minutes: Mapping[str, int]

    @property
    def is_consistent(self) -> bool:
        """Nothing read is nothing proved."""
        return self.before.events > 0 and self.first_difference is None and self.verdict == "identical"

    @property
    def is_right(self) -> bool:
        return self.is_consistent


def counted(kafka: KafkaConfig, topics: TopicsConfig, since: Mapping[int, int] | None = None) -> Counted:
    """What stands written down now, of what was written at or after these offsets. Raises BrokerAway."""
    tps = [
        TopicPartition(topics.analytics_snapshots_topic, partition) for partition in range(topics.partitions)
    ]
    found: dict[int, Snapshot] = {}
    with closing(LogReader(kafka, client_id="bench-replay")) as history:
        bounds = history.bounds(tps)
        spans = {
            tp: Bounds(max(at.start, (since or {}).get(tp.partition, 0)), at.end) for tp, at in bounds.items()
        }
        for tp, records in history.read(spans):
            for record in records:
                try:
                    found[tp.partition] = unpacked(record.value)
                except SnapshotUnreadable:
                    found.pop(tp.partition, None)  # then the partition counts as not written down
    return Counted(found, {tp.partition: at.end for tp, at in bounds.items()})


def read_of(metrics: OrderMetrics) -> Read:
    return Read(metrics.total, metrics.successful, metrics.failed)


def first_difference(before: Counted, after: Counted) -> str | None:
    """Where the metrics are not the same, byte for byte; None if they are."""
    for partition in sorted(before.snapshots.keys() | after.snapshots.keys()):
        old, new = before.snapshots.get(partition), after.snapshots.get(partition)
        if old is None or new is None:
            return (
                f"partition {partition}: analytics has written nothing {'before' if old is None else 'after'}"
            )
        if old.seq != new.seq:
            return f"partition {partition}: counted up to seq {old.seq} before, {new.seq} after"
        if old.state != new.state:
            return f"partition {partition}: {_in_words(old.state, new.state)}"
    return None


def _in_words(old: bytes, new: bytes) -> str:
    metrics = [OrderMetrics.from_state(state) for state in (old, new)]
    if figure := first_figure(*metrics):
        name, before, after = figure
        return f"{name} is {before} before, {after} after"
    at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return f"the same figures, but other bytes from byte {at} on"


def metrics_bytes(counted: Counted) -> int:
    return sum(len(snapshot.state) for snapshot in counted.snapshots.values())
