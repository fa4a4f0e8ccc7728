"""What the ledger decides, and that restoring is applying alone."""

import msgspec
import pytest

from campus.domain.codec import INPUT_BYTES_MAX, encode
from campus.domain.events import (
    QUANTITY_MAX,
    DuplicateIgnored,
    InventoryFailed,
    InventoryReserved,
    OrderDeadLettered,
    OrderRerouted,
    StockChanged,
)
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.inventory.ledger import (
    DEAD_LETTER_BYTES_MAX,
    ORIGIN_TIME_HEADER,
    DeadLetter,
    Reroute,
    StockLedger,
)
from tests.builders import (
    APPENDED_AT_MS,
    PARTITIONS,
    ALedger,
    ARecord,
    a_claim,
    a_ledger,
    a_restock,
    an_opening,
    an_order,
)


def test_the_last_pizza_is_sold_once():
    first, second = a_ledger(pizza=1).takes(an_order("A"), an_order("B"))
    assert isinstance(first, InventoryReserved)
    assert first.remaining == 0
    assert isinstance(second, InventoryFailed)
    assert second.reason == "insufficient_stock"
    assert second.remaining == 0


def test_an_order_for_more_than_the_stock_fails_and_takes_nothing():
    refused, taken = a_ledger(pizza=3).takes(an_order("A", quantity=4), an_order("B", quantity=3))
    assert refused.reason == "insufficient_stock"
    assert taken.remaining == 0


def test_an_item_that_was_never_in_stock_is_unknown():
    (entry,) = ALedger("unicorn").takes(an_order(item="unicorn"))
    assert isinstance(entry, InventoryFailed)
    assert (entry.reason, entry.remaining) == ("unknown_item", None)


def test_an_item_opened_with_nothing_is_known_and_sold_out():
    (entry,) = a_ledger(pizza=0).takes(an_order())
    assert (entry.reason, entry.remaining) == ("insufficient_stock", 0)


def test_an_order_id_is_decided_once():
    ledger = a_ledger(pizza=5)
    first, again, other_words = ledger.takes(
        an_order("A"), an_order("A"), an_order("A", quantity=3, user_id="bob")
    )
    assert isinstance(first, InventoryReserved)
    assert isinstance(again, DuplicateIgnored)
    assert isinstance(other_words, DuplicateIgnored)
    assert ledger.ledger.stock["pizza"] == 4


def test_a_failed_order_is_a_duplicate_when_it_is_repeated():
    _, again = a_ledger(pizza=0).takes(an_order("A"), an_order("A"))
    assert isinstance(again, DuplicateIgnored)


def test_opening_stock_counts_once_however_often_it_is_sent():
    first, again = ALedger().takes(an_opening(quantity=100), an_opening(quantity=50))
    assert isinstance(first, StockChanged)
    assert first.remaining == 100
    assert isinstance(again, DuplicateIgnored)


def test_opening_stock_is_remembered_beyond_any_window():
    ledger = a_ledger(pizza=100)
    ledger.ledger.apply(a_claim(window_orders=1))
    ledger.takes(*(an_order(f"o-{n}") for n in range(5)))
    (entry,) = ledger.takes(an_opening())
    assert isinstance(entry, DuplicateIgnored)


def test_a_restock_adds_and_counts_once():
    added, again = a_ledger(pizza=1).takes(a_restock("s", quantity=10), a_restock("s", quantity=10))
    assert added.remaining == 11
    assert isinstance(again, DuplicateIgnored)


def test_an_order_and_a_restock_may_share_an_id():
    order, restock = a_ledger(pizza=1).takes(an_order("same"), a_restock("same"))
    assert isinstance(order, InventoryReserved)
    assert isinstance(restock, StockChanged)


def test_every_record_gets_exactly_one_entry_with_the_next_seq_and_its_offset():
    ledger = a_ledger(pizza=1)
    ledger.takes(an_order("A"), b"rubbish", None, an_order("A"), an_order("B", item="burger"))
    assert [entry.seq for entry in ledger.entries] == [1, 2, 3, 4, 5, 6]
    assert [entry.source_offset for entry in ledger.entries] == [0, 1, 2, 3, 4, 5]


