"""Restoring state: snapshots that can be used, snapshots that cannot, and logs that have lost records."""

import zlib
from dataclasses import replace

import msgspec
import pytest

from campus.domain.snapshot import CHECKSUM_BYTES, MAGIC, SNAPSHOT_VERSION, unpacked
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import TopicPartition
from tests.builders import an_order
from tests.processing.stepped import (
    PIZZA,
    AnInventory,
    inventory_with_stock,
    log_with_a_snapshot,
    order,
    snapshots_of,
)
from tests.simulation.memory_log import TOPICS


def restored_state(log):
    inventory = AnInventory(log).steps()
    return inventory.fold().state()


def test_a_snapshot_and_the_tail_give_the_same_state_as_the_whole_journal():
    log = log_with_a_snapshot()
    with_snapshot = restored_state(log)
    assert snapshots_of(log)
    snapshots_of(log).clear()
    assert restored_state(log) == with_snapshot


def test_with_a_snapshot_only_the_tail_of_the_journal_is_read():
    log = log_with_a_snapshot(orders=50)
    inventory = AnInventory(log).steps()
    assert inventory.reader.read_from[TopicPartition(TOPICS.journal_topic, PIZZA)] > 50


def with_older_version(snapshot):
    """Whole and with its checksum, as an older program wrote it."""
    older = msgspec.structs.replace(unpacked(snapshot), version=SNAPSHOT_VERSION - 1)
    body = msgspec.msgpack.encode(older)
    return MAGIC + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body


@pytest.mark.parametrize("damage", [b"", b"rubbish", None, "flipped", "cut", "older"])
def test_an_unreadable_snapshot_is_ignored_with_a_warning(damage, caplog):
    log = log_with_a_snapshot()
    right = restored_state(log)
    (record,) = snapshots_of(log)
    if damage == "flipped":
        damage = record.value[:-1] + bytes([record.value[-1] ^ 1])
    elif damage == "cut":
        damage = record.value[:-10]
    elif damage == "older":
        damage = with_older_version(record.value)
    snapshots_of(log)[0] = replace(record, value=damage)
    caplog.clear()
    assert restored_state(log) == right
    assert "ignoring the snapshot" in caplog.text


def test_if_the_newest_snapshot_is_unreadable_the_older_one_is_used():
    log = log_with_a_snapshot()
    AnInventory(log).steps(2).owner.finish()
    order(log, an_order("more"))
    inventory = AnInventory(log).steps(2)
    inventory.owner.finish()
    right = restored_state(log)
    snapshots = snapshots_of(log)
    snapshots[-1] = replace(snapshots[-1], value=b"rubbish")
    second = AnInventory(log).steps()
    assert second.reader.read_from[TopicPartition(TOPICS.journal_topic, PIZZA)] > 0
    assert second.fold().state() == right


def test_a_snapshot_of_another_journal_is_ignored(caplog):
    other = log_with_a_snapshot()
    log = log_with_a_snapshot()
    right = restored_state(log)
    snapshots_of(log)[:] = snapshots_of(other)
    assert restored_state(log) == right
    assert "it belongs to another journal" in caplog.text


def test_a_snapshot_makes_up_for_a_trimmed_beginning():
    log = log_with_a_snapshot()
    right = restored_state(log)
    inventory = AnInventory(log)
    inventory.reader.trimmed_to = {TopicPartition(TOPICS.journal_topic, PIZZA): 3}
    inventory.steps()
    assert inventory.fold().state() == right


def test_a_journal_without_its_beginning_is_an_error_and_not_an_empty_state():
    log, _ = inventory_with_stock()
    inventory = AnInventory(log)
    inventory.reader.trimmed_to = {TopicPartition(TOPICS.journal_topic, PIZZA): 1}
    with pytest.raises(HistoryMissing, match="has lost its records 0 to 0"):
        inventory.steps()


def test_a_journal_without_its_beginning_is_an_error_if_its_only_snapshot_belongs_to_another_journal():
    log, other = log_with_a_snapshot(), log_with_a_snapshot()
    snapshots_of(log)[:] = snapshots_of(other)
    inventory = AnInventory(log)
    inventory.reader.trimmed_to = {TopicPartition(TOPICS.journal_topic, PIZZA): 1}
    with pytest.raises(HistoryMissing, match="has lost its records 0 to 0"):
        inventory.steps()


def test_undecided_orders_that_were_deleted_are_an_error():
    log, _ = inventory_with_stock()
    order(log, an_order("A"))
    inventory = AnInventory(log)
    inventory.reader.trimmed_to = {TopicPartition(TOPICS.orders_topic, PIZZA): 2}
    with pytest.raises(HistoryMissing, match="holds offsets 2 to 2"):
        inventory.steps()


def test_a_recreated_order_events_topic_under_an_old_journal_is_an_error():
    log, _ = inventory_with_stock()
    log.records[TopicPartition(TOPICS.orders_topic, PIZZA)].clear()
    with pytest.raises(HistoryMissing, match="says that 1 comes next"):
        AnInventory(log).steps()
