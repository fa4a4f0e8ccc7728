"""The order book: what it knows of an order, the stock, and how it loads the history."""

import pytest

from campus.book.order_book import OrderBook
from campus.book.projector import last_records
from campus.book.stock_levels import StockLevels
from campus.inventory.ledger import StockLedger
from campus.kafka.records import Bounds, TopicPartition
from tests.book.written_book import AT, LATER, P, WrittenBook
from tests.builders import a_claim, a_ledger, an_order


@pytest.fixture
def written():
    return WrittenBook()


# One order


def test_an_accepted_order_is_known_at_once(written):
    written.book.accepted(an_order("o-1", quantity=3), P)
    view = written.book.order("o-1")
    assert (view.status, view.quantity, view.partition) == ("accepted", 3, P)
    assert (view.offset, view.accepted_at, view.decided_at, view.seq) == (None, None, None, None)


def test_order_events_adds_the_offset_and_time_of_an_order(written):
    written.book.accepted(an_order("o-1"), P)
    written.places(an_order("o-1"), offset=41)
    view = written.book.order("o-1")
    assert (view.status, view.offset, view.accepted_at) == ("accepted", 41, AT)


def test_an_unknown_order_is_none(written):
    assert written.book.order("o-1") is None


def test_a_reserved_order_has_the_facts_of_its_journal_entry(written):
    written.reserves()
    view = written.book.order("o-1")
    assert (view.status, view.remaining, view.seq, view.journal_offset) == ("reserved", 7, 1, 11)
    assert (view.accepted_at, view.decided_at, view.offset, view.reason) == (AT, AT, 0, None)


def test_a_failed_order_has_a_reason(written):
    written.fails()
    view = written.book.order("o-1")
    assert (view.status, view.reason, view.remaining) == ("failed", "unknown_item", None)


def test_a_cancelled_order_has_its_time_and_the_remaining_stock(written):
    written.reserves()
    written.releases()
    view = written.book.order("o-1")
    assert (view.status, view.decided_at, view.cancelled_at) == ("cancelled", AT, LATER)
    assert (view.remaining, view.seq, view.journal_offset) == (8, 2, 12)


def test_a_rejected_cancellation_adds_its_reason_and_changes_nothing_else(written):
    written.fails()
    written.rejects_cancel("not_reserved")
    view = written.book.order("o-1")
    assert (view.status, view.cancel_rejected, view.seq) == ("failed", "not_reserved", 1)


def test_a_second_cancellation_does_not_show_on_a_cancelled_order(written):
    written.reserves()
    written.releases()
    written.rejects_cancel("already_cancelled")
    assert written.book.order("o-1").cancel_rejected is None


def test_a_cancellation_before_the_decision_does_not_show(written):
    written.book.accepted(an_order("o-1"), P)
    written.rejects_cancel("unknown_order")
    written.reserves()
    assert written.book.order("o-1").cancel_rejected is None


def test_the_release_of_an_order_from_before_the_window_does_not_cancel_its_repeat(written):
    written.places(an_order("o-1"), offset=900)
    written.releases("o-1")
    assert written.book.order("o-1").status == "accepted"


def test_a_repeat_changes_nothing(written):
    written.places(an_order("o-1"), offset=3)
    written.reserves()
    before = written.book.order("o-1")
    written.places(an_order("o-1", quantity=9), offset=4)
    written.book.accepted(an_order("o-1", quantity=9), P)
    written.ignores_repeat()
    assert written.book.order("o-1") == before


def test_of_two_records_with_one_id_the_first_one_counts(written):
    written.places(an_order("o-1", quantity=1), offset=3)
    written.places(an_order("o-1", quantity=9), offset=4)
    assert written.book.order("o-1").quantity == 1


def test_the_repeat_of_an_order_from_before_the_window_is_hidden(written):
    written.places(an_order("o-1"), offset=900)
    written.ignores_repeat("o-1")
    assert written.book.order("o-1") is None
    assert written.ids() == written.ids(status="accepted") == []
    written.book.accepted(an_order("o-1"), P)
    assert written.book.order("o-1") is None


def test_a_rerouted_order_shows_the_partition_that_decides_it(written):
    written.places(an_order("o-1"), offset=5, misrouted=True)
    assert (written.book.order("o-1").partition, written.book.order("o-1").offset) == (P, 5)
    written.reroutes()
    assert (written.book.order("o-1").partition, written.book.order("o-1").offset) == (P + 1, None)
    written.places(an_order("o-1"), offset=77, at=LATER, partition=P + 1)
    view = written.book.order("o-1")
    assert (view.status, view.partition, view.offset, view.accepted_at) == ("accepted", P + 1, 77, LATER)


