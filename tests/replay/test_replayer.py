"""Deciding again: what is identical, what is different and where, and what proves nothing."""

import hashlib

import msgspec
import pytest

from campus.domain.events import InventoryFailed, InventoryReserved, OrderCancelled
from campus.domain.partitions import item_partition
from campus.inventory.ledger import ORIGIN_TIME_HEADER, StockLedger
from campus.inventory.rules import RULES_VERSION
from campus.replay import replayer
from campus.replay.findings import HISTORY_MAX
from campus.replay.replayer import Replayer
from tests.builders import APPENDED_AT_MS, PARTITIONS, a_restock, an_opening, an_order
from tests.replay.replayed_log import PIZZA, ALog

NEIGHBOUR = next(f"dish-{n}" for n in range(99) if item_partition(f"dish-{n}", PARTITIONS) == PIZZA)
STRANGER = next(f"dish-{n}" for n in range(99) if item_partition(f"dish-{n}", PARTITIONS) != PIZZA)


def a_log():
    """A claim, the opening stock, then orders A to E; there is too little stock for D and E."""
    return ALog(an_opening(quantity=3), *(an_order(name) for name in "ABCDE"))


def cancelled(order_id, item="pizza"):
    return OrderCancelled(order_id=order_id, item=item)


# Identical


def test_an_owners_log_is_identical():
    log = a_log()
    found = log.replayed()
    assert found.verdict == "identical"
    assert (found.records, found.decisions, found.compared, found.undecided) == (6, 6, 6, 0)
    assert found.first_difference is None
    assert found.metrics == found.metrics_of_analytics == log.analytics
    assert (found.metrics.successful, found.metrics.failed, found.stock) == (3, 2, {"pizza": 0})


def test_the_digest_is_the_sha256_of_the_entries_one_per_line():
    log = a_log()
    entries = b"".join(record.value + b"\n" for record in log.journal[1:])
    assert log.replayed().digest == log.replayed().digest == hashlib.sha256(entries).hexdigest()


@pytest.mark.parametrize(
    "records",
    [
        [an_order("A"), an_order("A")],
        [a_restock("s-1"), a_restock("s-1")],
        [an_opening(quantity=7)],
        [an_order("A"), cancelled("A"), cancelled("A"), cancelled("unknown"), an_order("B", quantity=3)],
        [an_order("F", quantity=99), cancelled("F")],
        [an_order("A", STRANGER), a_restock(item=STRANGER), cancelled("A", STRANGER)],
        [b"rubbish", b"", None, b'{"event_type":"Sung"}', b"[" * 500, b"x" * 70_000],
    ],
    ids=["order twice", "restock twice", "opening twice", "cancels", "failed", "foreign", "rubbish"],
)
def test_every_kind_of_record_is_identical(records):
    found = ALog(an_opening(quantity=3), *records).replayed()
    assert (found.verdict, found.compared) == ("identical", 1 + len(records))


def test_an_order_that_was_too_old_is_too_old_again():
    log = ALog(an_opening()).claimed("owner-2", window_orders=1).took(an_order("A"), an_order("B"))
    log.took(an_order("C"), headers=((ORIGIN_TIME_HEADER, str(APPENDED_AT_MS).encode()),))
    assert log.entry(-1)["reason"] == "too_old"
    assert log.replayed().verdict == "identical"


def test_each_claim_sets_the_window_from_its_offset_on():
    """With another claim's window, the repeats of A would be decided differently."""
    log = ALog(an_opening()).took(an_order("A"), an_order("B"), an_order("A"))
    log.claimed("owner-2", window_orders=1).took(an_order("A"), an_order("B"))
    log.claimed("owner-3", window_orders=9).took(an_order("C"), an_order("B"))
    types = [log.entry(index)["event_type"] for index in (4, 6, 7, 9, 10)]
    assert types == [
        "DuplicateIgnored",
        "InventoryReserved",
        "InventoryReserved",
        "InventoryReserved",
        "DuplicateIgnored",
    ]
    found = log.replayed()
    assert (found.verdict, found.claims) == ("identical", 3)


