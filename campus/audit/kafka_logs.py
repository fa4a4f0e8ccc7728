"""Audits the topics of a Kafka, up to ends that are taken first, so a system may run meanwhile. Only reads.

Not here: what is right and what is wrong (checker.py).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from campus.analytics.metrics import OrderMetrics
from campus.audit.checker import Audit
from campus.audit.findings import Findings, Totals
from campus.config.settings import Config
from campus.domain.snapshot import SnapshotUnreadable, unpacked
from campus.kafka.log_reader import LogReader, OnProgress, ReadProgress
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import existing_topics


def run_audit(
    config: Config, expected: Sequence[str] = (), *, on_progress: OnProgress = lambda done, total: None
) -> Findings:
    """`expected`: order ids that must be in order-events.

    Raises BrokerAway, BeginningMissing, HistoryMissing, PartitionCountMismatch.
    """
    topics = config.topics
    audit = Audit(topics.partitions, expected=expected)
    with (
        # Two readers: one reads one log at a time, and the two logs of a partition are read side by side.
        closing(LogReader(config.kafka, client_id="audit-orders")) as orders,
        closing(LogReader(config.kafka, client_id="audit-journal")) as journal,
    ):
        # Before the ends are taken: so the journal, up to its end, has all that analytics has counted.
        analytics = _counted_by_analytics(journal, config)
        spans = _spans(journal, config)
        progress = ReadProgress(sum(span.end for span in spans.values()), on_progress)

        def read(reader: LogReader, topic: str, partition: int) -> Iterator[Any]:
            tp = TopicPartition(topic, partition)
            return progress.records(reader.read({tp: spans.get(tp, Bounds(0, 0))}))

        for partition in range(topics.partitions):
            audit.dead_letters(partition, read(orders, topics.dead_letters_topic, partition))
            audit.partition(
                partition,
                read(orders, topics.orders_topic, partition),
                read(journal, topics.journal_topic, partition),
                analytics.get(partition),
            )
    return audit.finish()


def _counted_by_analytics(reader: LogReader, config: Config) -> dict[int, Totals]:
    """The totals in the last readable snapshot of analytics, by partition.

    They are not restored as analytics does it (as the replay does), because the audit must not share the rule
    of the journal.
    """
    topic, partitions = config.topics.analytics_snapshots_topic, config.topics.partitions
    if not existing_topics(config.kafka, {topic}, partitions):
        return {}
    counted: dict[int, Totals] = {}
    tps = [TopicPartition(topic, partition) for partition in range(partitions)]
    for tp, records in reader.read(reader.bounds(tps)):
        for record in records:
            with suppress(SnapshotUnreadable, ValueError):
                snapshot = unpacked(record.value)
                counted[tp.partition] = as_totals(snapshot.seq, OrderMetrics.from_state(snapshot.state))
    return counted


def as_totals(seq: int, metrics: OrderMetrics) -> Totals:
    return Totals(
        seq=seq,
        reserved=metrics.successful,
        cancelled=metrics.cancelled,
        failed=Counter(metrics.reasons),
        portions=Counter({name: item.portions for name, item in metrics.items.items()}),
    )


def _spans(reader: LogReader, config: Config) -> dict[TopicPartition, Bounds]:
    """What is audited. The journal's ends are taken first: each entry was written after its record and after
    its side output. Topics that do not exist are left out."""
    topics = config.topics
    side = {topics.orders_topic, topics.dead_letters_topic}
    existing = existing_topics(config.kafka, {topics.journal_topic, *side}, topics.partitions)
    spans = reader.whole_bounds({topics.journal_topic} & existing, topics.partitions)
    return spans | reader.whole_bounds(side & existing, topics.partitions)
