"""The owner's loop, step by step over a log in memory: claims, restores, lost acknowledgements, rivals."""

import zlib
from dataclasses import replace
from itertools import count, pairwise
from threading import Event

import msgspec
import pytest

from campus.domain.codec import keyed_record
from campus.domain.events import (
    DuplicateIgnored,
    InventoryFailed,
    InventoryReserved,
    OrderDeadLettered,
    OrderRerouted,
    OwnerClaimed,
    StockChanged,
)
from campus.domain.partitions import item_partition
from campus.domain.snapshot import CHECKSUM_BYTES, MAGIC, SNAPSHOT_VERSION, unpacked
from campus.inventory.rules import StockRules
from campus.kafka.group_consumer import Fenced
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import TopicPartition
from campus.processing.owner import Owner
from campus.processing.snapshots import Snapshots
from tests.builders import PARTITIONS, an_order
from tests.simulation.memory_log import TOPICS, MemoryGroup, MemoryHistory, MemoryLog

PIZZA = item_partition("pizza", PARTITIONS)
OWNER_IDS = count(1)


class AnInventory:
    """One instance of the role on a shared log, stepped by hand."""

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
        self.history = MemoryHistory(log)
        self.said = []
        self.owner = Owner(
            StockRules(
                partitions=PARTITIONS,
                opening_stock={"pizza": 2} if stock is None else stock,
                window_orders=window_orders,
            ),
            TOPICS,
            group=self.group,
            history=self.history,
            appender=log,
            snapshots=Snapshots(
                log,
                TOPICS.inventory_snapshots_topic,
                every_events=snapshot_every_orders,
                every_s=60,
                clock=lambda: self.clock_s,
            ),
            records_max=1000,
            log=self.said.append,
            clock=lambda: self.clock_s,
            new_owner_id=lambda: f"owner-{next(OWNER_IDS)}",
            **options,
        )

    def steps(self, times=1):
        for _ in range(times):
            self.owner.step(Event())
        return self


def order(log, *events):
    for event in events:
        tp = TopicPartition(TOPICS.orders_topic, item_partition(event.item, PARTITIONS))
        log.append({tp: [keyed_record(event)]})


def decided(log, partition=PIZZA):
    return [event for event in log.counting(partition) if not isinstance(event, OwnerClaimed)]


def reserved_ids(log):
    return [entry.order_id for entry in decided(log) if isinstance(entry, InventoryReserved)]


def an_open_shop():
    log = MemoryLog()
    return log, AnInventory(log).steps(2)


def test_a_new_owner_claims_every_partition_before_it_decides_anything():
    log = MemoryLog()
    AnInventory(log).steps()
    for partition in range(PARTITIONS):
        (claim,) = log.counting(partition)
        assert isinstance(claim, OwnerClaimed)
        assert claim.window_orders == 100


def test_opening_stock_that_nobody_wrote_is_asked_for_and_decided():
    log, _ = an_open_shop()
    (opening,) = decided(log)
    assert isinstance(opening, StockChanged)
    assert (opening.item, opening.remaining, opening.reason) == ("pizza", 2, "opening")


def test_opening_stock_that_is_there_is_not_asked_for_again():
    log, _ = an_open_shop()
    AnInventory(log).steps(3)
    assert len(log.at(TOPICS.orders_topic, PIZZA)) == 1


def test_each_order_gets_one_entry_in_its_partition():
    log, inventory = an_open_shop()
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
    log, inventory = an_open_shop()
    order(log, an_order("A"), an_order("B"), an_order("C"))
    log.lose_next = lost
    with pytest.raises(AppendFailed):
        inventory.steps()
    inventory.owner.start_anew()
    inventory.steps(2)
    assert reserved_ids(log) == ["A", "B"]
    assert [entry.source_offset for entry in decided(log)] == [0, 1, 2, 3]


def test_a_restored_owner_has_a_new_name():
    log, inventory = an_open_shop()
    inventory.owner.start_anew()
    inventory.steps()
    claims = [event for event in log.counting(PIZZA) if isinstance(event, OwnerClaimed)]
    assert len({claim.owner for claim in claims}) == 2


def test_an_owner_that_was_overtaken_and_is_fenced_changes_nothing():
    log, old = an_open_shop()
    new = AnInventory(log).steps()
    order(log, an_order("A"), an_order("B"))
    old.group.is_fenced = True
    with pytest.raises(Fenced):
        old.steps()
    new.steps()
    assert reserved_ids(log) == ["A", "B"]


