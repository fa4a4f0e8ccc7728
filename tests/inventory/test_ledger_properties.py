"""For any records: stock adds up, every record has its entry, and deciding again gives the same bytes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from campus.analytics.metrics import OrderMetrics
from campus.book.stock_levels import StockLevels
from campus.domain.codec import decode_input, encode
from campus.domain.events import (
    CancelRejected,
    InventoryFailed,
    InventoryReserved,
    ReservationReleased,
    StockChanged,
)
from campus.inventory.ledger import ORIGIN_TIME_HEADER, StockLedger
from tests.builders import (
    APPENDED_AT_MS,
    PARTITIONS,
    ALedger,
    ARecord,
    a_cancel,
    a_claim,
    a_restock,
    an_opening,
    an_order,
)

HERE, ELSEWHERE = ("pizza", "calzone"), ("burger", "focaccia")
KINDS = [a_cancel] * 3 + [an_order] * 5 + [a_restock, an_opening]
SENT_ELSEWHERE = 9  # of ten


def an_event(make, number, where, quantity):
    """Events with the same number mostly have the same item, so that ids repeat."""
    item = ELSEWHERE[number % 2] if where == SENT_ELSEWHERE else HERE[(number + where // 7) % 2]
    name = () if make is an_opening else (f"id-{number}",)
    amount = () if make is a_cancel else (quantity,)
    return encode(make(*name, item, *amount))


events = st.builds(
    an_event, st.sampled_from(KINDS), st.integers(0, 7), st.integers(0, SENT_ELSEWHERE), st.integers(1, 5)
)
rubbish = st.none() | st.binary(max_size=40) | st.sampled_from([b"{}", b'{"event_type":"OrderPlaced"}'])
sent_on = st.integers(APPENDED_AT_MS - 5, APPENDED_AT_MS + 70).map(str)


def now_and_then(rare, usual):
    return st.integers(0, 9).flatmap(lambda n: rare if n == 9 else usual)


inputs = now_and_then(rubbish, events)
origin_times = now_and_then(sent_on, st.none())


@st.composite
def input_logs(draw):
    """Mostly after an opening stock."""
    opened = [encode(an_opening(item, 12)) for item in HERE[: draw(st.sampled_from([2, 2, 1, 0]))]]
    records = []
    for offset, value in enumerate(opened + draw(st.lists(inputs, min_size=10, max_size=60))):
        origin = draw(origin_times)
        headers = ((ORIGIN_TIME_HEADER, origin.encode()),) if origin else ()
        records.append(ARecord(offset, value, timestamp=APPENDED_AT_MS + offset, headers=headers))
    return records


def decided(records, window_orders=100):
    ledger = ALedger("pizza")
    ledger.ledger.apply(a_claim(window_orders=window_orders))
    ledger.takes(*records)
    return ledger


@given(input_logs(), st.integers(1, 40))
def test_stock_adds_up_and_is_never_negative(records, window_orders):
    ledger = decided(records, window_orders)
    added, reserved = Counter(), Counter()
    for entry in ledger.entries:
        if isinstance(entry, StockChanged):
            added[entry.item] += entry.quantity
        elif isinstance(entry, InventoryReserved):
            reserved[entry.item] += entry.quantity
        elif isinstance(entry, ReservationReleased):
            reserved[entry.item] -= entry.quantity
        else:
            continue
        assert entry.remaining == added[entry.item] - reserved[entry.item] >= 0
        assert reserved[entry.item] >= 0
    assert ledger.ledger.added == dict(added)
    assert ledger.ledger.stock == {item: added[item] - reserved[item] for item in added}


class TheWindow:
    """A model of the window: a plain list of the decisions, the newest last."""

    def __init__(self, orders):
        self.orders, self.decided = orders, []

    def fate(self, name):
        return next((fate for known, fate in self.decided[-self.orders :] if known == name), None)

    def decide(self, name, fate):
        self.decided.append((name, fate))

    def cancel(self, name):
        at = max(n for n, (known, _) in enumerate(self.decided) if known == name)
        self.decided[at] = name, (*self.decided[at][1], "gone")


@given(input_logs(), st.integers(1, 40))
def test_the_outcome_of_a_cancel_follows_from_what_became_of_its_order(records, window_orders):
    ledger, window = decided(records, window_orders), TheWindow(window_orders)
    for record, entry in zip(records, ledger.entries, strict=True):
        if isinstance(entry, InventoryReserved):
            window.decide(entry.order_id, (entry.item, entry.quantity))
        elif isinstance(entry, InventoryFailed):
            window.decide(entry.order_id, ())
        elif isinstance(entry, StockChanged) and entry.reason == "restock":
            window.decide(("restock", entry.event_id), ())
        elif isinstance(entry, ReservationReleased | CancelRejected):
            cancel = decode_input(record.value)
            assert (entry.order_id, entry.item) == (cancel.order_id, cancel.item)
            fate = window.fate(cancel.order_id)
            if isinstance(entry, ReservationReleased):
                assert fate == (cancel.item, entry.quantity)
                window.cancel(cancel.order_id)
            else:
                assert entry.reason == why_not(fate, cancel.item)


def why_not(fate, item):
    if fate == ():
        return "not_reserved"
    if fate is None or fate[0] != item:
        return "unknown_order"
    assert fate[2:] == ("gone",)
    return "already_cancelled"


@given(input_logs())
def test_within_the_window_no_order_is_released_twice_or_reserved_after_its_release(records):
    entries = decided(records).entries
    reserved = [e.order_id for e in entries if isinstance(e, InventoryReserved)]
    released = [e.order_id for e in entries if isinstance(e, ReservationReleased)]
    assert len(reserved) == len(set(reserved))
    assert len(released) == len(set(released))
    assert set(released) <= set(reserved)


@given(input_logs(), st.integers(1, 40))
def test_every_record_has_its_own_entry(records, window_orders):
    entries = decided(records, window_orders).entries
    assert [(entry.seq, entry.source_offset) for entry in entries] == [
        (offset + 1, offset) for offset in range(len(records))
    ]


@given(input_logs(), st.integers(1, 40))
def test_deciding_again_gives_the_same_bytes(records, window_orders):
    first, again = decided(records, window_orders), decided(records, window_orders)
    assert [*map(encode, first.entries)] == [*map(encode, again.entries)]
    assert first.side_outputs == again.side_outputs


@given(input_logs(), st.integers(1, 40), st.integers(0, 60))
def test_a_ledger_restored_from_its_entries_decides_like_the_first_one(records, window_orders, cut):
    whole = decided(records, window_orders)
    restored = ALedger("pizza")
    restored.ledger.apply(a_claim(window_orders=window_orders))
    for entry in whole.entries[:cut]:
        restored.ledger.apply(entry)
    restored.takes(*records[cut:])
    assert [*map(encode, restored.entries)] == [*map(encode, whole.entries[cut:])]
    assert restored.ledger.state() == whole.ledger.state()


@given(input_logs(), st.integers(1, 40), st.integers(0, 60))
def test_a_ledger_restored_from_its_state_decides_like_the_first_one(records, window_orders, cut):
    whole, read = decided(records, window_orders), decided(records[:cut], window_orders)
    read.ledger = StockLedger.from_state(read.ledger.partition, PARTITIONS, read.ledger.state())
    read.takes(*records[cut:])
    assert [*map(encode, read.entries)] == [*map(encode, whole.entries)]
    assert read.ledger.state() == whole.ledger.state()


@given(input_logs(), st.integers(0, 60))
def test_stock_levels_equal_the_ledgers_from_whichever_state_they_start(records, cut):
    whole, levels = decided(records), StockLevels.from_state(decided(records[:cut]).ledger.state())
    for entry in whole.entries[cut:]:
        levels.apply(entry)
    assert (levels.remaining, levels.added) == (whole.ledger.stock, whole.ledger.added)


@given(input_logs())
def test_the_metrics_are_the_same_however_the_entries_are_cut_into_parts(records):
    entries = decided(records).entries
    whole = OrderMetrics()
    for entry in entries:
        whole.apply(entry)
    halves = [OrderMetrics(), OrderMetrics()]
    for entry in entries:
        halves[entry.seq % 2].apply(entry)
    halves[0].add(halves[1])
    assert halves[0] == whole


@given(st.binary(max_size=200))
def test_every_value_is_decided_whatever_its_bytes(value):
    ledger = StockLedger(0, PARTITIONS)
    entry, _ = ledger.decide(ARecord(0, value))
    ledger.apply(entry)
    assert ledger.next_offset == 1
