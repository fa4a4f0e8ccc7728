"""A replay of the logs as they stand in Kafka: where they end is frozen first, so a system may run meanwhile.

Only reads. What analytics has counted is asked for as analytics itself would at a start: its snapshots, and
the journal's tail after them, up to the same ends.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Any

from campus.analytics.metrics import OrderMetrics
from campus.config.settings import Config, KafkaConfig
from campus.domain.partitions import item_partition
from campus.inventory.ledger import StockLedger
from campus.kafka.clients import admin
from campus.kafka.log_reader import BeginningMissing, LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.kafka.topics import existing_topics
from campus.processing.restore import FoldFactory, Restorer
from campus.replay.findings import Replay
from campus.replay.replayer import NewLedger, Replaying, Watch

OnProgress = Callable[[int, int], None]  # so many records of so many

ANALYTICS = FoldFactory(lambda _: OrderMetrics(), lambda _, state: OrderMetrics.from_state(state))


@dataclass(frozen=True, slots=True)
class Ends:
    """By partition. `orders_due`: what stands in order-events before it is undecided if the journal has
    nothing of it. `orders`, at or beyond it: how far to read for what the journal does have."""

    journal: Mapping[int, int]
    orders: Mapping[int, int]
    orders_due: Mapping[int, int]

    def records(self, partitions: Collection[int]) -> int:
        """About how many there are to read."""
        return sum(self.journal[p] + self.orders_due[p] for p in partitions if p in self.journal)

    def partitions_of(self, item: str | None, partitions: int) -> list[int]:
        """Those to replay: all, or the one that holds the item's whole history."""
        wanted = range(partitions) if item is None else [item_partition(item, partitions)]
        return [partition for partition in wanted if partition in self.journal]


def freeze(config: Config, *, as_of_ms: int | None = None) -> Ends:
    """Where the logs end now, or ended at that time. Of topics that are not there yet: nothing.

    Raises BrokerAway, BeginningMissing, PartitionCountMismatch.
    """
    topics = config.topics
    if len(existing_topics(config.kafka, {topics.journal_topic, topics.orders_topic}, topics.partitions)) < 2:
        return Ends({}, {}, {})
    with closing(LogReader(config.kafka, client_id="replay-ends")) as history:
        # The journal first: what stands before its end was read from order-events before.
        journal = _ends(history, topics.journal_topic, topics.partitions)
        orders = _ends(history, topics.orders_topic, topics.partitions)
    if as_of_ms is None:
        return Ends(journal, orders, orders)
    # The times are the brokers', whose clocks can differ: so order-events is read on, if the journal asks.
    return Ends(
        _ended_at(config.kafka, topics.journal_topic, journal, as_of_ms),
        orders,
        _ended_at(config.kafka, topics.orders_topic, orders, as_of_ms),
    )


def replay(
    config: Config,
    *,
    ends: Ends | None = None,
    item: str | None = None,
    new_ledger: NewLedger = StockLedger,
    watch: Watch = lambda _: None,
    on_progress: OnProgress = lambda done, total: None,
) -> Replay:
    """Decide all again up to `ends` (default: up to now) and compare; prints nothing.

    `on_progress` is told now and then how far it is; for the rest see Replaying.
    Raises BrokerAway, HistoryMissing, PartitionCountMismatch.
    """
    ends = ends or freeze(config)
    topics = config.topics
    partitions = ends.partitions_of(item, topics.partitions)
    replaying = Replaying(topics.partitions, item=item, new_ledger=new_ledger, watch=watch)
    done, total = 0, ends.records(partitions)

    def read(reader: LogReader, topic: str, partition: int, end: int) -> Iterator[Any]:
        nonlocal done
        for _, batch in reader.read({TopicPartition(topic, partition): Bounds(0, end)}):
            done += len(batch)
            on_progress(done, total)
            yield from batch

    with (
        # Two, so that of the two logs of a partition neither runs ahead of the other, into memory.
        closing(LogReader(config.kafka, client_id="replay-orders")) as orders,
        closing(LogReader(config.kafka, client_id="replay-journal")) as journal,
    ):
        told = _told_by_analytics(journal, config, {p: ends.journal[p] for p in partitions})
        for partition in partitions:
            replaying.partition(
                partition,
                read(journal, topics.journal_topic, partition, ends.journal[partition]),
                read(orders, topics.orders_topic, partition, ends.orders[partition]),
                inputs_end=ends.orders_due[partition],
                told=told.get(partition),
            )
    return replaying.finish()


def _told_by_analytics(
    history: LogReader, config: Config, ends: Mapping[int, int]
) -> dict[int, OrderMetrics]:
    """By partition; nothing if it has no topic to write anything down in."""
    snapshots = config.topics.analytics_snapshots_topic
    if not ends or not existing_topics(config.kafka, {snapshots}, config.topics.partitions):
        return {}
    restorer = Restorer(ANALYTICS, history, journal=config.topics.journal_topic, snapshots=snapshots)
    return {partition: folded.fold for partition, folded in restorer.restore(ends, Event()).items()}


def _ends(history: LogReader, topic: str, partitions: int) -> dict[int, int]:
    bounds = history.bounds([TopicPartition(topic, partition) for partition in range(partitions)])
    for tp, at in bounds.items():
        if at.start > 0:
            raise BeginningMissing(tp, at.start)
    return {tp.partition: at.end for tp, at in bounds.items()}


def _ended_at(kafka: KafkaConfig, topic: str, ends: Mapping[int, int], time_ms: int) -> dict[int, int]:
    """What was appended up to then, with it, ends before the first record of a later time."""
    tps = {TopicPartition(topic, partition): time_ms + 1 for partition in ends}
    with admin(kafka) as client:
        found = client.list_partition_offsets(tps)
    later = {tp.partition: at.offset for tp, at in found.items() if at.offset >= 0}
    return {partition: min(end, later.get(partition, end)) for partition, end in ends.items()}