def test_an_owner_that_was_overtaken_but_still_belongs_claims_again_and_goes_on():
    log, inventory = an_open_shop()
    log.append({TopicPartition(TOPICS.journal_topic, PIZZA): [(None, b"a stranger was here", ())]})
    order(log, an_order("A"))
    inventory.steps(3)
    order(log, an_order("B"))
    inventory.steps()
    assert reserved_ids(log) == ["A", "B"]
    assert inventory.owner.partitions == frozenset(range(PARTITIONS))


def test_a_partition_that_was_taken_away_and_came_back_is_claimed_again():
    log, inventory = an_open_shop()
    AnInventory(log).steps()
    inventory.group.lost = frozenset({PIZZA})
    order(log, an_order("A"))
    inventory.steps(2)
    assert reserved_ids(log) == ["A"]
    claims = [event for event in log.counting(PIZZA) if isinstance(event, OwnerClaimed)]
    assert len(claims) == 3


def test_what_was_polled_before_a_restore_is_thrown_away_and_read_again():
    log = MemoryLog()
    order(log, an_order("A"))
    inventory = AnInventory(log).steps()
    assert decided(log) == []
    inventory.steps()
    assert len(decided(log)) == 1


def test_a_record_that_is_delivered_twice_is_decided_once():
    log, inventory = an_open_shop()
    order(log, an_order("A"))
    inventory.steps()
    inventory.group.redeliver = 2
    inventory.steps()
    assert len(decided(log)) == 2


def test_a_dead_letter_is_written_before_its_entry():
    log, inventory = an_open_shop()
    log.append({TopicPartition(TOPICS.orders_topic, PIZZA): [(None, b"rubbish", ())]})
    inventory.steps()
    assert [next(iter(append)).topic for append in log.appends[-2:]] == [
        TOPICS.dead_letters_topic,
        TOPICS.journal_topic,
    ]
    assert isinstance(decided(log)[-1], OrderDeadLettered)
    (letter,) = log.at(TOPICS.dead_letters_topic, PIZZA)
    assert letter.value == b"rubbish"


def test_an_order_in_a_foreign_partition_is_sent_on_and_decided_at_home():
    log, inventory = an_open_shop()
    foreign = (PIZZA + 1) % PARTITIONS
    log.append({TopicPartition(TOPICS.orders_topic, foreign): [(b"A", keyed_record(an_order("A"))[1], ())]})
    inventory.steps(2)
    assert isinstance(decided(log, foreign)[-1], OrderRerouted)
    assert reserved_ids(log) == ["A"]


def test_a_reroute_that_is_repeated_by_a_crash_is_decided_once():
    log, inventory = an_open_shop()
    foreign = (PIZZA + 1) % PARTITIONS
    log.append({TopicPartition(TOPICS.orders_topic, foreign): [(b"A", keyed_record(an_order("A"))[1], ())]})
    crash_at_entries(log)
    with pytest.raises(AppendFailed):
        inventory.steps()
    inventory.owner.start_anew()
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


def test_what_a_smaller_window_forgot_stays_forgotten_for_whoever_restores_by_its_claim():
    log, _ = an_open_shop()
    order(log, an_order("A"), an_order("B"))
    AnInventory(log).steps(2)
    AnInventory(log, window_orders=1).steps()
    order(log, an_order("A"), an_order("B"))
    AnInventory(log, window_orders=100).steps(2)
    forgotten, remembered = decided(log)[-2:]
    assert isinstance(forgotten, InventoryFailed)
    assert isinstance(remembered, DuplicateIgnored)


def test_offsets_are_committed_about_once_a_second_and_when_idle_too():
    _log, inventory = an_open_shop()
    assert inventory.group.committed[PIZZA] == 0
    inventory.steps()
    assert inventory.group.committed[PIZZA] == 0
    inventory.clock_s += 1.1
    inventory.steps()
    assert inventory.group.committed[PIZZA] == 1


def test_a_fenced_owner_notices_when_idle():
    _, inventory = an_open_shop()
    inventory.group.is_fenced = True
    inventory.clock_s += 1.1
    with pytest.raises(Fenced):
        inventory.steps()


