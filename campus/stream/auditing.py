"""An audit of the logs as they stand in Kafka: where they end is frozen first, so a system may run meanwhile.

Only reads, each log once; what it all means is the checker's to say (campus/domain/audit.py).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress

from campus.domain.audit import Audit
from campus.domain.audit_findings import Findings, Totals
from campus.domain.audit_record import Record
from campus.domain.metrics import OrderMetrics
from campus.domain.snapshot import SnapshotUnreadable, unpacked
from campus.runtime.config import Config, TopicsConfig
from campus.stream.history import BeginningMissing, Bounds, HistoryReader
from campus.stream.topics import topics_there
from campus.stream.writer import Place

Heard = Callable[[int, int], None]  # so many records of so many


def audited(
    config: Config, expected: Sequence[str] = (), *, heard: Heard = lambda done, total: None
) -> Findings:
    """`expected`: order ids that must be there. `heard` is told now and then how far it is.

    Raises BrokerAway, BeginningMissing, HistoryMissing, PartitionCountMismatch.
    """
    topics = config.topics
    audit = Audit(topics.partitions, expected=expected)
    with (
        # Two, so that of the two logs of a partition neither runs ahead of the other, into memory.
        closing(HistoryReader(config.kafka, client_id="audit-orders")) as orders,
        closing(HistoryReader(config.kafka, client_id="audit-journal")) as journal,
    ):
        # Taken before the ends, so that the journal has all that they count.
        told = _told_by_analytics(journal, config)
        spans = _frozen(journal, topics, topics_there(config.kafka, config.topics, _audited_topics(topics)))
        done, total = 0, sum(span.end - span.start for span in spans.values())

        def read(reader: HistoryReader, topic: str, partition: int) -> Iterator[Record]:
            nonlocal done
            place = Place(topic, partition)
            for _, batch in reader.read({place: spans.get(place, Bounds(0, 0))}):
                done += len(batch)
                heard(done, total)
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


def _told_by_analytics(reader: HistoryReader, config: Config) -> dict[int, Totals]:
    """What analytics has last written down of each partition, if it has anything that can be read."""
    topic = config.topics.analytics_snapshots_topic
    if topic not in topics_there(config.kafka, config.topics, {topic}):
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
    return Totals(
        seq=seq,
        reserved=metrics.successful,
        cancelled=metrics.cancelled,
        failed=Counter(metrics.reasons),
        portions=Counter({name: item.portions for name, item in metrics.items.items()}),
    )


def _frozen(reader: HistoryReader, topics: TopicsConfig, there: set[str]) -> dict[Place, Bounds]:
    """What is audited, of a system that goes on meanwhile. The journal's ends are taken first: whatever
    stands before them was read from the other topics, or written to them, before it was written there."""
    spans: dict[Place, Bounds] = {}
    for names in [{topics.journal_topic}, {topics.orders_topic, topics.dead_letters_topic}]:
        places = [Place(name, p) for name in sorted(names & there) for p in range(topics.partitions)]
        spans |= reader.bounds(places)
    for place, span in spans.items():
        if span.start > 0:
            raise BeginningMissing(place, span.start)
    return spans
