"""The order book: what is told of an order, a listing, the stock; bounded, and shared by threads."""

import logging
import threading

import pytest

from campus.book.order_book import WISHES_MAX, OrderBook, PartitionStock, Placed
from campus.book.order_window import LOOKS_MAX, OrderWindow
from campus.book.projector import last_records
from campus.domain.events import (
    CancelRejected,
    DuplicateIgnored,
    InventoryFailed,
    InventoryReserved,
    OrderRerouted,
    ReservationReleased,
    StockChanged,
)
from campus.domain.order_ids import key_part, keyed_order_id, keyed_restock_id
from campus.inventory.ledger import StockLedger
from campus.kafka.records import Bounds, TopicPartition
from tests.builders import a_claim, a_ledger, an_order

AT = "2026-01-01T12:00:00.100Z"
LATER = "2026-01-01T12:00:09.000Z"
P = 2  # a partition


class ABook:
    """A book that has begun, and its journal: entries get the next seq and offset by themselves."""

    def __init__(self, orders_max=10):
        self.book = OrderBook(orders_max=orders_max)
        self.book.begin(OrderWindow(orders_max), {P: PartitionStock(), P + 1: PartitionStock()})
        self.seq = 0

    def places(self, order, offset=0, at=AT, partition=P, misrouted=False):
        self.book.placed([Placed(order, partition, offset, at, misrouted)])

    def journals(self, entry_of, partition=P, **fields):
        self.seq += 1
        entry = entry_of(seq=self.seq, source_offset=self.seq - 1, **fields)
        self.book.journalled(partition, [(10 + self.seq, entry)])

    def reserves(self, order_id="o-1", item="pizza", *, user_id="ana", at=AT, partition=P):
        self.journals(
            InventoryReserved,
            partition,
            order_id=order_id,
            user_id=user_id,
            item=item,
            quantity=1,
            remaining=7,
            placed_at=None,
            decided_at=at,
        )

    def fails(self, order_id="o-1", item="pizza", *, at=AT):
        self.journals(
            InventoryFailed,
            order_id=order_id,
            user_id="ana",
            item=item,
            quantity=1,
            remaining=None,
            reason="unknown_item",
            placed_at=None,
            decided_at=at,
        )

    def releases(self, order_id="o-1"):
        self.journals(
            ReservationReleased, order_id=order_id, item="pizza", quantity=1, remaining=8, decided_at=LATER
        )

    def keeps(self, reason, order_id="o-1"):
        self.journals(
            CancelRejected, order_id=order_id, item="pizza", remaining=7, reason=reason, decided_at=LATER
        )

    def ignores(self, order_id="o-1", item="pizza"):
        self.journals(
            DuplicateIgnored, repeated_type="OrderPlaced", repeated_id=order_id, item=item, decided_at=LATER
        )

    def reroutes(self, order_id="o-1", item="pizza", to_partition=P + 1):
        self.journals(
            OrderRerouted,
            rerouted_type="OrderPlaced",
            rerouted_id=order_id,
            item=item,
            to_partition=to_partition,
            decided_at=AT,
        )

    def ids(self, *, limit=10, **filters):
        return [view.order_id for view in self.book.latest(limit=limit, **filters)]


@pytest.fixture
def a():
    return ABook()


# One order


def test_what_the_producer_has_word_for_can_be_read_at_once(a):
    a.book.accepted(an_order("o-1", quantity=3), P)
    view = a.book.order("o-1")
    assert (view.status, view.quantity, view.partition) == ("accepted", 3, P)
    assert (view.offset, view.accepted_at, view.decided_at, view.seq) == (None, None, None, None)


def test_order_events_adds_where_and_when_it_was_taken(a):
    a.book.accepted(an_order("o-1"), P)
    a.places(an_order("o-1"), offset=41)
    view = a.book.order("o-1")
    assert (view.status, view.offset, view.accepted_at) == ("accepted", 41, AT)


def test_an_order_that_nobody_has_heard_of_is_not_known(a):
    assert a.book.order("o-1") is None


def test_a_reserved_order_has_all_that_the_journal_says(a):
    a.reserves()
    view = a.book.order("o-1")
    assert (view.status, view.remaining, view.seq, view.journal_offset) == ("reserved", 7, 1, 11)
    assert (view.accepted_at, view.decided_at, view.offset, view.reason) == (AT, AT, 0, None)


def test_a_failed_order_says_why(a):
    a.fails()
    view = a.book.order("o-1")
    assert (view.status, view.reason, view.remaining) == ("failed", "unknown_item", None)


def test_a_cancelled_order_says_when_and_what_is_left_then(a):
    a.reserves()
    a.releases()
    view = a.book.order("o-1")
    assert (view.status, view.decided_at, view.cancelled_at) == ("cancelled", AT, LATER)
    assert (view.remaining, view.seq, view.journal_offset) == (8, 2, 12)


