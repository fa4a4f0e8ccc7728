"""An audit of the logs as they stand in Kafka: where they end is frozen first, so a system may run meanwhile.

Only reads, each log once; what it all means is the checker's to say (campus/audit/checker.py).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress

from campus.analytics.metrics import OrderMetrics
from campus.audit.checker import Audit
from campus.audit.findings import Findings, Totals
from campus.audit.record import Record
from campus.config.settings import Config, TopicsConfig
from campus.domain.snapshot import SnapshotUnreadable, unpacked
from campus.kafka.log_reader import BeginningMissing, LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import existing_topics

OnProgress = Callable[[int, int], None]  # so many records of so many


def audited(
    config: Config, expected: Sequence[str] = (), *, on_progress: OnProgress = lambda done, total: None
) -> Findings:
    """`expected`: order ids that must be there. `on_progress` is told now and then how far it is.

    Raises BrokerAway, BeginningMissing, HistoryMissing, PartitionCountMismatch.
    """
    topics = config.topics
    audit = Audit(topics.partitions, expected=expected)
    with (
        # Two, so that of the two logs of a partition neither runs ahead of the other, into memory.
        closing(LogReader(config.kafka, client_id="audit-orders")) as orders,
        closing(LogReader(config.kafka, client_id="audit-journal")) as journal,
    ):
        # Taken before the ends, so that the journal has all that they count.
        told = _told_by_analytics(journal, config)
        spans = _frozen(
            journal, topics, existing_topics(config.kafka, _audited_topics(topics), topics.partitions)
        )
        done, total = 0, sum(span.end - span.start for span in spans.values())

        def read(reader: LogReader, topic: str, partition: int) -> Iterator[Record]:
            nonlocal done
            tp = TopicPartition(topic, partition)
            for _, batch in reader.read({tp: spans.get(tp, Bounds(0, 0))}):
                done += len(batch)
                on_progress(done, total)
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


def _audited_topics(topics: TopicsConfig) -> set[str]:
    return {topics.journal_topic, topics.orders_topic, topics.dead_letters_topic}


def _told_by_analytics(reader: LogReader, config: Config) -> dict[int, Totals]:
    """What analytics has last written down of each partition, if it has anything that can be read."""
    topic = config.topics.analytics_snapshots_topic
    if topic not in existing_topics(config.kafka, {topic}, config.topics.partitions):
        return {}
    told: dict[int, Totals] = {}
    tps = [TopicPartition(topic, partition) for partition in range(config.topics.partitions)]
    for tp, records in reader.read(reader.bounds(tps)):
        for record in records:
            with suppress(SnapshotUnreadable, ValueError):
                snapshot = unpacked(record.value)
                told[tp.partition] = as_totals(snapshot.seq, OrderMetrics.from_state(snapshot.state))
    return told


def as_totals(seq: int, metrics: OrderMetrics) -> Totals:
    return Totals(
        seq=seq,
        reserved=metrics.successful,
        cancelled=metrics.cancelled,
        failed=Counter(metrics.reasons),
        portions=Counter({name: item.portions for name, item in metrics.items.items()}),
    )


def _frozen(reader: LogReader, topics: TopicsConfig, there: set[str]) -> dict[TopicPartition, Bounds]:
    """What is audited, of a system that goes on meanwhile. The journal's ends are taken first: whatever
    stands before them was read from the other topics, or written to them, before it was written there."""
    spans: dict[TopicPartition, Bounds] = {}
    for names in [{topics.journal_topic}, {topics.orders_topic, topics.dead_letters_topic}]:
        tps = [TopicPartition(name, p) for name in sorted(names & there) for p in range(topics.partitions)]
        spans |= reader.bounds(tps)
    for tp, span in spans.items():
        if span.start > 0:
            raise BeginningMissing(tp, span.start)
    return spans