def test_entries_that_do_not_count_are_not_compared():
    """An entry of an old owner, a repeat, unreadable bytes: each would be a difference if it counted."""
    log = a_log()
    late = encode_changed(log, -1, seq=7, reason="unknown_item")
    log.claimed("owner-2").wrote(late, owner="owner-1")
    log.took(an_order("F"))
    log.wrote(encode_changed(log, -1, reason="unknown_item"), owner="owner-2")
    log.wrote(b"a stranger", owner=None).wrote(late, owner=None)
    found = log.replayed()
    assert found.verdict == "identical", found.first_difference
    assert found.ignored == {"old_owner": 2, "repeat": 1, "unreadable": 1}


def encode_changed(log, index, **fields):
    return msgspec.json.encode(log.entry(index) | fields)


def test_a_gap_that_the_next_owner_closed_is_no_difference():
    log = a_log()
    lost = log.journal.pop()
    log.wrote(encode_changed(log, -1, seq=9), owner="owner-1").claimed("owner-2")
    log.wrote(lost.value, owner="owner-2")
    assert log.replayed().verdict == "identical"


def test_records_after_the_last_decision_are_undecided_and_no_difference():
    found = a_log().ordered(an_order("F"), b"rubbish").replayed()
    assert (found.verdict, found.records, found.undecided) == ("identical", 8, 2)


def test_records_beyond_inputs_end_need_no_entry_but_are_compared_if_they_have_one():
    found = a_log().ordered(an_order("F")).replayed(inputs_end=4)
    assert (found.verdict, found.compared, found.undecided) == ("identical", 6, 0)


# Nothing proved


@pytest.mark.parametrize("log", [ALog(), ALog().ordered(an_order("A")), ALog().claimed("owner-2")])
def test_without_a_decision_there_is_nothing_to_replay(log):
    assert log.replayed().verdict == "empty"


def test_entries_of_other_rules_are_applied_and_counted_separately():
    log = a_log().claimed("old", rules=RULES_VERSION - 1).took(an_order("F"), b"rubbish", a_restock())
    log.changed(-3, reason="unknown_item", remaining=None)  # as these rules may have had it
    log.claimed("new").took(an_order("G"), an_order("F"))
    log.analytics.items["pizza"].failed -= 1
    log.analytics.reasons = {"insufficient_stock": 2, "unknown_item": 1}
    found = log.replayed()
    assert found.verdict == "identical", found.first_difference
    assert (found.records, found.decisions, found.compared) == (11, 11, 8)
    assert found.other_rules == {RULES_VERSION - 1: 3}
    assert found.stock == {"pizza": 9}


def test_entries_of_other_rules_alone_prove_nothing():
    log = ALog().claimed("old", rules=RULES_VERSION + 1).took(an_opening(), an_order("A"))
    found = log.replayed()
    assert (found.verdict, found.decisions, found.compared) == ("empty", 2, 0)


# Different


def the_difference(log, **settings):
    found = log.replayed(**settings)
    assert found.verdict == "different"
    assert found.first_difference is not None
    return found.first_difference


def test_a_changed_figure_is_found_with_both_entries_and_its_record():
    log = a_log()
    right = log.journal[3].value.decode()
    first = the_difference(log.changed(3, remaining=2))
    assert (first.where, first.partition, first.seq, first.field) == ("journal", PIZZA, 3, "remaining")
    assert (first.journal_offset, first.source_offset) == (3, 2)
    assert first.what == "2 in the journal, 1 decided again"
    assert (first.journal, first.decided) == (log.journal[3].value.decode(), right)
    assert first.record == log.orders[2].value.decode()


def test_a_changed_reason_is_found():
    first = the_difference(a_log().changed(-1, reason="unknown_item"))
    assert (first.seq, first.field) == (6, "reason")


def test_another_outcome_is_found():
    log = a_log()
    failed = msgspec.json.decode(log.journal[3].value) | {
        "event_type": "InventoryFailed",
        "reason": "too_old",
    }
    first = the_difference(log.rewritten(3, msgspec.json.encode(failed)))
    assert (first.seq, first.field) == (3, "event_type")
    assert first.what == "InventoryFailed in the journal, InventoryReserved decided again"