def test_a_cancellation_that_was_refused_says_why_and_leaves_the_rest(a):
    a.fails()
    a.keeps("not_reserved")
    view = a.book.order("o-1")
    assert (view.status, view.cancel_rejected, view.seq) == ("failed", "not_reserved", 1)


def test_to_cancel_once_more_is_not_told_of_an_order_that_is_cancelled(a):
    a.reserves()
    a.releases()
    a.keeps("already_cancelled")
    assert a.book.order("o-1").cancel_rejected is None


def test_a_wish_to_cancel_what_is_not_decided_yet_says_nothing(a):
    a.book.accepted(an_order("o-1"), P)
    a.keeps("unknown_order")
    a.reserves()
    assert a.book.order("o-1").cancel_rejected is None


def test_a_release_of_what_was_decided_before_all_we_know_is_not_of_its_repeat(a):
    a.places(an_order("o-1"), offset=900)
    a.releases("o-1")
    assert a.book.order("o-1").status == "accepted"


def test_a_repeat_changes_nothing(a):
    a.places(an_order("o-1"), offset=3)
    a.reserves()
    before = a.book.order("o-1")
    a.places(an_order("o-1", quantity=9), offset=4)
    a.book.accepted(an_order("o-1", quantity=9), P)
    a.ignores()
    assert a.book.order("o-1") == before


def test_of_two_records_with_one_id_the_first_is_the_order(a):
    a.places(an_order("o-1", quantity=1), offset=3)
    a.places(an_order("o-1", quantity=9), offset=4)
    assert a.book.order("o-1").quantity == 1


def test_an_order_that_was_decided_before_all_we_know_is_not_called_undecided(a):
    a.places(an_order("o-1"), offset=900)
    a.ignores("o-1")
    assert a.book.order("o-1") is None
    assert a.ids() == a.ids(status="accepted") == []
    a.book.accepted(an_order("o-1"), P)
    assert a.book.order("o-1") is None


def test_a_rerouted_order_is_told_of_where_it_is_decided(a):
    a.places(an_order("o-1"), offset=5, misrouted=True)
    assert (a.book.order("o-1").partition, a.book.order("o-1").offset) == (P, 5)
    a.reroutes()
    assert (a.book.order("o-1").partition, a.book.order("o-1").offset) == (P + 1, None)
    a.places(an_order("o-1"), offset=77, at=LATER, partition=P + 1)
    view = a.book.order("o-1")
    assert (view.status, view.partition, view.offset, view.accepted_at) == ("accepted", P + 1, 77, LATER)


def test_where_an_order_belongs_outweighs_where_it_strayed_whichever_is_heard_first(a):
    a.places(an_order("o-1"), offset=77, partition=P + 1)
    a.places(an_order("o-1"), offset=5, misrouted=True)
    a.reroutes()
    assert (a.book.order("o-1").partition, a.book.order("o-1").offset) == (P + 1, 77)


# One id, several items


def test_an_id_of_two_items_names_the_order_that_was_decided_first(a):
    a.book.accepted(an_order("o-1", "salad"), P)
    a.book.accepted(an_order("o-1", "pizza"), P)
    assert a.book.order("o-1").item == "salad"
    a.reserves("o-1", "pizza", at=LATER)
    assert a.book.order("o-1").item == "pizza"
    a.reserves("o-1", "salad", at=AT, partition=P + 1)
    assert a.book.order("o-1").item == "salad"
    assert a.ids() == ["o-1", "o-1"]


def test_forgetting_one_item_of_an_id_leaves_the_others():
    a = ABook(orders_max=3)
    for item in ("pizza", "salad", "burger", "soup"):
        a.book.accepted(an_order("o-1", item), P)
    assert [view.item for view in a.book.latest(limit=9)] == ["soup", "burger", "salad"]
    assert a.book.order("o-1").item == "salad"
    for n in range(3):
        a.book.accepted(an_order(f"other-{n}"), P)
    assert a.book.order("o-1") is None


# Listings


def test_the_latest_come_newest_first_and_no_more_than_asked_for(a):
    for n in range(5):
        a.book.accepted(an_order(f"o-{n}"), P)
    assert a.ids(limit=3) == ["o-4", "o-3", "o-2"]


def test_each_filter_alone_and_all_together(a):
    a.book.accepted(an_order("o-1", "pizza", user_id="ana"), P)
    a.book.accepted(an_order("o-2", "salad", user_id="ben"), P)
    a.book.accepted(an_order("o-3", "pizza", user_id="ben"), P)
    a.reserves("o-3", user_id="ben")
    assert a.ids(user_id="ben") == ["o-3", "o-2"]
    assert a.ids(item="pizza") == ["o-3", "o-1"]
    assert a.ids(status="accepted") == ["o-2", "o-1"]
    assert a.ids(user_id="ben", item="pizza", status="reserved") == ["o-3"]
    assert a.ids(user_id="ana", status="reserved") == []
    assert a.ids(user_id="nobody") == a.ids(item="soup") == a.ids(status="cancelled") == []


