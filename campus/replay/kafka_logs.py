"""Replays the topics of a Kafka, up to ends that are taken first, so a system may run meanwhile. Only reads.

The metrics of analytics are restored as analytics itself does it at a start: from its snapshots and the rest
of the journal, up to the same ends.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Any

from campus.analytics.metrics import OrderMetrics
from campus.config.settings import Config
from campus.domain.partitions import item_partition
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import offsets_for_time
from campus.kafka.log_reader import LogReader, OnProgress, ReadProgress
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import existing_topics
from campus.processing.follower import METRICS
from campus.processing.restore import Restorer
from campus.replay.findings import ReplayFindings
from campus.replay.replayer import Replayer


@dataclass(frozen=True, slots=True)
class Ends:
    """End offsets of the partitions to replay: all, or the one that holds the item's whole history.

    `orders_due`: a record of order-events before it is undecided if it has no entry. `orders`: how far
    order-events may be read if the journal has more entries; never below `orders_due`.
    """

    item: str | None
    journal: Mapping[int, int]
    orders: Mapping[int, int]
    orders_due: Mapping[int, int]


def freeze(config: Config, *, item: str | None = None, as_of_ms: int | None = None) -> Ends:
    """Where the logs end now, or ended at that time. No partitions if the topics do not exist yet.

    Raises BrokerAway, BeginningMissing, PartitionCountMismatch.
    """
    kafka, topics = config.kafka, config.topics
    if len(existing_topics(kafka, {topics.journal_topic, topics.orders_topic}, topics.partitions)) < 2:
        return Ends(item, {}, {}, {})
    with closing(LogReader(kafka, client_id="replay-ends")) as reader:
        # The journal first: the records of its entries were in order-events before.
        bounds = reader.whole_bounds({topics.journal_topic}, topics.partitions)
        bounds |= reader.whole_bounds({topics.orders_topic}, topics.partitions)
    now = {tp: span.end for tp, span in bounds.items()}
    then = dict(now)
    if as_of_ms is not None:
        with admin(kafka) as client:
            later = offsets_for_time(client, now, as_of_ms + 1)
        then |= {tp: min(now[tp], offset) for tp, offset in later.items()}
    wanted = range(topics.partitions) if item is None else [item_partition(item, topics.partitions)]
    journal = {p: then[TopicPartition(topics.journal_topic, p)] for p in wanted}
    # The times are those of several brokers, whose clocks can differ. So order-events may be read beyond its
    # end at that time, as far as the journal has entries.
    orders = {p: now[TopicPartition(topics.orders_topic, p)] for p in wanted}
    orders_due = {p: then[TopicPartition(topics.orders_topic, p)] for p in wanted}
    return Ends(item, journal, orders, orders_due)


def replay(
    config: Config, ends: Ends | None = None, *, on_progress: OnProgress = lambda done, total: None
) -> ReplayFindings:
    """Decide everything again up to `ends` (default: all that is there now) and compare.

    Raises BrokerAway, HistoryMissing, PartitionCountMismatch.
    """
    ends, topics = ends or freeze(config), config.topics
    replayer = Replayer(topics.partitions, item=ends.item)
    progress = ReadProgress(sum(ends.journal.values()) + sum(ends.orders_due.values()), on_progress)

    def read(reader: LogReader, topic: str, partition: int, end: int) -> Iterator[Any]:
        return progress.records(reader.read({TopicPartition(topic, partition): Bounds(0, end)}))

    with (
        # Two readers: one reads one log at a time, and the two logs of a partition are read side by side.
        closing(LogReader(config.kafka, client_id="replay-orders")) as orders,
        closing(LogReader(config.kafka, client_id="replay-journal")) as journal,
    ):
        analytics = _metrics_of_analytics(journal, config, ends.journal)
        for partition in ends.journal:
            replayer.partition(
                partition,
                read(journal, topics.journal_topic, partition, ends.journal[partition]),
                read(orders, topics.orders_topic, partition, ends.orders[partition]),
                inputs_end=ends.orders_due[partition],
                analytics=analytics.get(partition),
            )
    return replayer.finish()


def _metrics_of_analytics(
    reader: LogReader, config: Config, ends: Mapping[int, int]
) -> dict[int, OrderMetrics]:
    """By partition; empty if analytics has no topic for its snapshots."""
    snapshots = config.topics.analytics_snapshots_topic
    if not ends or not existing_topics(config.kafka, {snapshots}, config.topics.partitions):
        return {}
    restorer = Restorer(METRICS, reader, journal=config.topics.journal_topic, snapshots=snapshots)
    return {partition: restored.fold for partition, restored in restorer.restore(ends, Event()).items()}