def test_an_equal_entry_in_other_bytes_is_found():
    log = a_log()
    first = the_difference(log.rewritten(3, log.journal[3].value.replace(b'":', b'": ', 1)))
    assert (first.seq, first.field, first.what) == (3, None, "both say the same, in other bytes")


def test_an_additional_field_is_found():
    assert the_difference(a_log().changed(3, note="no onions")).seq == 3


def test_only_the_first_difference_is_shown_and_all_are_counted():
    found = a_log().changed(-1, reason="unknown_item").changed(3, remaining=2).replayed()
    assert (found.different, found.first_difference.seq) == (2, 3)


def test_the_difference_of_a_skipped_record_shows_that_record():
    log = a_log()
    del log.journal[3]
    for index in range(3, len(log.journal)):
        log.changed(index, seq=index)
    first = the_difference(log)
    assert (first.seq, first.field, first.source_offset) == (3, "source_offset", 2)
    assert first.record == log.orders[2].value.decode()


def test_a_lost_entry_is_found_by_the_gap_that_it_leaves():
    log = a_log()
    right = log.journal.pop(3).value.decode()
    first = the_difference(log)
    assert (first.seq, first.source_offset, first.journal, first.decided) == (3, 2, None, right)
    assert first.what == "no entry 3 counts, and what its owner wrote at offset 4 goes on without it"


def test_the_first_entries_of_an_owner_are_missed_too():
    log = a_log().claimed("owner-2").took(an_order("F"), an_order("G"))
    del log.journal[-2]
    assert the_difference(log).seq == 7


@pytest.mark.parametrize("damage", [b"", b"{", b'{"event_type":"Sung"}'])
def test_an_undecodable_entry_is_found_even_if_it_is_the_last(damage):
    first = the_difference(a_log().rewritten(-1, damage))
    assert (first.seq, first.source_offset, first.journal) == (6, 5, None)


def test_an_entry_without_a_record_is_found():
    log = a_log()
    log.wrote(encode_changed(log, -1, seq=7, source_offset=6), owner="owner-1")
    first = the_difference(log)
    assert (first.seq, first.field, first.decided, first.record) == (7, "source_offset", None, None)
    assert first.journal == log.journal[-1].value.decode()


def test_a_record_that_was_decided_twice_is_found():
    log = a_log().ordered(an_order("F"))
    log.wrote(encode_changed(log, -1, seq=7), owner="owner-1")
    first = the_difference(log)
    assert (first.seq, first.field, first.what) == (7, "source_offset", "5 in the journal, 6 decided again")


def test_entries_after_the_last_record_are_differences_whatever_the_rules():
    log = a_log()
    log.wrote(encode_changed(log, -1, seq=7, source_offset=6), owner="owner-1")
    log.claimed("old", rules=RULES_VERSION - 1)
    log.wrote(encode_changed(log, -2, seq=8, source_offset=7), owner="old")
    found = log.replayed()
    assert (found.verdict, found.different, found.other_rules.total()) == ("different", 2, 0)
    assert found.first_difference.seq == 7


class ARoundingLedger(StockLedger):
    """Wrong on purpose: it sells the last portions twice."""

    def decide(self, record):
        entry, side_output = super().decide(record)
        if isinstance(entry, InventoryFailed) and entry.remaining == 0:
            fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "reason"}
            return InventoryReserved(**fields), side_output
        return entry, side_output


def test_a_ledger_with_wrong_rules_is_found_whether_it_wrote_the_log_or_replays_it(monkeypatch):
    written_wrong = ALog(*a_log_inputs(), ledger=ARoundingLedger).replayed()
    monkeypatch.setattr(replayer, "StockLedger", ARoundingLedger)
    for found in (written_wrong, a_log().replayed()):
        assert (found.verdict, found.different, found.miscounted) == ("different", 2, 1)
        assert (found.first_difference.seq, found.first_difference.field) == (5, "event_type")


def a_log_inputs():
    return [an_opening(quantity=3), *(an_order(name) for name in "ABCDE")]


# What analytics counts