def test_an_order_of_another_partition_is_rerouted_with_its_origin():
    ledger = a_ledger(pizza=1)
    entry = ledger.takes(an_order("A", item="burger"))[0]
    home = item_partition("burger", PARTITIONS)
    assert isinstance(entry, OrderRerouted)
    assert (entry.rerouted_id, entry.to_partition) == ("A", home)
    (reroute,) = ledger.side_outputs
    assert isinstance(reroute, Reroute)
    assert (reroute.partition, reroute.key) == (home, b"burger")
    assert reroute.value == encode(an_order("A", item="burger"))
    assert (ORIGIN_TIME_HEADER, str(APPENDED_AT_MS).encode()) in reroute.headers


def rerouted(order, offset, first_appended_at_ms):
    header = (ORIGIN_TIME_HEADER, str(first_appended_at_ms).encode())
    return ARecord(offset, encode(order), timestamp=APPENDED_AT_MS + 60_000, headers=(header,))


def test_a_rerouted_order_older_than_the_window_fails_as_too_old():
    ledger = a_ledger(pizza=100)
    ledger.ledger.apply(a_claim(window_orders=2))
    ledger.takes(*(an_order(f"o-{n}") for n in range(3)))  # the first is forgotten
    offset = ledger.ledger.next_offset
    late, fresh = ledger.takes(
        rerouted(an_order("o-0"), offset, APPENDED_AT_MS),
        rerouted(an_order("new"), offset + 1, APPENDED_AT_MS + 1),
    )
    assert isinstance(late, InventoryFailed)
    assert late.reason == "too_old"
    assert isinstance(fresh, InventoryReserved)


def test_a_rerouted_copy_that_comes_200_000_decisions_late_is_not_decided_again():
    """As when the first copy was decided, its owner crashed, and a flood came before the second copy."""
    ledger = a_ledger(pizza=QUANTITY_MAX)
    first = rerouted(an_order("A"), ledger.ledger.next_offset, APPENDED_AT_MS)
    ledger.takes(first)
    for n in range(200_000):
        value = encode(an_order(f"flood-{n}"))
        ledger.takes(ARecord(ledger.ledger.next_offset, value, timestamp=APPENDED_AT_MS + 120_000 + n))
    assert not ledger.ledger.window.has_order("A")
    (late,) = ledger.takes(rerouted(an_order("A"), ledger.ledger.next_offset, APPENDED_AT_MS))
    assert late.reason == "too_old"
    assert late.remaining == QUANTITY_MAX - 200_001


def test_a_rerouted_order_within_the_window_is_a_duplicate():
    ledger = a_ledger(pizza=100)
    ledger.takes(an_order("A"))
    (entry,) = ledger.takes(rerouted(an_order("A"), ledger.ledger.next_offset, APPENDED_AT_MS))
    assert isinstance(entry, DuplicateIgnored)


@pytest.mark.parametrize("header", [None, b"", b"soon", b"-5", b"9" * 30])
def test_an_invalid_origin_time_header_is_ignored(header):
    ledger = a_ledger(pizza=1)
    record = ARecord(1, encode(an_order()), headers=((ORIGIN_TIME_HEADER, header),))
    assert isinstance(ledger.takes(record)[0], InventoryReserved)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "empty"),
        (b"", "empty"),
        (b"pizza please", "not_json"),
        (b'{"event_type":"OrderPlaced"', "not_json"),
        (b'{"event_type":"OrderPlaced","order_id":"\xff"}', "not_json"),
        (b'{"event_type":"OrderShipped"}', "unknown_type"),
        (b'{"event_type":7}', "unknown_type"),
        (b"[]", "wrong_shape"),
        (b"{}", "wrong_shape"),
        (b'{"event_type":"OrderPlaced"}', "wrong_shape"),
        (b" " * (INPUT_BYTES_MAX + 1), "too_large"),
        (b"[" * 50_000, "wrong_shape"),
    ],
)
def test_an_undecodable_record_becomes_a_dead_letter_and_the_next_one_is_decided(value, reason):
    ledger = a_ledger(pizza=1)
    dead, order = ledger.takes(value, an_order())
    assert isinstance(dead, OrderDeadLettered)
    assert dead.reason == reason
    assert isinstance(order, InventoryReserved)
    (letter,) = ledger.side_outputs
    assert isinstance(letter, DeadLetter)
    assert letter.value == (value and value[:DEAD_LETTER_BYTES_MAX])
    assert ("reason", reason.encode()) in letter.headers
    assert ("original-bytes", str(len(value or b"")).encode()) in letter.headers


