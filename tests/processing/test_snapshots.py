"""Snapshots: when one is written, under which key, and that it holds only acknowledged entries."""

import pytest

from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import TopicPartition
from tests.builders import PARTITIONS, an_order
from tests.processing.stepped import PIZZA, AnInventory, inventory_with_stock, order, snapshots_of
from tests.simulation.memory_log import TOPICS, MemoryLog


def test_a_clean_stop_writes_a_snapshot_only_if_there_are_new_entries():
    log, inventory = inventory_with_stock()
    inventory.owner.finish()
    inventory.owner.finish()
    assert len(snapshots_of(log)) == 1


def test_snapshot_keys_alternate_across_restarts_so_that_compaction_keeps_the_last_two():
    log = MemoryLog()
    for n in range(5):
        inventory = AnInventory(log).steps(2)
        order(log, an_order(f"o-{n}"))
        inventory.steps().owner.finish()
    assert [record.key for record in snapshots_of(log)] == [b"even", b"odd", b"even", b"odd", b"even"]


def test_a_snapshot_is_due_after_a_number_of_orders_since_the_last_one():
    log = MemoryLog()
    inventory = AnInventory(log, snapshot_every_orders=3).steps(2)
    for n in range(6):
        order(log, an_order(f"o-{n}"))
        inventory.steps()
    assert len(snapshots_of(log)) == 2


def test_a_snapshot_is_due_after_a_time_if_there_are_new_entries():
    log, inventory = inventory_with_stock()
    inventory.clock_s += 61
    inventory.steps()
    assert len(snapshots_of(log)) == 1
    inventory.clock_s += 61
    inventory.steps()
    assert len(snapshots_of(log)) == 1


def test_a_revoked_partition_gets_a_snapshot_for_its_next_owner():
    log, inventory = inventory_with_stock()
    inventory.group.assigned = frozenset(range(PARTITIONS)) - {PIZZA}
    inventory.steps()
    assert len(snapshots_of(log)) == 1


def test_unacknowledged_entries_are_in_no_snapshot():
    log, inventory = inventory_with_stock()
    order(log, an_order("A"))
    log.lose_next = "after"
    with pytest.raises(AppendFailed):
        inventory.steps()
    inventory.owner.reset()
    inventory.owner.finish()
    assert snapshots_of(log) == []


def test_the_state_of_an_overtaken_owner_is_in_no_snapshot():
    log, inventory = inventory_with_stock()
    log.append({TopicPartition(TOPICS.journal_topic, PIZZA): [(None, b"a foreign record", ())]})
    order(log, an_order("A"))
    inventory.clock_s += 61
    inventory.steps()
    assert snapshots_of(log) == []
