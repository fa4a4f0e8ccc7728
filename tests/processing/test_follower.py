"""Bugs that the simulation found, mostly in the follower's loop, each reduced to its few steps."""

from random import Random

import pytest

from campus.domain.partitions import item_partition
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import TopicPartition
from tests.builders import PARTITIONS, an_order
from tests.processing.stepped import PIZZA, AnAnalytics, AnInventory, order
from tests.simulation.memory_log import TOPICS, MemoryLog
from tests.simulation.world import World

BURGER = item_partition("burger", PARTITIONS)
assert PIZZA != BURGER


def a_counted_log():
    log = MemoryLog()
    inventory = AnInventory(log, stock={"pizza": 9, "burger": 9}).steps(2)
    analytics = AnAnalytics(log).steps()
    order(log, an_order("A", "pizza"), an_order("B", "burger"))
    inventory.steps()
    analytics.steps()
    return log, inventory, analytics


def test_records_polled_before_a_snapshot_failed_are_counted():
    log, inventory, analytics = a_counted_log()
    order(log, an_order("C", "pizza"))
    inventory.steps()
    analytics.group.assigned = frozenset(range(PARTITIONS)) - {BURGER}
    log.lose_next = "before"
    with pytest.raises(AppendFailed):
        analytics.steps()
    analytics.follower.reset()
    order(log, an_order("D", "pizza"))
    inventory.steps()
    analytics.steps()
    assert analytics.orders(PIZZA) == 3


def test_a_partition_lost_and_regained_during_finish_is_released():
    log, inventory, analytics = a_counted_log()
    order(log, an_order("C", "pizza"), an_order("D", "pizza"))
    inventory.steps()
    AnInventory(log, stock={}).steps()  # its claim counts even if the entries before it were missed
    analytics.group.lost = frozenset({PIZZA})
    analytics.group.seek(
        PIZZA, len(log.at(TOPICS.journal_topic, PIZZA)) - 1
    )  # an offset that another member committed
    analytics.follower.finish(within_s=1)
    assert AnAnalytics(log).steps().orders(PIZZA) == 3


def test_opening_stock_is_written_even_behind_a_transaction_marker():
    world = World(Random(1), odds={"late": 0.0})
    partitions = range(world.partitions)
    for partition in partitions:
        world.topics.add_transaction_marker(TopicPartition(world.names.orders_topic, partition))
    inventory = world.inventories[0]
    inventory.start()
    for _ in range(5):
        inventory.turn()
    written = [record for p in partitions for record in world.topics.records_of(world.names.orders_topic, p)]
    assert len(written) == len(world._stock)
