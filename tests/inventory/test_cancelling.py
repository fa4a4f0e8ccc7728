"""Cancelling an order: its reservation is released once; any other cancel is rejected with a reason."""

import msgspec
import pytest

from campus.book.stock_levels import StockLevels
from campus.domain.codec import encode
from campus.domain.events import (
    QUANTITY_MAX,
    CancelRejected,
    DuplicateIgnored,
    InventoryReserved,
    OrderCancelled,
    OrderDeadLettered,
    OrderRerouted,
    ReservationReleased,
)
from campus.domain.partitions import item_partition
from campus.inventory.dedupe_window import (
    WINDOW_ORDER_BYTES,
    WINDOW_ORDERS_DEFAULT,
    DedupeWindow,
    Reservation,
)
from campus.inventory.ledger import LedgerState, Reroute, StockLedger
from tests.builders import (
    PARTITIONS,
    ALedger,
    ARecord,
    a_cancel,
    a_claim,
    a_ledger,
    a_restock,
    an_opening,
    an_order,
)

OTHER = next(  # an item of pizza's partition
    f"pizza-{n}"
    for n in range(100)
    if item_partition(f"pizza-{n}", PARTITIONS) == item_partition("pizza", PARTITIONS)
)


def why_not(entry):
    assert isinstance(entry, CancelRejected)
    return entry.reason


def restored(ledger):
    """The same ledger, restored from its state."""
    again = ALedger()
    again.ledger = StockLedger.from_state(ledger.ledger.partition, PARTITIONS, ledger.ledger.state())
    return again


def test_cancelling_an_order_releases_what_it_had_reserved():
    _, entry = a_ledger(pizza=5).takes(an_order("A", quantity=3), a_cancel("A"))
    assert isinstance(entry, ReservationReleased)
    assert (entry.order_id, entry.item, entry.quantity, entry.remaining) == ("A", "pizza", 3, 5)
    assert (entry.seq, entry.source_offset) == (3, 2)


def test_released_stock_can_be_reserved_again():
    *_, entry = a_ledger(pizza=1).takes(an_order("A"), a_cancel("A"), an_order("B"))
    assert isinstance(entry, InventoryReserved)
    assert entry.remaining == 0


def test_repeated_cancels_release_an_order_once():
    ledger = a_ledger(pizza=5)
    _, first, second, third = ledger.takes(an_order("A"), a_cancel("A"), a_cancel("A"), a_cancel("A"))
    assert isinstance(first, ReservationReleased)
    assert why_not(second) == why_not(third) == "already_cancelled"
    assert second.remaining == 5
    assert ledger.ledger.stock == {"pizza": 5}


def test_an_order_that_is_repeated_after_it_was_cancelled_is_not_reserved_again():
    *_, again, cancelled_again = a_ledger(pizza=5).takes(
        an_order("A"), a_cancel("A"), an_order("A"), a_cancel("A")
    )
    assert isinstance(again, DuplicateIgnored)
    assert why_not(cancelled_again) == "already_cancelled"


def test_cancelling_a_failed_order_is_rejected_as_not_reserved():
    _, entry = a_ledger(pizza=1).takes(an_order("A", quantity=2), a_cancel("A"))
    assert (why_not(entry), entry.remaining) == ("not_reserved", 1)


def test_a_cancel_before_its_order_is_rejected_and_does_not_affect_the_order():
    early, order, late = a_ledger(pizza=1).takes(a_cancel("A"), an_order("A"), a_cancel("A"))
    assert why_not(early) == "unknown_order"
    assert isinstance(order, InventoryReserved)
    assert isinstance(late, ReservationReleased)


def test_the_id_of_a_restock_is_not_taken_for_an_order():
    _, entry = a_ledger(pizza=1).takes(a_restock("same"), a_cancel("same"))
    assert why_not(entry) == "unknown_order"


def test_a_cancel_for_an_item_that_was_never_in_stock_has_remaining_null():
    ledger = a_ledger(pizza=1)
    _, entry = ledger.takes(an_order("A"), a_cancel("A", item=OTHER))
    assert (why_not(entry), entry.remaining) == ("unknown_order", None)
    assert OTHER not in ledger.ledger.stock


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_cancel_that_names_another_item_releases_nothing(is_restored):
    ledger = a_ledger(**{"pizza": 5, OTHER: 5})
    ledger.takes(an_order("A", "pizza", 2), an_order("B", OTHER, 3))
    if is_restored:
        ledger = restored(ledger)
    wrong, right, other = ledger.takes(a_cancel("A", OTHER), a_cancel("A", "pizza"), a_cancel("B", OTHER))
    assert (why_not(wrong), wrong.remaining) == ("unknown_order", 2)
    assert (right.item, right.quantity, right.remaining) == ("pizza", 2, 5)
    assert (other.item, other.quantity, other.remaining) == (OTHER, 3, 5)
    (again,) = ledger.takes(a_cancel("A", OTHER))
    assert why_not(again) == "unknown_order"


