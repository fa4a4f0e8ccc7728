"""Finding orders: listings with filters, and the ids that idempotency keys made."""

import pytest

from campus.book.order_window import EXAMINED_MAX, PlacedRecord
from campus.domain.order_ids import key_part, keyed_order_id, keyed_restock_id
from tests.book.written_book import AT, P, WrittenBook
from tests.builders import an_order


@pytest.fixture
def written():
    return WrittenBook()


# Listings


def test_a_listing_is_newest_first_and_limited(written):
    for n in range(5):
        written.book.accepted(an_order(f"o-{n}"), P)
    assert written.ids(limit=3) == ["o-4", "o-3", "o-2"]


def test_each_filter_works_alone_and_with_the_others(written):
    written.book.accepted(an_order("o-1", "pizza", user_id="ana"), P)
    written.book.accepted(an_order("o-2", "salad", user_id="ben"), P)
    written.book.accepted(an_order("o-3", "pizza", user_id="ben"), P)
    written.reserves("o-3", user_id="ben")
    assert written.ids(user_id="ben") == ["o-3", "o-2"]
    assert written.ids(item="pizza") == ["o-3", "o-1"]
    assert written.ids(status="accepted") == ["o-2", "o-1"]
    assert written.ids(user_id="ben", item="pizza", status="reserved") == ["o-3"]
    assert written.ids(user_id="ana", status="reserved") == []
    assert written.ids(user_id="nobody") == written.ids(item="soup") == written.ids(status="cancelled") == []


@pytest.mark.parametrize("orders_max", [1, 2, 7])
@pytest.mark.parametrize("seen", range(1, 23))
def test_listings_show_exactly_the_orders_in_the_window(orders_max, seen):
    written = WrittenBook(orders_max)
    for n in range(seen):
        written.book.accepted(an_order(f"o-{n}", ("pizza", "salad")[n % 2], user_id=f"user-{n % 3}"), P)
        if n % 4 == 0:
            written.reserves(f"o-{n}", ("pizza", "salad")[n % 2], user_id=f"user-{n % 3}")
    window = list(range(seen))[-orders_max:][::-1]
    assert written.book.window().orders == len(window)
    assert written.ids(limit=99) == [f"o-{n}" for n in window]
    assert written.ids(limit=99, status="reserved") == [f"o-{n}" for n in window if n % 4 == 0]
    assert written.ids(limit=99, user_id="user-1") == [f"o-{n}" for n in window if n % 3 == 1]
    assert written.ids(limit=99, item="salad", status="accepted") == [f"o-{n}" for n in window if n % 2]
    known = [n for n in range(seen) if written.book.order(f"o-{n}") is not None]
    assert known == sorted(window)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"user_id": "ana", "status": "cancelled"}, ["old"]),
        ({"user_id": "zoe", "item": "soup", "status": "accepted"}, ["o-1"]),
        ({"user_id": "zoe", "item": "pizza"}, []),
    ],
)
def test_a_rare_match_is_found_whatever_the_other_filters_and_however_old(filters, found):
    written = WrittenBook(4 * EXAMINED_MAX)
    written.book.accepted(an_order("o-1", "soup", user_id="zoe"), P)
    written.reserves("old", user_id="ana")
    written.releases("old")
    written.book.add_placed(
        PlacedRecord(an_order(f"n-{n}"), P, n, AT, False) for n in range(3 * EXAMINED_MAX)
    )
    assert written.ids(**filters) == found


def test_a_listing_examines_a_bounded_number_of_orders():
    written = WrittenBook(4 * EXAMINED_MAX)
    written.book.add_placed(
        PlacedRecord(an_order(f"a-{n}", "soup", user_id="zoe"), P, n, AT, False) for n in (1, 2)
    )
    for user, item in (("ana", "pizza"), ("zoe", "pizza"), ("ana", "soup")):
        orders = (an_order(f"{user}-{item}-{n}", item, user_id=user) for n in range(EXAMINED_MAX))
        written.book.add_placed(PlacedRecord(order, P, 0, AT, False) for order in orders)
    # As documented: an old match can be missed if each of two filters leaves many orders.
    assert written.ids(user_id="zoe", item="soup") == []


# Keys


def test_a_key_finds_its_order_while_the_window_has_it():
    written = WrittenBook(orders_max=2)
    first = keyed_order_id("key", user_id="ana", item="pizza", quantity=1)
    other = keyed_order_id("key", user_id="ana", item="pizza", quantity=2)
    key = key_part(first)
    assert written.book.id_of_key(key) is None
    written.book.accepted(an_order(first), P)
    written.book.accepted(an_order(other), P)
    assert written.book.id_of_key(key) == first
    written.book.accepted(an_order("o-1"), P)
    written.book.accepted(an_order("o-2"), P)
    assert written.book.id_of_key(key) is None


def test_a_key_finds_its_restock_among_the_last_orders_max_restocks():
    written = WrittenBook(orders_max=2)
    ids = [keyed_restock_id(key, item="tea", quantity=5) for key in ("monday", "tuesday", "friday")]
    for event_id in (*ids[:2], "opening", ids[1]):
        written.restocks(event_id)
    assert [written.book.id_of_key(key_part(one)) for one in ids] == [*ids[:2], None]
    written.restocks(ids[2])
    assert [written.book.id_of_key(key_part(one)) for one in ids] == [None, *ids[1:]]