@pytest.mark.parametrize("orders_max", [1, 2, 7])
@pytest.mark.parametrize("heard", range(1, 23))
def test_listings_know_exactly_what_is_in_the_window(orders_max, heard):
    a = ABook(orders_max)
    for n in range(heard):
        a.book.accepted(an_order(f"o-{n}", ("pizza", "salad")[n % 2], user_id=f"user-{n % 3}"), P)
        if n % 4 == 0:
            a.reserves(f"o-{n}", ("pizza", "salad")[n % 2], user_id=f"user-{n % 3}")
    window = list(range(heard))[-orders_max:][::-1]
    assert a.book.window().orders == len(window)
    assert a.ids(limit=99) == [f"o-{n}" for n in window]
    assert a.ids(limit=99, status="reserved") == [f"o-{n}" for n in window if n % 4 == 0]
    assert a.ids(limit=99, user_id="user-1") == [f"o-{n}" for n in window if n % 3 == 1]
    assert a.ids(limit=99, item="salad", status="accepted") == [f"o-{n}" for n in window if n % 2]
    known = [n for n in range(heard) if a.book.order(f"o-{n}") is not None]
    assert known == sorted(window)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"user_id": "ana", "status": "cancelled"}, ["old"]),
        ({"user_id": "zoe", "item": "soup", "status": "accepted"}, ["o-1"]),
        ({"user_id": "zoe", "item": "pizza"}, []),
    ],
)
def test_what_is_rare_is_found_whatever_else_is_asked_for_and_however_old(filters, found):
    a = ABook(4 * LOOKS_MAX)
    a.book.accepted(an_order("o-1", "soup", user_id="zoe"), P)
    a.reserves("old", user_id="ana")
    a.releases("old")
    a.book.placed(Placed(an_order(f"n-{n}"), P, n, AT, False) for n in range(3 * LOOKS_MAX))
    assert a.ids(**filters) == found


def test_a_listing_looks_at_no_more_than_so_many_orders():
    a = ABook(4 * LOOKS_MAX)
    a.book.placed(Placed(an_order(f"a-{n}", "soup", user_id="zoe"), P, n, AT, False) for n in (1, 2))
    for user, item in (("ana", "pizza"), ("zoe", "pizza"), ("ana", "soup")):
        orders = (an_order(f"{user}-{item}-{n}", item, user_id=user) for n in range(LOOKS_MAX))
        a.book.placed(Placed(order, P, 0, AT, False) for order in orders)
    assert (
        a.ids(user_id="zoe", item="soup") == []
    )  # said so: an old match of two filters that each leave many


# Keys


def test_a_key_finds_the_order_that_it_made_as_long_as_the_window_has_it():
    a = ABook(orders_max=2)
    first = keyed_order_id("key", user_id="ana", item="pizza", quantity=1)
    other = keyed_order_id("key", user_id="ana", item="pizza", quantity=2)
    key = key_part(first)
    assert a.book.id_of_key(key) is None
    a.book.accepted(an_order(first), P)
    a.book.accepted(an_order(other), P)
    assert a.book.id_of_key(key) == first
    a.book.accepted(an_order("o-1"), P)
    a.book.accepted(an_order("o-2"), P)
    assert a.book.id_of_key(key) is None


def test_a_key_finds_the_restock_that_it_made_and_so_many_as_there_may_be_orders():
    a = ABook(orders_max=2)
    ids = [keyed_restock_id(key, item="tea", quantity=5) for key in ("monday", "tuesday", "friday")]
    for event_id in (*ids[:2], "opening", ids[1]):
        restocks(a, event_id)
    assert [a.book.id_of_key(key_part(one)) for one in ids] == [*ids[:2], None]
    restocks(a, ids[2])
    assert [a.book.id_of_key(key_part(one)) for one in ids] == [None, *ids[1:]]


def restocks(a, event_id):
    a.journals(
        StockChanged, event_id=event_id, item="tea", quantity=5, remaining=5, reason="restock", decided_at=AT
    )


# Stock


def test_the_stock_is_the_journals_with_what_is_reserved_and_as_of_which_entry(a):
    stocked = a_ledger(pizza=10)
    stocked.takes(an_order("o-1", quantity=3), an_order("o-2", quantity=99))
    for n, entry in enumerate(stocked.entries):
        a.book.journalled(P, [(20 + n, entry)])
    (view,) = a.book.stock()
    assert (view.item, view.remaining, view.reserved) == ("pizza", 7, 3)
    assert (view.partition, view.as_of_offset, view.as_of_seq) == (P, 22, 3)