def test_a_cancel_for_an_item_of_another_partition_is_rerouted():
    ledger = a_ledger(pizza=1)
    (entry,) = ledger.takes(a_cancel("A", "burger"))
    assert isinstance(entry, OrderRerouted)
    assert (entry.rerouted_type, entry.rerouted_id) == ("OrderCancelled", "A")
    (reroute,) = ledger.side_outputs
    assert isinstance(reroute, Reroute)
    assert (reroute.partition, reroute.key) == (item_partition("burger", PARTITIONS), b"burger")
    assert reroute.value == encode(a_cancel("A", "burger"))


@pytest.mark.parametrize("field", ["order_id", "item"])
@pytest.mark.parametrize("text", [None, "", "x" * 257, 7])
def test_a_cancel_of_the_wrong_shape_is_a_dead_letter(field, text):
    value = msgspec.json.encode({**msgspec.to_builtins(a_cancel()), field: text})
    (entry,) = a_ledger(pizza=1).takes(value)
    assert isinstance(entry, OrderDeadLettered)
    assert entry.reason == "wrong_shape"


def test_the_longest_texts_still_fit_the_entries_of_a_cancel():
    text = "\N{SLICE OF PIZZA}" * 256
    *_, gone, twice = ALedger(text).takes(
        an_opening(text, QUANTITY_MAX),
        an_order(text, text, QUANTITY_MAX),
        a_cancel(text, text),
        a_cancel(text, text),
    )
    assert (gone.quantity, gone.remaining) == (QUANTITY_MAX, QUANTITY_MAX)
    assert why_not(twice) == "already_cancelled"
    assert max(len(encode(gone)), len(encode(twice))) < 8_192


# The window


def test_an_order_that_the_window_has_forgotten_cannot_be_cancelled():
    ledger = a_ledger(pizza=9)
    ledger.ledger.apply(a_claim(window_orders=2))
    ledger.takes(an_order("A"), an_order("B"), an_order("C"))
    forgotten, known = ledger.takes(a_cancel("A"), a_cancel("B"))
    assert why_not(forgotten) == "unknown_order"
    assert isinstance(known, ReservationReleased)


def test_cancelling_an_order_does_not_change_when_the_window_forgets_it():
    ledger = a_ledger(pizza=9)
    ledger.ledger.apply(a_claim(window_orders=2))
    ledger.takes(an_order("A"), an_order("B"), a_cancel("A"))
    assert ledger.ledger.window.has_order("B")
    ledger.takes(an_order("C"))
    assert not ledger.ledger.window.has_order("A")
    assert ledger.ledger.window.has_order("B")


def test_an_order_that_other_rules_decided_twice_leaves_a_window_that_can_be_serialized():
    ledger = a_ledger(pizza=9).ledger
    ledger.apply(a_claim(window_orders=2))
    for seq, order_id in enumerate(["A", "A", "B", "C"], start=2):
        entry, _ = a_ledger(pizza=9).ledger.decide(ARecord(seq, encode(an_order(order_id))))
        ledger.apply(msgspec.structs.replace(entry, seq=seq))
    again = StockLedger.from_state(ledger.partition, PARTITIONS, ledger.state())
    assert again.state() == ledger.state()
    assert len(again.window) == 2


def test_a_release_by_other_rules_of_an_unknown_order_changes_only_the_stock():
    ledger = a_ledger(pizza=9).ledger
    released = ReservationReleased(
        seq=2,
        source_offset=1,
        order_id="A",
        item="pizza",
        quantity=1,
        remaining=10,
        decided_at="2026-01-01T00:00:00.000Z",
    )
    ledger.apply(released)
    assert ledger.stock == {"pizza": 10}
    assert not ledger.window.has_order("A")


def test_the_largest_quantity_does_not_run_into_the_item_number_of_a_fate():
    window = DedupeWindow(10)
    window.remember_reserved("A", 1, item_number=0, quantity=QUANTITY_MAX)
    window.remember_reserved("B", 2, item_number=1_000_000, quantity=1)
    window.remember_failed("C", 3)
    window.remember_cancelled("B")
    again = DedupeWindow.from_state(window.state())
    assert again.reservation("A") == Reservation(0, QUANTITY_MAX, is_cancelled=False)
    assert again.reservation("B") == Reservation(1_000_000, 1, is_cancelled=True)
    assert again.reservation("C") is None
    assert again.has_order("C")


