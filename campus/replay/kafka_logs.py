"""Replays the topics of a Kafka, up to ends that are taken first, so a system may run meanwhile. Only reads.

The metrics of analytics are restored as analytics itself does it at a start: from its snapshots and the rest
of the journal, up to the same ends.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Any

from campus.analytics.metrics import OrderMetrics
from campus.config.settings import Config, KafkaConfig
from campus.domain.partitions import item_partition
from campus.inventory.ledger import StockLedger
from campus.kafka.clients import admin
from campus.kafka.log_reader import LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import existing_topics
from campus.kafka.whole_logs import OnProgress, ReadProgress, whole_bounds
from campus.processing.follower import METRICS
from campus.processing.restore import Restorer
from campus.replay.findings import ReplayFindings
from campus.replay.replayer import NewLedger, OnDecision, Replayer


@dataclass(frozen=True, slots=True)
class Ends:
    """End offsets by partition.

    `orders_due`: a record of order-events before it is undecided if it has no entry. `orders`: how far
    order-events may be read if the journal has more entries; never below `orders_due`.
    """

    journal: Mapping[int, int]
    orders: Mapping[int, int]
    orders_due: Mapping[int, int]

    def records(self, partitions: Collection[int]) -> int:
        """About how many records there are to read."""
        return sum(self.journal[p] + self.orders_due[p] for p in partitions)

    def partitions_of(self, item: str | None, partitions: int) -> list[int]:
        """The partitions to replay: all, or the one that holds the item's whole history."""
        wanted = range(partitions) if item is None else [item_partition(item, partitions)]
        return [partition for partition in wanted if partition in self.journal]


def freeze(config: Config, *, as_of_ms: int | None = None) -> Ends:
    """Where the logs end now, or ended at that time. No partitions if the topics do not exist yet.

    Raises BrokerAway, BeginningMissing, PartitionCountMismatch.
    """
    topics = config.topics
    if len(existing_topics(config.kafka, {topics.journal_topic, topics.orders_topic}, topics.partitions)) < 2:
        return Ends({}, {}, {})
    with closing(LogReader(config.kafka, client_id="replay-ends")) as reader:
        # The journal first: the records of its entries were in order-events before.
        journal, orders = (
            {tp.partition: span.end for tp, span in whole_bounds(reader, {topic}, topics.partitions).items()}
            for topic in (topics.journal_topic, topics.orders_topic)
        )
    if as_of_ms is None:
        return Ends(journal, orders, orders)
    # The times are those of several brokers, whose clocks can differ. So order-events may be read beyond its
    # end at that time, as far as the journal has entries.
    return Ends(
        _ends_at(config.kafka, topics.journal_topic, journal, as_of_ms),
        orders,
        _ends_at(config.kafka, topics.orders_topic, orders, as_of_ms),
    )


def replay(
    config: Config,
    *,
    ends: Ends | None = None,
    item: str | None = None,
    new_ledger: NewLedger = StockLedger,
    on_decision: OnDecision = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> ReplayFindings:
    """Decide everything again up to `ends` (default: now) and compare. For the other options see Replayer.

    Raises BrokerAway, HistoryMissing, PartitionCountMismatch.
    """
    ends = ends or freeze(config)
    topics = config.topics
    partitions = ends.partitions_of(item, topics.partitions)
    replayer = Replayer(topics.partitions, item=item, new_ledger=new_ledger, on_decision=on_decision)
    progress = ReadProgress(ends.records(partitions), on_progress)

    def read(reader: LogReader, topic: str, partition: int, end: int) -> Iterator[Any]:
        return progress.records(reader.read({TopicPartition(topic, partition): Bounds(0, end)}))

    with (
        # Two readers: one reads one log at a time, and the two logs of a partition are read side by side.
        closing(LogReader(config.kafka, client_id="replay-orders")) as orders,
        closing(LogReader(config.kafka, client_id="replay-journal")) as journal,
    ):
        analytics = _metrics_of_analytics(journal, config, {p: ends.journal[p] for p in partitions})
        for partition in partitions:
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


def _ends_at(kafka: KafkaConfig, topic: str, ends: Mapping[int, int], time_ms: int) -> dict[int, int]:
    """The offsets of the first records that are later than the time, at most `ends`."""
    tps = {TopicPartition(topic, partition): time_ms + 1 for partition in ends}
    with admin(kafka) as client:
        found = client.list_partition_offsets(tps)
    later = {tp.partition: at.offset for tp, at in found.items() if at.offset >= 0}
    return {partition: min(end, later.get(partition, end)) for partition, end in ends.items()}
