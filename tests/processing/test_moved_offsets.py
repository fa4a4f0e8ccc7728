"""Group offsets that an external tool moved: what each loop does about them when it starts."""

from threading import Event

import pytest

from campus.analytics.metrics import OrderMetrics
from campus.domain.snapshot import packed
from campus.kafka.records import TopicPartition
from tests.builders import an_order
from tests.processing.stepped import PIZZA, AnAnalytics, AnInventory, order
from tests.simulation.memory_log import TOPICS, MemoryLog

JOURNAL = TopicPartition(TOPICS.journal_topic, PIZZA)
NO_RECORD_SKIPPED = "no record is skipped, it goes on from its state"
SNAPSHOTS = TopicPartition(TOPICS.analytics_snapshots_topic, PIZZA)


def an_inventory(log, moved_offsets=None):
    inventory = AnInventory(log, stock={"pizza": 5})
    inventory.group.moved_offsets = moved_offsets or {}
    return inventory


def an_analytics(log, moved_offsets=None):
    analytics = AnAnalytics(log)
    analytics.group.moved_offsets = moved_offsets or {}
    return analytics


@pytest.fixture
def log():
    """Three pizzas were ordered, decided and counted; both roles have stopped and left snapshots."""
    log = MemoryLog()
    inventory, analytics = an_inventory(log).steps(2), an_analytics(log).steps()
    order(log, an_order("A"), an_order("B"), an_order("C"))
    inventory.steps()
    analytics.steps()
    inventory.owner.finish()
    analytics.follower.finish(within_s=1)
    return log


def falsify_snapshots(log):
    """Replace the snapshots by one that contradicts the journal, so that its use shows in the totals."""
    last = an_analytics(log).steps().follower._followed[PIZZA]
    log.at(*SNAPSHOTS).clear()
    log.append({SNAPSHOTS: [(b"even", packed(last.rule, OrderMetrics(successful=77).state()), ())]})


# Analytics


def test_an_offset_moved_back_makes_analytics_rebuild_the_same_totals(log):
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.reader.read_from[JOURNAL] == 0
    assert analytics.follower.folds()[PIZZA].total == 3
    assert analytics.log_lines == [
        f"offsets moved back by hand, partition {PIZZA} to 0: rebuilding from the journal's beginning",
        f"rebuilt partition {PIZZA} from 4 entries: the same state as before",
    ]


def test_a_rebuild_uses_no_snapshot_and_logs_a_difference(log, caplog):
    falsify_snapshots(log)
    assert an_analytics(log).steps().follower.folds()[PIZZA].total == 77
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.follower.folds()[PIZZA].total == 3
    assert f"partition {PIZZA} differs from its snapshot" in caplog.text


def test_a_moved_offset_causes_one_rebuild(log):
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.group.moved_offsets == {}
    analytics.follower.finish(within_s=1)
    again = an_analytics(log).steps()
    assert again.log_lines == []
    assert again.reader.read_from[JOURNAL] > 0


def test_only_partitions_with_a_moved_offset_are_rebuilt(log):
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.reader.read_from[JOURNAL] == 0
    assert analytics.log_lines[1].startswith(f"rebuilt partition {PIZZA} from")


def test_an_offset_moved_forward_skips_no_record_of_analytics(log):
    inventory = an_inventory(log).steps()
    order(log, an_order("D"))
    inventory.steps()
    end = len(log.at(*JOURNAL))
    analytics = an_analytics(log, {PIZZA: end}).steps()
    assert analytics.follower.folds()[PIZZA].total == 4
    assert analytics.log_lines == [
        f"offsets moved forward by hand, partition {PIZZA} to {end}: {NO_RECORD_SKIPPED}"
    ]


def test_an_offset_moved_back_is_logged_even_without_a_snapshot():
    log = MemoryLog()
    inventory = an_inventory(log).steps(2)
    order(log, an_order("A"))
    inventory.steps()
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.log_lines[0].startswith(f"offsets moved back by hand, partition {PIZZA} to 0")


def test_if_the_journal_is_trimmed_the_snapshot_is_used_and_a_warning_logged(log, caplog):
    analytics = an_analytics(log, {PIZZA: 0})
    analytics.reader.trimmed_to[JOURNAL] = 2
    analytics.steps()
    assert analytics.follower.folds()[PIZZA].total == 3
    assert f"partition {PIZZA} cannot be rebuilt: the journal has lost its beginning" in caplog.text
    assert not any(line.startswith("rebuilt") for line in analytics.log_lines)
    assert analytics.group.moved_offsets == {}


def test_a_stop_during_the_rebuild_keeps_the_moved_offset(log):
    analytics, stop = an_analytics(log, {PIZZA: 0}), Event()
    read = analytics.reader.read

    def stop_and_read(spans, stopped):
        stop.set()
        return read(spans, stopped)

    analytics.reader.read = stop_and_read
    analytics.follower.step(stop)
    assert analytics.group.moved_offsets == {PIZZA: 0}
    assert analytics.follower.folds() == {}


# Inventory


def test_an_offset_moved_back_makes_inventory_rebuild_its_stock_and_decide_nothing_twice(log):
    decided = log.counting(PIZZA)
    inventory = an_inventory(log, {PIZZA: 0}).steps(2)
    assert inventory.reader.read_from[JOURNAL] == 0
    assert inventory.fold().stock == {"pizza": 2}
    assert log.counting(PIZZA)[:-1] == decided
    assert inventory.log_lines[:2] == [
        f"offsets moved back by hand, partition {PIZZA} to 0: rebuilding from the journal's beginning",
        f"rebuilt partition {PIZZA} from 4 entries: the same state as before",
    ]
    assert inventory.group.moved_offsets == {}


def test_an_offset_moved_forward_skips_no_order(log):
    order(log, an_order("D"), an_order("E"))
    end = len(log.at(TOPICS.orders_topic, PIZZA))
    inventory = an_inventory(log, {PIZZA: end}).steps(2)
    assert inventory.fold().stock == {"pizza": 0}
    assert inventory.log_lines[0] == (
        f"offsets moved forward by hand, partition {PIZZA} to {end}: {NO_RECORD_SKIPPED}"
    )


def test_an_offset_moved_to_the_position_of_the_state_logs_nothing(log):
    inventory = an_inventory(log, {PIZZA: len(log.at(TOPICS.orders_topic, PIZZA))}).steps(2)
    assert not any("by hand" in line for line in inventory.log_lines)


def test_without_a_moved_offset_nothing_is_logged_about_offsets(log):
    inventory, analytics = an_inventory(log).steps(2), an_analytics(log).steps()
    assert not any("by hand" in line for line in inventory.log_lines + analytics.log_lines)
