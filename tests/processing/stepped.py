"""Single instances of the roles on a log in memory, with a clock set by hand: the test calls each step.

No thread, no broker, no chance: for tests that need one exact sequence of steps.
"""

from itertools import count
from threading import Event

from campus.domain.codec import keyed_record
from campus.domain.events import InventoryReserved, OwnerClaimed
from campus.domain.partitions import item_partition
from campus.inventory.rules import StockRules
from campus.kafka.records import TopicPartition
from campus.processing.follower import Follower
from campus.processing.owner import Owner
from campus.processing.role_loop import Clients
from campus.processing.snapshots import Snapshots
from tests.builders import PARTITIONS, an_order
from tests.simulation.memory_log import TOPICS, MemoryGroup, MemoryLog, MemoryReader

PIZZA = item_partition("pizza", PARTITIONS)
OWNER_IDS = count(1)


class AnInventory:
    """An inventory whose log lines are in `log_lines`."""

    def __init__(
        self,
        log,
        assigned=range(PARTITIONS),
        stock=None,
        window_orders=100,
        snapshot_every_orders=1000,
        **options,
    ):
        self.log, self.clock_s = log, 0.0
        self.group = MemoryGroup(log, TOPICS.orders_topic, assigned)
        self.reader = MemoryReader(log)
        self.log_lines = []
        self.owner = Owner(
            StockRules(
                partitions=PARTITIONS,
                opening_stock={"pizza": 2} if stock is None else stock,
                window_orders=window_orders,
            ),
            TOPICS,
            Clients(self.group, self.reader, log),
            snapshots=Snapshots(
                log,
                TOPICS.inventory_snapshots_topic,
                every_events=snapshot_every_orders,
                every_s=60,
                clock=lambda: self.clock_s,
            ),
            records_max=1000,
            log=self.log_lines.append,
            clock=lambda: self.clock_s,
            new_owner_id=lambda: f"owner-{next(OWNER_IDS)}",
            **options,
        )

    def steps(self, times=1):
        for _ in range(times):
            self.owner.step(Event())
        return self

    def fold(self, partition=PIZZA):
        return self.owner._owned[partition].fold


class AnAnalytics:
    """An analytics whose log lines are in `log_lines`."""

    def __init__(self, log):
        self.log, self.clock_s = log, 0.0
        self.group = MemoryGroup(log, TOPICS.journal_topic, range(PARTITIONS))
        self.reader = MemoryReader(log)
        self.log_lines = []
        self.follower = Follower(
            TOPICS,
            Clients(self.group, self.reader, log),
            snapshots=Snapshots(
                log,
                TOPICS.analytics_snapshots_topic,
                every_events=1000,
                every_s=60,
                clock=lambda: self.clock_s,
            ),
            records_max=1000,
            log=self.log_lines.append,
            clock=lambda: self.clock_s,
        )

    def steps(self, times=1):
        for _ in range(times):
            self.follower.step(Event())
        return self

    def orders(self, partition):
        return self.follower.folds()[partition].total


def order(log, *events):
    """Append events to order-events, each to its item's partition."""
    for event in events:
        tp = TopicPartition(TOPICS.orders_topic, item_partition(event.item, PARTITIONS))
        log.append({tp: [keyed_record(event)]})


def decided(log, partition=PIZZA):
    """The entries that count in a journal partition, without claims."""
    return [event for event in log.counting(partition) if not isinstance(event, OwnerClaimed)]


def reserved_ids(log):
    return [entry.order_id for entry in decided(log) if isinstance(entry, InventoryReserved)]


def inventory_with_stock():
    """A log and an inventory that has claimed everything and decided its opening stock."""
    log = MemoryLog()
    return log, AnInventory(log).steps(2)


def snapshots_of(log, partition=PIZZA):
    return log.at(TOPICS.inventory_snapshots_topic, partition)


def log_with_a_snapshot(orders=5):
    """A snapshot, and one more order in the journal's tail after it."""
    log, inventory = inventory_with_stock()
    order(log, *(an_order(f"o-{n}") for n in range(orders)))
    inventory.steps()
    inventory.owner.finish()
    order(log, an_order("tail"))
    inventory.steps()
    return log
