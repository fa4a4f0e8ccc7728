"""What the simulation has found, mostly in the follower's loop, each in the few steps that it takes."""

from random import Random
from threading import Event

import pytest

from campus.analytics.metrics import OrderMetrics
from campus.domain.partitions import item_partition
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import TopicPartition
from campus.processing.follower import Follower
from campus.processing.restore import Folds
from campus.processing.snapshots import Snapshots
from tests.builders import PARTITIONS, an_order
from tests.simulation.memory_log import TOPICS, MemoryGroup, MemoryHistory, MemoryLog
from tests.simulation.test_owner import PIZZA, AnInventory, order
from tests.simulation.world import World

BURGER = item_partition("burger", PARTITIONS)
assert PIZZA != BURGER


class AnAnalytics:
    """One instance of the role on a shared log, stepped by hand."""

    def __init__(self, log):
        self.log, self.clock_s = log, 0.0
        self.group = MemoryGroup(log, TOPICS.journal_topic, range(PARTITIONS))
        self.history = MemoryHistory(log)
        self.said = []
        self.follower = Follower(
            Folds(lambda _: OrderMetrics(), lambda _, state: OrderMetrics.from_state(state)),
            TOPICS,
            group=self.group,
            history=self.history,
            snapshots=Snapshots(
                log,
                TOPICS.analytics_snapshots_topic,
                every_events=1000,
                every_s=60,
                clock=lambda: self.clock_s,
            ),
            records_max=1000,
            log=self.said.append,
            clock=lambda: self.clock_s,
        )

    def steps(self, times=1):
        for _ in range(times):
            self.follower.step(Event())
        return self

    def orders(self, partition):
        return self.follower.folds()[partition].total


def a_counted_shop():
    log = MemoryLog()
    inventory = AnInventory(log, stock={"pizza": 9, "burger": 9}).steps(2)
    analytics = AnAnalytics(log).steps()
    order(log, an_order("A", "pizza"), an_order("B", "burger"))
    inventory.steps()
    analytics.steps()
    return log, inventory, analytics


def test_what_was_polled_when_a_snapshot_failed_is_counted_all_the_same():
    log, inventory, analytics = a_counted_shop()
    order(log, an_order("C", "pizza"))
    inventory.steps()
    analytics.group.assigned = frozenset(range(PARTITIONS)) - {BURGER}
    log.lose_next = "before"
    with pytest.raises(AppendFailed):
        analytics.steps()
    analytics.follower.start_anew()
    order(log, an_order("D", "pizza"))
    inventory.steps()
    analytics.steps()
    assert analytics.orders(PIZZA) == 3


def test_a_partition_that_was_taken_away_and_came_back_while_it_finished_is_not_read_on_from_elsewhere():
    log, inventory, analytics = a_counted_shop()
    order(log, an_order("C", "pizza"), an_order("D", "pizza"))
    inventory.steps()
    AnInventory(log, stock={}).steps()  # a claim, which counts whatever was missed before it
    analytics.group.lost = frozenset({PIZZA})
    analytics.group.seek(PIZZA, len(log.at(TOPICS.journal_topic, PIZZA)) - 1)  # what others have committed
    analytics.follower.finish(within_s=1)
    assert AnAnalytics(log).steps().orders(PIZZA) == 3


def test_opening_stock_is_asked_for_also_after_a_transactions_marker():
    world = World(Random(1), odds={"late": 0.0})
    partitions = range(world.partitions)
    for partition in partitions:
        world.topics.leave_marker(TopicPartition(world.names.orders_topic, partition))
    inventory = world.inventories[0]
    inventory.start()
    for _ in range(5):
        inventory.turn()
    asked = [record for p in partitions for record in world.topics.records_of(world.names.orders_topic, p)]
    assert len(asked) == len(world._stock)