@pytest.mark.parametrize(
    ("miscount", "figure"),
    [
        (lambda metrics: setattr(metrics, "successful", 4), "successful"),
        (lambda metrics: setattr(metrics.items["pizza"], "portions", 4), "items.pizza.portions"),
        (lambda metrics: metrics.reasons.update(too_old=1), "reasons.too_old"),
        (lambda metrics: metrics.minutes.clear(), "minutes.2025-11-22T18:51"),
    ],
)
def test_analytics_that_counts_otherwise_is_found(miscount, figure):
    log = a_log()
    miscount(log.analytics)
    first = the_difference(log)
    assert (first.where, first.partition, first.seq, first.field) == ("analytics", PIZZA, 6, figure)


def test_a_difference_in_the_journal_is_shown_before_one_in_analytics():
    log = a_log()
    replaying_wrong = log.changed(3, quantity=2)
    log.analytics.items["pizza"].portions = 4
    found = replaying_wrong.replayed()
    assert (found.different, found.miscounted, found.first_difference.where) == (1, 1, "journal")


def test_without_analytics_only_the_decisions_are_compared():
    log, replay = a_log(), Replayer(PARTITIONS)
    replay.partition(PIZZA, log.journal, log.orders, inputs_end=6)
    found = replay.finish()
    assert (found.verdict, found.metrics_of_analytics) == ("identical", None)


# One item


def two_items():
    log = ALog(an_opening(quantity=3), an_opening(NEIGHBOUR, 5))
    return log.took(an_order("A"), an_order("B", NEIGHBOUR), b"rubbish", an_order("C"))


def test_only_what_is_about_the_item_is_counted_and_kept():
    log = two_items().ordered(an_order("D"), an_order("E", NEIGHBOUR), b"rubbish")
    found = log.replayed(item="pizza")
    assert found.verdict == "identical"
    assert (found.records, found.decisions, found.undecided, found.stock) == (4, 3, 1, {"pizza": 1})
    assert (found.metrics.successful, [*found.metrics.items]) == (2, ["pizza"])
    assert [entry.remaining for entry in found.history] == [3, 2, 1]
    entries = b"".join(log.journal[index].value + b"\n" for index in (1, 3, 6))
    assert found.digest == hashlib.sha256(entries).hexdigest()


def test_only_the_last_entries_of_the_item_are_kept_and_none_without_an_item():
    log = ALog(an_opening(quantity=3), *(an_order(f"o-{n}") for n in range(2 * HISTORY_MAX)))
    kept = [entry.seq for entry in log.replayed(item="pizza").history]
    assert kept == list(range(HISTORY_MAX + 2, 2 * HISTORY_MAX + 2))
    assert not log.replayed().history


def test_a_difference_of_another_item_is_not_the_items():
    log = two_items().changed(4, remaining=1)
    assert log.replayed(item="pizza").verdict == "identical"
    assert the_difference(log, item=NEIGHBOUR).seq == 4


def test_with_item_only_the_items_figures_of_analytics_are_compared():
    log = two_items()
    log.analytics.items[NEIGHBOUR].portions = 99
    assert log.replayed(item="pizza").verdict == "identical"
    assert the_difference(log, item=NEIGHBOUR).field == f"items.{NEIGHBOUR}.portions"


def test_an_item_without_orders_proves_nothing():
    assert two_items().replayed(item="unicorn").verdict == "empty"


def test_a_lost_entry_is_a_difference_for_every_item():
    log = two_items()
    del log.journal[5]
    assert the_difference(log, item="pizza").seq == 5


def test_long_texts_of_strangers_are_cut():
    log = ALog(an_opening(), b"\xff\x1b" * 5_000).changed(-1, reason="empty")
    first = the_difference(log)
    assert len(first.record) == 2_000
    assert first.record.startswith("\\xff\x1b")


def test_the_entry_that_is_compared_is_the_one_that_counts():
    """A second entry of the same seq, right or wrong, changes nothing."""
    log = a_log()
    wrong = encode_changed(log, -1, reason="too_old")
    assert log.wrote(wrong, owner="owner-1").replayed().verdict == "identical"