def test_a_full_window_serializes_within_its_byte_limit():
    window = DedupeWindow(5_000)
    for n in range(5_000):
        # Hardly compressible.
        window.remember_reserved(f"o-{n}", n * 0x9E3779B97F4A7C15 % 2**63, n * 7919, 1 + n * 104_729 % 10**6)
    written = msgspec.msgpack.encode(window.state())
    assert len(written) <= 1.01 * 5_000 * WINDOW_ORDER_BYTES


# The state


def test_a_cancelled_order_is_still_cancelled_after_a_restore():
    ledger = a_ledger(pizza=5)
    ledger.takes(an_order("A", quantity=2), an_order("B", quantity=2), an_order("C", quantity=9))
    ledger.takes(a_cancel("A"))
    a, b, c = restored(ledger).takes(a_cancel("A"), a_cancel("B"), a_cancel("C"))
    assert (why_not(a), why_not(c)) == ("already_cancelled", "not_reserved")
    assert (b.quantity, b.remaining) == (2, 5)


def with_window(ledger, **fields):
    state = msgspec.msgpack.decode(ledger.ledger.state(), type=LedgerState)
    window = msgspec.structs.replace(state.window, **fields)
    return msgspec.msgpack.encode(msgspec.structs.replace(state, window=window))


def test_an_invalid_state_is_refused():
    ledger = a_ledger(pizza=5)
    ledger.takes(an_order("A"), an_order("B"))
    window = ledger.ledger.window.state()
    for wrong in (
        with_window(ledger, hashes=window.hashes[:8]),
        with_window(ledger, hashes=window.hashes[:8] * 2),
        with_window(ledger, fates=DedupeWindow(1).state().fates),
        with_window(ledger, fates=b"rubbish"),
    ):
        with pytest.raises(ValueError, match=r"."):
            StockLedger.from_state(ledger.ledger.partition, PARTITIONS, wrong)


def test_a_state_of_the_format_before_cancellations_is_refused():
    class OldWindow(msgspec.Struct):
        size_max: int
        horizon_ms: int
        hashes: bytes
        times: bytes

    class OldState(msgspec.Struct):
        partitions: int
        seq: int
        next_offset: int
        stock: dict[str, int]
        opened: list[str]
        window: OldWindow

    now = DedupeWindow(WINDOW_ORDERS_DEFAULT).state()
    old = OldWindow(now.size_max, now.horizon_ms, now.hashes, now.times)
    state = msgspec.msgpack.encode(OldState(PARTITIONS, 1, 1, {"pizza": 1}, ["pizza"], old))
    with pytest.raises(ValueError, match="missing required field"):
        StockLedger.from_state(0, PARTITIONS, state)
    with pytest.raises(ValueError, match="missing required field"):
        StockLevels.from_state(state)


# Stock levels


def test_stock_levels_give_the_reserved_quantity_as_added_less_remaining():
    ledger = a_ledger(pizza=5)
    ledger.takes(an_order("A", quantity=2), an_order("B", quantity=3), a_restock(quantity=4), a_cancel("A"))
    assert (ledger.ledger.stock, ledger.ledger.added) == ({"pizza": 6}, {"pizza": 9})
    levels = StockLevels({}, {}, 0)
    for entry in ledger.entries:
        levels.apply(entry)
    assert (levels.remaining, levels.added) == ({"pizza": 6}, {"pizza": 9})


def test_stock_levels_can_be_read_from_the_state_of_a_ledger_and_from_their_own():
    ledger = a_ledger(pizza=5)
    ledger.takes(an_order("A", quantity=2))
    levels = StockLevels.from_state(ledger.ledger.state())
    assert (levels.remaining, levels.added) == ({"pizza": 3}, {"pizza": 5})
    again = StockLevels.from_state(levels.state())
    (released,) = ledger.takes(a_cancel("A"))
    again.apply(released)
    assert (again.remaining, again.added) == ({"pizza": 5}, {"pizza": 5})


def test_stock_levels_refuse_an_invalid_state():
    with pytest.raises(ValueError, match=r"."):
        StockLevels.from_state(b"rubbish")


def test_an_order_cancelled_event_has_only_the_order_id_and_the_item():
    value = b'{"event_type":"OrderCancelled","order_id":"A","item":"pizza","why":"rain"}'
    _, entry = a_ledger(pizza=1).takes(an_order("A"), value)
    assert isinstance(entry, ReservationReleased)
    assert encode(OrderCancelled(order_id="A", item="pizza")) == value.replace(b',"why":"rain"', b"")
