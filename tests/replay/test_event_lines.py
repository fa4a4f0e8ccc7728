"""The line of text that describes an event."""

import pytest

from campus.domain.codec import Undecodable
from campus.domain.events import OrderCancelled
from campus.domain.partitions import item_partition
from campus.replay.event_lines import describe
from tests.builders import PARTITIONS, a_claim, a_ledger, a_restock, an_opening, an_order

STRANGER = next(f"dish-{n}" for n in range(99) if item_partition(f"dish-{n}", PARTITIONS) == 0)


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (an_order("A", quantity=2), "ana orders 2 × pizza (A)"),
        (OrderCancelled(order_id="A", item="pizza"), "pizza is cancelled (A)"),
        (an_opening(quantity=5), "5 × pizza as opening stock"),
        (a_restock("s-1", quantity=5), "5 × pizza arrive (s-1)"),
        (Undecodable("not_json", "…"), "a record that fits no event (not_json)"),
    ],
)
def test_descriptions_of_inputs(event, line):
    assert describe(event) == line


def test_descriptions_of_journal_events():
    ledger = a_ledger(pizza=5)
    cancel = OrderCancelled(order_id="A", item="pizza")
    ledger.takes(an_order("A", quantity=2), an_order("A"), an_order("B", quantity=9), cancel, cancel)
    ledger.takes(a_restock(), b"rubbish", an_order("C", STRANGER))
    assert [describe(event) for event in [a_claim("owner-7"), *ledger.entries]] == [
        "  → owner owner-7 takes over",
        "  → stock opening 5 × pizza; 5 left",
        "  → reserved 2 × pizza for ana (A); 3 left",
        "  → pizza again, ignored (A)",
        "  → failed 9 × pizza: insufficient_stock (B); 3 left",
        "  → released 2 × pizza (A); 5 left",
        "  → pizza not cancelled: already_cancelled (A); 5 left",
        "  → stock restock 10 × pizza; 15 left",
        "  → dead letter: not_json",
        f"  → {STRANGER} is sent on to partition 0 (C)",
    ]


def test_an_item_that_was_never_in_stock_is_described_so():
    (entry,) = a_ledger(pizza=5).takes(an_order("A", "calzone"))
    assert describe(entry) == "  → failed 1 × calzone: unknown_item (A); never in stock"
