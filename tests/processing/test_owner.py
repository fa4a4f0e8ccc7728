"""The owner's loop, step by step on a log in memory: claims, lost acknowledgements, rivals, side outputs."""

from itertools import pairwise
from threading import Event

import pytest

from campus.domain.codec import keyed_record
from campus.domain.events import (
    DuplicateIgnored,
    InventoryFailed,
    OrderDeadLettered,
    OrderRerouted,
    OwnerClaimed,
    StockChanged,
)
from campus.kafka.group_consumer import Fenced
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import TopicPartition
from tests.builders import PARTITIONS, an_order
from tests.processing.stepped import PIZZA, AnInventory, decided, inventory_with_stock, order, reserved_ids
from tests.simulation.memory_log import TOPICS, MemoryLog


def test_an_owner_claims_every_partition_before_it_decides_anything():
    log = MemoryLog()
    AnInventory(log).steps()
    for partition in range(PARTITIONS):
        (claim,) = log.counting(partition)
        assert isinstance(claim, OwnerClaimed)
        assert claim.window_orders == 100


def test_missing_opening_stock_is_written_to_order_events_and_decided():
    log, _ = inventory_with_stock()
    (opening,) = decided(log)
    assert isinstance(opening, StockChanged)
    assert (opening.item, opening.remaining, opening.reason) == ("pizza", 2, "opening")


def test_existing_opening_stock_is_not_written_again():
    log, _ = inventory_with_stock()
    AnInventory(log).steps(3)
    assert len(log.at(TOPICS.orders_topic, PIZZA)) == 1


def test_each_order_gets_one_entry_in_its_partition():
    log, inventory = inventory_with_stock()
    order(log, an_order("A"), an_order("B"), an_order("C"))
    inventory.steps()
    assert [type(entry).__name__ for entry in decided(log)] == [
        "StockChanged",
        "InventoryReserved",
        "InventoryReserved",
        "InventoryFailed",
    ]


@pytest.mark.parametrize("lost", ["before", "after"])
def test_after_a_lost_append_the_state_is_restored_and_nothing_is_decided_twice(lost):
    log, inventory = inventory_with_stock()
    order(log, an_order("A"), an_order("B"), an_order("C"))
    log.lose_next = lost
    with pytest.raises(AppendFailed):
        inventory.steps()
    inventory.owner.reset()
    inventory.steps(2)
    assert reserved_ids(log) == ["A", "B"]
    assert [entry.source_offset for entry in decided(log)] == [0, 1, 2, 3]


def test_after_a_restore_the_owner_has_a_new_owner_id():
    log, inventory = inventory_with_stock()
    inventory.owner.reset()
    inventory.steps()
    claims = [event for event in log.counting(PIZZA) if isinstance(event, OwnerClaimed)]
    assert len({claim.owner for claim in claims}) == 2


def test_entries_of_an_overtaken_and_fenced_owner_do_not_count():
    log, old = inventory_with_stock()
    new = AnInventory(log).steps()
    order(log, an_order("A"), an_order("B"))
    old.group.is_fenced = True
    with pytest.raises(Fenced):
        old.steps()
    new.steps()
    assert reserved_ids(log) == ["A", "B"]


def test_an_overtaken_owner_that_is_still_a_group_member_claims_again():
    log, inventory = inventory_with_stock()
    log.append({TopicPartition(TOPICS.journal_topic, PIZZA): [(None, b"a foreign record", ())]})
    order(log, an_order("A"))
    inventory.steps(3)
    order(log, an_order("B"))
    inventory.steps()
    assert reserved_ids(log) == ["A", "B"]
    assert inventory.owner._owned.keys() == set(range(PARTITIONS))


def test_a_partition_that_was_lost_and_came_back_is_claimed_again():
    log, inventory = inventory_with_stock()
    AnInventory(log).steps()
    inventory.group.lost = frozenset({PIZZA})
    order(log, an_order("A"))
    inventory.steps(2)
    assert reserved_ids(log) == ["A"]
    claims = [event for event in log.counting(PIZZA) if isinstance(event, OwnerClaimed)]
    assert len(claims) == 3


def test_records_polled_before_a_restore_are_dropped_and_fetched_again():
    log = MemoryLog()
    order(log, an_order("A"))
    inventory = AnInventory(log).steps()
    assert decided(log) == []
    inventory.steps()
    assert len(decided(log)) == 1


def test_a_record_that_is_delivered_twice_is_decided_once():
    log, inventory = inventory_with_stock()
    order(log, an_order("A"))
    inventory.steps()
    inventory.group.redeliver = 2
    inventory.steps()
    assert len(decided(log)) == 2