def test_a_claim_is_no_entry_of_its_own(a):
    a.reserves()
    a.book.journalled(P, [(99, a_claim())])
    restocks(a, "s")
    assert [(v.item, v.as_of_seq, v.as_of_offset) for v in a.book.stock()] == [
        ("pizza", 2, 12),
        ("tea", 2, 12),
    ]


def test_the_stock_of_a_ledgers_snapshot_is_its_levels_and_the_record_that_it_waits_for():
    stocked = a_ledger(pizza=10)
    stocked.takes(an_order("o-1", quantity=3))
    stock = PartitionStock.from_state(stocked.ledger.state())
    assert (stock.remaining, stock.added, stock.next_offset) == ({"pizza": 7}, {"pizza": 10}, 2)


@pytest.mark.parametrize("state", [b"", b"\xc0", StockLedger(0, 4).state()[:-1]])
def test_what_no_ledger_has_written_is_no_stock(state):
    with pytest.raises(ValueError):
        PartitionStock.from_state(state)


# The history


def test_what_was_accepted_while_the_history_was_read_is_newer_than_it():
    book, history = OrderBook(orders_max=10), ABook()
    history.reserves("old")
    book.accepted(an_order("new"), P)
    assert book.order("new").status == "accepted"
    book.begin(history.book._window, {})
    assert [view.order_id for view in book.latest(limit=9)] == ["new", "old"]


def test_what_the_history_decides_is_told_to_those_who_wait_for_it():
    book, history, told = OrderBook(orders_max=10), ABook(), []
    history.reserves("old")
    book.when_decided("old", told.append)
    book.begin(history.book._window, {})
    assert [view.status for view in told] == ["reserved"]


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
def test_what_one_partition_does_not_need_of_its_share_the_others_get(ends, last):
    spans = last_records(spans_of(**ends), 100)
    assert {tp.topic: span.end - span.start for tp, span in spans.items()} == last
    assert all(span.end == ends[tp.topic] for tp, span in spans.items())


# Waiting for an outcome


def test_who_waits_is_told_once_when_it_is_decided(a):
    told = []
    a.book.when_decided("o-1", told.append)
    a.book.accepted(an_order("o-1"), P)
    assert told == []
    a.reserves()
    a.releases()
    assert [view.status for view in told] == ["reserved"]


def test_of_what_is_decided_one_is_told_at_once(a):
    told = []
    a.fails()
    a.book.when_decided("o-1", told.append)()
    assert [view.status for view in told] == ["failed"]


def test_a_wish_that_was_taken_back_is_not_granted(a):
    told = []
    take_back = a.book.when_decided("o-1", told.append)
    a.book.when_decided("o-1", told.append)
    take_back()
    take_back()
    a.reserves()
    assert len(told) == 1


def test_an_exception_in_one_who_is_told_hurts_nobody_else_and_is_logged(a, caplog):
    told = []

    def throws(view):
        raise ValueError("the soup is cold")

    a.book.when_decided("o-1", throws)
    a.book.when_decided("o-1", told.append)
    with caplog.at_level(logging.ERROR):
        a.reserves()
    assert len(told) == 1
    assert "the soup is cold" in caplog.text


def test_who_is_told_may_ask_the_book(a):
    told = []
    a.book.when_decided("o-1", lambda view: told.append(a.book.order(view.order_id)))
    a.reserves()
    assert [view.status for view in told] == ["reserved"]


def test_there_is_room_for_so_many_wishes_and_what_is_taken_back_or_granted_makes_room(a):
    told = []
    take_back = [a.book.when_decided(f"o-{n}", told.append) for n in range(WISHES_MAX)]
    a.book.when_decided("late", told.append)
    a.reserves("late")
    assert told == []
    take_back[0]()
    a.book.when_decided("o-x", told.append)
    a.reserves("o-1")
    a.book.when_decided("o-y", told.append)
    a.reserves("o-x")
    a.reserves("o-y")
    assert [view.order_id for view in told] == ["o-1", "o-x", "o-y"]


def test_any_thread_may_ask_while_one_writes():
    a, broken = ABook(orders_max=500), []
    done = threading.Event()

    def ask():
        while not done.is_set():
            for view in a.book.latest(user_id="ana", limit=50):
                seen = a.book.order(view.order_id)
                if seen is not None and seen.status == "accepted" and view.status != "accepted":
                    broken.append(view)
            a.book.when_decided("never", broken.append)()
            a.book.accepted(an_order("asked"), P)
            a.book.window(), a.book.stock()

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for n in range(2000):
        a.places(an_order(f"o-{n}"), offset=n)
        a.reserves(f"o-{n}")
    done.set()
    for asker in askers:
        asker.join()
    assert broken == []
    assert a.book.order("o-1999").status == "reserved"