def test_a_journal_that_lost_its_beginning_is_an_error_and_not_an_empty_state():
    log, _ = an_open_shop()
    inventory = AnInventory(log)
    inventory.history.trimmed_to = {TopicPartition(TOPICS.journal_topic, PIZZA): 1}
    with pytest.raises(HistoryMissing, match="has lost its records 0 to 0"):
        inventory.steps()


def test_a_journal_that_lost_its_beginning_is_an_error_also_if_its_only_snapshot_is_another_journals():
    log, other = a_shop_with_a_snapshot(), a_shop_with_a_snapshot()
    snapshots_of(log)[:] = snapshots_of(other)
    inventory = AnInventory(log)
    inventory.history.trimmed_to = {TopicPartition(TOPICS.journal_topic, PIZZA): 1}
    with pytest.raises(HistoryMissing, match="has lost its records 0 to 0"):
        inventory.steps()


def test_orders_that_are_gone_before_they_were_decided_are_an_error():
    log, _ = an_open_shop()
    order(log, an_order("A"))
    inventory = AnInventory(log)
    inventory.history.trimmed_to = {TopicPartition(TOPICS.orders_topic, PIZZA): 2}
    with pytest.raises(HistoryMissing, match="holds offsets 2 to 2"):
        inventory.steps()


def test_order_events_that_were_made_anew_under_an_old_journal_are_an_error():
    log, _ = an_open_shop()
    log.records[TopicPartition(TOPICS.orders_topic, PIZZA)].clear()
    with pytest.raises(HistoryMissing, match="says that 1 comes next"):
        AnInventory(log).steps()


def snapshots_of(log, partition=PIZZA):
    return log.at(TOPICS.inventory_snapshots_topic, partition)


def a_shop_with_a_snapshot(orders=5):
    """A snapshot, and after it the journal's tail: one more order."""
    log, inventory = an_open_shop()
    order(log, *(an_order(f"o-{n}") for n in range(orders)))
    inventory.steps()
    inventory.owner.finish()
    order(log, an_order("tail"))
    inventory.steps()
    return log


def restored_state(log):
    inventory = AnInventory(log).steps()
    return inventory.owner.fold(PIZZA).state()


def test_a_clean_stop_writes_a_snapshot_and_another_one_only_if_something_happened():
    log, inventory = an_open_shop()
    inventory.owner.finish()
    inventory.owner.finish()
    assert len(snapshots_of(log)) == 1


def test_over_all_restarts_snapshots_take_turns_so_that_compaction_keeps_the_last_two():
    log = MemoryLog()
    for n in range(5):
        inventory = AnInventory(log).steps(2)
        order(log, an_order(f"o-{n}"))
        inventory.steps().owner.finish()
    assert [record.key for record in snapshots_of(log)] == [b"even", b"odd", b"even", b"odd", b"even"]


def test_a_snapshot_is_due_after_so_many_orders_since_the_last_one():
    log = MemoryLog()
    inventory = AnInventory(log, snapshot_every_orders=3).steps(2)
    for n in range(6):
        order(log, an_order(f"o-{n}"))
        inventory.steps()
    assert len(snapshots_of(log)) == 2


def test_a_snapshot_is_due_after_a_time_with_any_orders():
    log, inventory = an_open_shop()
    inventory.clock_s += 61
    inventory.steps()
    assert len(snapshots_of(log)) == 1
    inventory.clock_s += 61
    inventory.steps()
    assert len(snapshots_of(log)) == 1


def test_from_a_snapshot_and_the_tail_comes_the_same_state_as_from_the_beginning():
    log = a_shop_with_a_snapshot()
    with_snapshot = restored_state(log)
    assert snapshots_of(log)
    snapshots_of(log).clear()
    assert restored_state(log) == with_snapshot


def test_with_a_snapshot_only_the_tail_of_the_journal_is_read():
    log = a_shop_with_a_snapshot(orders=50)
    inventory = AnInventory(log).steps()
    assert inventory.history.read_from[TopicPartition(TOPICS.journal_topic, PIZZA)] > 50


def of_the_version_before(snapshot):
    """Whole and with its checksum, as an older program wrote it."""
    older = msgspec.structs.replace(unpacked(snapshot), version=SNAPSHOT_VERSION - 1)
    body = msgspec.msgpack.encode(older)
    return MAGIC + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body