def test_a_dead_letter_is_written_before_its_entry():
    log, inventory = inventory_with_stock()
    log.append({TopicPartition(TOPICS.orders_topic, PIZZA): [(None, b"rubbish", ())]})
    inventory.steps()
    assert [next(iter(append)).topic for append in log.appends[-2:]] == [
        TOPICS.dead_letters_topic,
        TOPICS.journal_topic,
    ]
    assert isinstance(decided(log)[-1], OrderDeadLettered)
    (letter,) = log.at(TOPICS.dead_letters_topic, PIZZA)
    assert letter.value == b"rubbish"


def test_a_misrouted_order_is_rerouted_and_decided_in_its_own_partition():
    log, inventory = inventory_with_stock()
    foreign = (PIZZA + 1) % PARTITIONS
    log.append({TopicPartition(TOPICS.orders_topic, foreign): [(b"A", keyed_record(an_order("A"))[1], ())]})
    inventory.steps(2)
    assert isinstance(decided(log, foreign)[-1], OrderRerouted)
    assert reserved_ids(log) == ["A"]


def test_a_reroute_that_a_crash_repeats_is_decided_once():
    log, inventory = inventory_with_stock()
    foreign = (PIZZA + 1) % PARTITIONS
    log.append({TopicPartition(TOPICS.orders_topic, foreign): [(b"A", keyed_record(an_order("A"))[1], ())]})
    crash_at_entries(log)
    with pytest.raises(AppendFailed):
        inventory.steps()
    inventory.owner.reset()
    inventory.steps(3)
    assert len(log.at(TOPICS.orders_topic, PIZZA)) == 3  # opening stock, and the order twice
    assert reserved_ids(log) == ["A"]
    assert isinstance(decided(log)[-1], DuplicateIgnored)


def crash_at_entries(log):
    """The next append lands, the one after it is lost."""
    append = log.append

    def first_then_none(records, **options):
        landed = append(records, **options)
        log.lose_next = "before"
        log.append = append
        return landed

    log.append = first_then_none


def test_an_owner_with_a_larger_window_forgets_what_the_smaller_window_before_it_forgot():
    log, _ = inventory_with_stock()
    order(log, an_order("A"), an_order("B"))
    AnInventory(log).steps(2)
    AnInventory(log, window_orders=1).steps()
    order(log, an_order("A"), an_order("B"))
    AnInventory(log, window_orders=100).steps(2)
    forgotten, remembered = decided(log)[-2:]
    assert isinstance(forgotten, InventoryFailed)
    assert isinstance(remembered, DuplicateIgnored)


def test_offsets_are_committed_once_a_second_even_when_idle():
    _log, inventory = inventory_with_stock()
    assert inventory.group.committed[PIZZA] == 0
    inventory.steps()
    assert inventory.group.committed[PIZZA] == 0
    inventory.clock_s += 1.1
    inventory.steps()
    assert inventory.group.committed[PIZZA] == 1


def test_an_idle_owner_notices_that_it_is_fenced():
    _, inventory = inventory_with_stock()
    inventory.group.is_fenced = True
    inventory.clock_s += 1.1
    with pytest.raises(Fenced):
        inventory.steps()


def test_an_owner_that_is_stopped_while_restoring_takes_no_partition():
    log, _ = inventory_with_stock()
    inventory, stop = AnInventory(log), Event()
    stop.set()
    inventory.owner.step(stop)
    assert not inventory.owner._owned


class Passing(Event):
    """Time passes at once."""

    def __init__(self):
        super().__init__()
        self.passed_s = 0.0

    def wait(self, timeout=None):
        self.passed_s += timeout
        return self.is_set()


def test_a_delayed_owner_renews_its_heartbeat_during_the_delay():
    log, stop, beats_s = MemoryLog(), Passing(), []
    inventory = AnInventory(log, delay_s=60.0, heartbeat=lambda: beats_s.append(stop.passed_s))
    for _ in range(2):
        inventory.owner.step(stop)
    assert len(decided(log)) == 1  # of the opening stock
    assert stop.passed_s == 60.0
    assert max(later - earlier for earlier, later in pairwise([0.0, *beats_s])) <= 0.5


def test_a_stop_ends_the_delay():
    log, stop = MemoryLog(), Passing()
    inventory = AnInventory(log, delay_s=60.0)
    inventory.owner.step(stop)
    stop.set()
    inventory.owner.step(stop)
    assert (decided(log), stop.passed_s) == ([], 0.5)
