"""A group's offset that somebody moved by hand, and what each loop makes of it at its next start."""

from threading import Event

import pytest

from campus.analytics.metrics import OrderMetrics
from campus.domain.snapshot import packed
from campus.kafka.records import TopicPartition
from tests.builders import an_order
from tests.simulation.memory_log import TOPICS, MemoryLog
from tests.simulation.test_follower import AnAnalytics
from tests.simulation.test_owner import PIZZA, AnInventory, order

JOURNAL = TopicPartition(TOPICS.journal_topic, PIZZA)
NOTHING_SKIPPED = "no record is skipped, it goes on from its state"
SNAPSHOTS = TopicPartition(TOPICS.analytics_snapshots_topic, PIZZA)


def an_inventory(log, wishes=None):
    inventory = AnInventory(log, stock={"pizza": 5})
    inventory.group.wishes = wishes or {}
    return inventory


def an_analytics(log, wishes=None):
    analytics = AnAnalytics(log)
    analytics.group.wishes = wishes or {}
    return analytics


@pytest.fixture
def log():
    """Of a shop that has closed: three pizzas were ordered, decided, counted, and all of it written down."""
    log = MemoryLog()
    inventory, analytics = an_inventory(log).steps(2), an_analytics(log).steps()
    order(log, an_order("A"), an_order("B"), an_order("C"))
    inventory.steps()
    analytics.steps()
    inventory.owner.finish()
    analytics.follower.finish(within_s=1)
    return log


def falsify_snapshots(log):
    """They say something else than the journal: whoever uses one can be told by that."""
    last = an_analytics(log).steps().follower._followed[PIZZA]
    log.at(*SNAPSHOTS).clear()
    log.append({SNAPSHOTS: [(b"even", packed(last.rule, OrderMetrics(successful=77)), ())]})


# Analytics


def test_an_offset_moved_back_makes_analytics_count_again_and_come_to_the_same(log):
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.history.read_from[JOURNAL] == 0
    assert analytics.follower.folds()[PIZZA].total == 3
    assert analytics.said == [
        f"offsets moved back by hand, partition {PIZZA} to 0: rebuilding from the journal's beginning",
        f"rebuilt partition {PIZZA} from 4 entries: the same state as before",
    ]


def test_to_count_again_no_snapshot_is_believed_and_the_difference_is_told(log, caplog):
    falsify_snapshots(log)
    assert an_analytics(log).steps().follower.folds()[PIZZA].total == 77
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.follower.folds()[PIZZA].total == 3
    assert f"partition {PIZZA} differs from what its snapshot gave" in caplog.text


def test_a_wish_is_fulfilled_once(log):
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.group.wishes == {}
    analytics.follower.finish(within_s=1)
    again = an_analytics(log).steps()
    assert again.said == []
    assert again.history.read_from[JOURNAL] > 0


def test_only_the_partitions_that_were_moved_are_counted_again(log):
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.history.read_from[JOURNAL] == 0
    assert analytics.said[1].startswith(f"rebuilt partition {PIZZA} from")


def test_an_offset_moved_forward_skips_no_record_of_analytics(log):
    inventory = an_inventory(log).steps()
    order(log, an_order("D"))
    inventory.steps()
    end = len(log.at(*JOURNAL))
    analytics = an_analytics(log, {PIZZA: end}).steps()
    assert analytics.follower.folds()[PIZZA].total == 4
    assert analytics.said == [f"offsets moved on by hand, partition {PIZZA} to {end}: {NOTHING_SKIPPED}"]


def test_an_offset_moved_back_before_anything_was_written_down_is_told_all_the_same():
    log = MemoryLog()
    inventory = an_inventory(log).steps(2)
    order(log, an_order("A"))
    inventory.steps()
    analytics = an_analytics(log, {PIZZA: 0}).steps()
    assert analytics.said[0].startswith(f"offsets moved back by hand, partition {PIZZA} to 0")


def test_a_wish_that_a_trimmed_journal_cannot_fulfil_falls_back_to_the_snapshot_and_is_told(log, caplog):
    analytics = an_analytics(log, {PIZZA: 0})
    analytics.history.trimmed_to[JOURNAL] = 2
    analytics.steps()
    assert analytics.follower.folds()[PIZZA].total == 3
    assert f"partition {PIZZA} cannot be rebuilt: the journal has lost its beginning" in caplog.text
    assert not any(line.startswith("rebuilt") for line in analytics.said)
    assert analytics.group.wishes == {}


def test_a_group_that_was_told_to_stop_meanwhile_keeps_the_wish(log):
    analytics, stop = an_analytics(log, {PIZZA: 0}), Event()
    read = analytics.history.read

    def stops_while_it_reads(spans, stopped):
        stop.set()
        return read(spans, stopped)

    analytics.history.read = stops_while_it_reads
    analytics.follower.step(stop)
    assert analytics.group.wishes == {PIZZA: 0}
    assert analytics.follower.folds() == {}


# Inventory


def test_an_offset_moved_back_makes_inventory_fold_its_journal_again_and_decide_nothing_twice(log):
    decided = log.counting(PIZZA)
    inventory = an_inventory(log, {PIZZA: 0}).steps(2)
    assert inventory.history.read_from[JOURNAL] == 0
    assert inventory.owner.fold(PIZZA).stock == {"pizza": 2}
    assert log.counting(PIZZA)[:-1] == decided
    assert inventory.said[:2] == [
        f"offsets moved back by hand, partition {PIZZA} to 0: rebuilding from the journal's beginning",
        f"rebuilt partition {PIZZA} from 4 entries: the same state as before",
    ]
    assert inventory.group.wishes == {}


def test_an_offset_moved_forward_skips_no_order(log):
    order(log, an_order("D"), an_order("E"))
    end = len(log.at(TOPICS.orders_topic, PIZZA))
    inventory = an_inventory(log, {PIZZA: end}).steps(2)
    assert inventory.owner.fold(PIZZA).stock == {"pizza": 0}
    assert inventory.said[0] == (f"offsets moved on by hand, partition {PIZZA} to {end}: {NOTHING_SKIPPED}")


def test_an_offset_moved_to_where_the_state_stands_is_not_worth_a_word(log):
    inventory = an_inventory(log, {PIZZA: len(log.at(TOPICS.orders_topic, PIZZA))}).steps(2)
    assert not any("by hand" in line for line in inventory.said)


def test_with_no_wish_nothing_is_said_of_offsets(log):
    inventory, analytics = an_inventory(log).steps(2), an_analytics(log).steps()
    assert not any("by hand" in line for line in inventory.said + analytics.said)