@pytest.mark.parametrize("damage", [b"", b"rubbish", None, "flipped", "cut", "older"])
def test_an_unreadable_snapshot_is_passed_over_with_a_warning(damage, caplog):
    log = a_shop_with_a_snapshot()
    right = restored_state(log)
    (record,) = snapshots_of(log)
    if damage == "flipped":
        damage = record.value[:-1] + bytes([record.value[-1] ^ 1])
    elif damage == "cut":
        damage = record.value[:-10]
    elif damage == "older":
        damage = of_the_version_before(record.value)
    snapshots_of(log)[0] = replace(record, value=damage)
    caplog.clear()
    assert restored_state(log) == right
    assert "passing over the snapshot" in caplog.text


def test_when_the_newest_snapshot_is_unreadable_the_older_one_is_taken():
    log = a_shop_with_a_snapshot()
    AnInventory(log).steps(2).owner.finish()
    order(log, an_order("more"))
    inventory = AnInventory(log).steps(2)
    inventory.owner.finish()
    right = restored_state(log)
    snapshots = snapshots_of(log)
    snapshots[-1] = replace(snapshots[-1], value=b"rubbish")
    second = AnInventory(log).steps()
    assert second.history.read_from[TopicPartition(TOPICS.journal_topic, PIZZA)] > 0
    assert second.owner.fold(PIZZA).state() == right


def test_a_snapshot_of_another_journal_is_passed_over(caplog):
    other = a_shop_with_a_snapshot()
    log = a_shop_with_a_snapshot()
    right = restored_state(log)
    snapshots_of(log)[:] = snapshots_of(other)
    assert restored_state(log) == right
    assert "it is of another journal" in caplog.text


def test_a_snapshot_stands_in_for_a_beginning_that_was_trimmed():
    log = a_shop_with_a_snapshot()
    right = restored_state(log)
    inventory = AnInventory(log)
    inventory.history.trimmed_to = {TopicPartition(TOPICS.journal_topic, PIZZA): 3}
    inventory.steps()
    assert inventory.owner.fold(PIZZA).state() == right


def test_a_partition_that_is_taken_away_is_written_down_for_the_next_owner():
    log, inventory = an_open_shop()
    inventory.group.assigned = frozenset(range(PARTITIONS)) - {PIZZA}
    inventory.steps()
    assert len(snapshots_of(log)) == 1


def test_what_was_not_acknowledged_is_in_no_snapshot():
    log, inventory = an_open_shop()
    order(log, an_order("A"))
    log.lose_next = "after"
    with pytest.raises(AppendFailed):
        inventory.steps()
    inventory.owner.start_anew()
    inventory.owner.finish()
    assert snapshots_of(log) == []


def test_a_state_that_somebody_overtook_is_in_no_snapshot():
    log, inventory = an_open_shop()
    log.append({TopicPartition(TOPICS.journal_topic, PIZZA): [(None, b"a stranger was here", ())]})
    order(log, an_order("A"))
    inventory.clock_s += 61
    inventory.steps()
    assert snapshots_of(log) == []


def test_a_stop_while_restoring_takes_no_partition():
    log, _ = an_open_shop()
    inventory, stop = AnInventory(log), Event()
    stop.set()
    inventory.owner.step(stop)
    assert inventory.owner.partitions == frozenset()


class Passing(Event):
    """Time passes at once."""

    def __init__(self):
        super().__init__()
        self.passed_s = 0.0

    def wait(self, timeout=None):
        self.passed_s += timeout
        return self.is_set()


def test_an_owner_that_is_slowed_down_shows_all_the_while_that_it_lives():
    log, stop, beats_s = MemoryLog(), Passing(), []
    inventory = AnInventory(log, delay_s=60.0, heartbeat=lambda: beats_s.append(stop.passed_s))
    for _ in range(2):
        inventory.owner.step(stop)
    assert len(decided(log)) == 1  # of the opening stock
    assert stop.passed_s == 60.0
    assert max(later - earlier for earlier, later in pairwise([0.0, *beats_s])) <= 0.5


def test_a_stop_does_not_wait_for_what_is_slowed_down():
    log, stop = MemoryLog(), Passing()
    inventory = AnInventory(log, delay_s=60.0)
    inventory.owner.step(stop)
    stop.set()
    inventory.owner.step(stop)
    assert (decided(log), stop.passed_s) == ([], 0.5)