def test_the_right_partition_wins_over_the_wrong_one_whichever_is_seen_first(written):
    written.places(an_order("o-1"), offset=77, partition=P + 1)
    written.places(an_order("o-1"), offset=5, misrouted=True)
    written.reroutes()
    assert (written.book.order("o-1").partition, written.book.order("o-1").offset) == (P + 1, 77)


# One id, several items


def test_an_id_with_two_items_returns_the_order_that_was_decided_first(written):
    written.book.accepted(an_order("o-1", "salad"), P)
    written.book.accepted(an_order("o-1", "pizza"), P)
    assert written.book.order("o-1").item == "salad"
    written.reserves("o-1", "pizza", at=LATER)
    assert written.book.order("o-1").item == "pizza"
    written.reserves("o-1", "salad", at=AT, partition=P + 1)
    assert written.book.order("o-1").item == "salad"
    assert written.ids() == ["o-1", "o-1"]


def test_dropping_one_item_of_an_id_keeps_the_others():
    written = WrittenBook(orders_max=3)
    for item in ("pizza", "salad", "burger", "soup"):
        written.book.accepted(an_order("o-1", item), P)
    assert [view.item for view in written.book.latest(limit=9)] == ["soup", "burger", "salad"]
    assert written.book.order("o-1").item == "salad"
    for n in range(3):
        written.book.accepted(an_order(f"other-{n}"), P)
    assert written.book.order("o-1") is None


# Stock


def test_the_stock_shows_remaining_and_reserved_as_of_a_journal_entry(written):
    stocked = a_ledger(pizza=10)
    stocked.takes(an_order("o-1", quantity=3), an_order("o-2", quantity=99))
    for n, entry in enumerate(stocked.entries):
        written.book.apply_journal(P, [(20 + n, entry)])
    (view,) = written.book.stock()
    assert (view.item, view.remaining, view.reserved) == ("pizza", 7, 3)
    assert (view.partition, view.as_of_offset, view.as_of_seq) == (P, 22, 3)


def test_a_claim_does_not_change_the_seq_of_the_stock(written):
    written.reserves()
    written.book.apply_journal(P, [(99, a_claim())])
    written.restocks("s")
    assert [(v.item, v.as_of_seq, v.as_of_offset) for v in written.book.stock()] == [
        ("pizza", 2, 12),
        ("tea", 2, 12),
    ]


def test_the_stock_is_restored_from_the_state_of_a_ledger():
    stocked = a_ledger(pizza=10)
    stocked.takes(an_order("o-1", quantity=3))
    stock = StockLevels.from_state(stocked.ledger.state())
    assert (stock.remaining, stock.added, stock.next_offset) == ({"pizza": 7}, {"pizza": 10}, 2)


@pytest.mark.parametrize("state", [b"", b"\xc0", StockLedger(0, 4).state()[:-1]])
def test_a_damaged_state_is_a_value_error(state):
    with pytest.raises(ValueError):
        StockLevels.from_state(state)


# The history


def test_orders_accepted_while_the_history_loads_are_newer_than_the_history():
    book, history = OrderBook(orders_max=10), WrittenBook()
    history.reserves("old")
    book.accepted(an_order("new"), P)
    assert book.order("new").status == "accepted"
    book.load(history.book._window, {})
    assert [view.order_id for view in book.latest(limit=9)] == ["new", "old"]


def test_loading_the_history_resolves_the_waiters_of_decided_orders():
    book, history, called = OrderBook(orders_max=10), WrittenBook(), []
    history.reserves("old")
    book.when_decided("old", called.append)
    book.load(history.book._window, {})
    assert [view.status for view in called] == ["reserved"]


def spans_of(**ends):
    return {TopicPartition(topic, 0): Bounds(0, end) for topic, end in ends.items()}


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ({"a": 100, "b": 100}, {"a": 50, "b": 50}),
        ({"a": 100, "b": 10}, {"a": 90, "b": 10}),
        ({"a": 3, "b": 1000, "c": 40}, {"a": 3, "b": 57, "c": 40}),
        ({"a": 5, "b": 0}, {"a": 5, "b": 0}),
    ],
)
def test_the_share_that_a_short_partition_does_not_use_goes_to_the_others(ends, last):
    spans = last_records(spans_of(**ends), 100)
    assert {tp.topic: span.end - span.start for tp, span in spans.items()} == last
    assert all(span.end == ends[tp.topic] for tp, span in spans.items())