@pytest.mark.parametrize("quantity", [0, -1, 1.5, 1.0, "1", True, None, 10**30, 1_000_001])
def test_an_order_whose_quantity_is_no_integer_within_the_limits_is_a_dead_letter(quantity):
    order = {"event_type": "OrderPlaced", "order_id": "A", "user_id": "ana", "item": "pizza"}
    (entry,) = a_ledger(pizza=1).takes(msgspec.json.encode({**order, "quantity": quantity}))
    assert isinstance(entry, OrderDeadLettered)
    assert entry.reason == "wrong_shape"


def test_the_longest_texts_still_fit_an_entry():
    text = "\N{SLICE OF PIZZA}" * 256
    ledger = ALedger(text)
    (entry,) = ledger.takes(an_order(text, item=text, user_id=text, placed_at=text))
    assert isinstance(entry, InventoryFailed)
    assert len(encode(entry)) < 8_192


@pytest.mark.parametrize("field", ["order_id", "user_id", "item", "placed_at"])
@pytest.mark.parametrize("text", ["", "x" * 257])
def test_an_order_with_an_empty_or_too_long_text_is_a_dead_letter(field, text):
    order = msgspec.to_builtins(an_order())
    (entry,) = a_ledger(pizza=1).takes(msgspec.json.encode({**order, field: text}))
    assert isinstance(entry, OrderDeadLettered)


def test_unknown_fields_are_ignored_and_the_last_of_two_equal_keys_wins():
    value = (
        b'{"event_type":"OrderPlaced","order_id":"A","user_id":"a","item":"pizza",'
        b'"quantity":5,"tip":1,"quantity":2}'
    )
    (entry,) = a_ledger(pizza=9).takes(value)
    assert isinstance(entry, InventoryReserved)
    assert (entry.quantity, entry.placed_at) == (2, None)


def test_decided_at_is_the_append_time_of_the_record():
    entry = a_ledger(pizza=1).takes(an_order())[0]
    assert entry.decided_at == iso_utc(APPENDED_AT_MS) == "2025-11-22T18:51:35.123Z"


def test_deciding_changes_nothing():
    ledger = a_ledger(pizza=1).ledger
    record = ARecord(1, encode(an_order()))
    assert ledger.decide(record) == ledger.decide(record)


def test_restoring_is_applying_alone():
    ledger = a_ledger(pizza=3)
    ledger.takes(an_order("A"), b"rubbish", an_order("A"), a_restock(), an_order("B", quantity=50))
    restored = StockLedger(ledger.ledger.partition, PARTITIONS)
    for entry in ledger.entries:
        restored.apply(entry)
    assert (restored.stock, restored.seq, restored.next_offset, restored.opened) == (
        ledger.ledger.stock,
        ledger.ledger.seq,
        ledger.ledger.next_offset,
        ledger.ledger.opened,
    )
    record = ARecord(restored.next_offset, encode(an_order("B")))
    assert restored.decide(record) == ledger.ledger.decide(record)


def test_applying_an_entry_with_the_wrong_seq_is_an_assertion_error():
    ledger = a_ledger(pizza=1)
    with pytest.raises(AssertionError, match="entry 1 after 1"):
        ledger.ledger.apply(ledger.entries[0])
