"""Whatever comes in: stock adds up, every record has its entry, and deciding again gives the same bytes."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from campus.domain.codec import encode
from campus.domain.events import InventoryReserved, StockChanged
from campus.domain.ledger import ORIGIN_TIME_HEADER, StockLedger
from campus.domain.metrics import OrderMetrics
from tests.builders import (
    APPENDED_AT_MS,
    PARTITIONS,
    ALedger,
    ARecord,
    a_claim,
    a_restock,
    an_opening,
    an_order,
)

ITEMS = st.sampled_from(["pizza", "calzone", "burger", "focaccia"])
IDS = st.integers(0, 30).map("id-{}".format)
QUANTITIES = st.integers(1, 5)

orders = st.builds(an_order, IDS, ITEMS, QUANTITIES).map(encode)
restocks = st.builds(a_restock, IDS, ITEMS, QUANTITIES).map(encode)
openings = st.builds(an_opening, ITEMS, QUANTITIES).map(encode)
rubbish = st.none() | st.binary(max_size=40) | st.sampled_from([b"{}", b'{"event_type":"OrderPlaced"}'])
origin_times = st.none() | st.integers(APPENDED_AT_MS - 5, APPENDED_AT_MS + 70).map(str)


@st.composite
def input_logs(draw):
    values = draw(st.lists(orders | restocks | openings | rubbish, max_size=60))
    records = []
    for offset, value in enumerate(values):
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
    expected = Counter()
    for entry in ledger.entries:
        if isinstance(entry, StockChanged):
            expected[entry.item] += entry.quantity
        elif isinstance(entry, InventoryReserved):
            expected[entry.item] -= entry.quantity
            assert entry.remaining == expected[entry.item] >= 0
    assert ledger.ledger.stock == dict(expected)


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
def test_a_restored_ledger_goes_on_as_the_first_one_would_have(records, window_orders, cut):
    whole = decided(records, window_orders)
    restored = ALedger("pizza")
    restored.ledger.apply(a_claim(window_orders=window_orders))
    for entry in whole.entries[:cut]:
        restored.ledger.apply(entry)
    restored.takes(*records[cut:])
    assert [*map(encode, restored.entries)] == [*map(encode, whole.entries[cut:])]


@given(input_logs())
def test_no_order_is_reserved_twice_within_the_window(records):
    reserved = [e.order_id for e in decided(records).entries if isinstance(e, InventoryReserved)]
    assert len(reserved) == len(set(reserved))


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
def test_no_bytes_can_stop_the_ledger(value):
    ledger = StockLedger(0, PARTITIONS)
    entry, _ = ledger.decide(ARecord(0, value))
    ledger.apply(entry)
    assert ledger.next_offset == 1
