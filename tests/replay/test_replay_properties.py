"""For any records: a log that the ledger wrote is identical, and a change of any entry is found."""

import hashlib
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.analytics.metrics import OrderMetrics
from campus.domain.codec import encode
from campus.domain.events import JournalEvent, OrderCancelled, OwnerClaimed
from campus.inventory.ledger import ORIGIN_TIME_HEADER
from campus.replay.replayer import Replayer
from tests.audit.audited_logs import EventfulShop
from tests.builders import APPENDED_AT_MS, PARTITIONS, a_restock, an_opening, an_order
from tests.replay.replayed_log import ALog
from tests.simulation.memory_log import TOPICS

ITEMS = st.sampled_from(["pizza", "calzone", "burger"])
IDS = st.integers(0, 12).map("id-{}".format)
QUANTITIES = st.integers(1, 5)
CANCELS = st.builds(lambda order_id, item: OrderCancelled(order_id=order_id, item=item), IDS, ITEMS)
RUBBISH = st.none() | st.binary(max_size=40) | st.sampled_from([b"{}", b'{"event_type":"OrderPlaced"}'])
INPUTS = (
    st.builds(an_order, IDS, ITEMS, QUANTITIES)
    | st.builds(a_restock, IDS, ITEMS, QUANTITIES)
    | st.builds(an_opening, ITEMS, QUANTITIES)
    | CANCELS
    | RUBBISH
)
ORIGINS = st.none() | st.integers(APPENDED_AT_MS - 5, APPENDED_AT_MS + 40)


@st.composite
def logs(draw, least=0):
    """The logs of one partition: inputs of every kind, and sometimes another owner with another window."""
    log = ALog()
    for number in range(draw(st.integers(least, 40))):
        origin = draw(ORIGINS)
        headers = ((ORIGIN_TIME_HEADER, str(origin).encode()),) if origin else ()
        log.took(draw(INPUTS), headers=headers)
        if draw(st.integers(0, 9)) == 0:
            log.claimed(f"owner-{number}", window_orders=draw(st.integers(1, 20)))
    return log


@given(logs(least=1))
def test_a_log_that_the_ledger_wrote_is_identical(log):
    found = log.replayed()
    assert found.verdict == "identical", found.first_difference
    entries = [record.value for record in log.journal if not is_claim(record)]
    assert (found.compared, found.undecided) == (len(entries), 0)
    assert found.digest == hashlib.sha256(b"".join(value + b"\n" for value in entries)).hexdigest()
    assert found.metrics == log.analytics


@given(logs(least=1), st.data())
def test_a_journal_cut_at_any_record_is_identical_and_the_rest_undecided(log, data):
    end = data.draw(st.integers(0, len(log.journal)))
    decided = sum(not is_claim(record) for record in log.journal[:end])
    log.journal = log.journal[:end]
    log.analytics = OrderMetrics()
    for index in range(end):
        log.analytics.apply(msgspec.json.decode(log.journal[index].value, type=JournalEvent))
    found = log.replayed()
    assert found.verdict == ("identical" if decided else "empty"), found.first_difference
    assert (found.compared, found.undecided) == (decided, len(log.orders) - decided)


def is_claim(record):
    return b'"OwnerClaimed"' in record.value[:32]


def another(value):
    """Another value of the same type."""
    return value + 1 if isinstance(value, int) else "1999-01-01" if value != "1999-01-01" else "2000-01-01"


@given(logs(least=3), st.data())
def test_a_change_of_any_field_of_any_entry_is_found(log, data):
    """Except the seq of the last entry: with another seq it does not count, and its record is undecided."""
    entries = [index for index, record in enumerate(log.journal) if not is_claim(record)]
    index = data.draw(st.sampled_from(entries))
    entry = log.entry(index)
    kept = {"seq"} if index == entries[-1] else set()
    name = data.draw(st.sampled_from([name for name in entry if name not in kept]))
    seq = entry["seq"]
    found = log.changed(index, **{name: another(entry[name])}).replayed()
    assert found.verdict == "different"
    assert found.first_difference.seq == seq


@given(logs(least=2), st.data())
def test_a_change_of_any_byte_of_any_entry_is_found(log, data):
    entries = [index for index, record in enumerate(log.journal) if not is_claim(record)]
    index = data.draw(st.sampled_from(entries[:-1]))
    value, seq = bytearray(log.journal[index].value), log.entry(index)["seq"]
    at = data.draw(st.integers(0, len(value) - 1))
    value[at] ^= data.draw(st.integers(1, 255))
    found = log.rewritten(index, bytes(value)).replayed()
    assert found.verdict == "different"
    assert found.first_difference.seq == seq


@given(logs(least=2), st.data(), st.sampled_from(["lost", "of another owner", "twice", "of a stranger"]))
def test_a_lost_or_foreign_entry_is_found_and_a_repeated_one_is_no_difference(log, data, what):
    entries = [index for index, record in enumerate(log.journal) if not is_claim(record)]
    index = data.draw(st.sampled_from(entries[:-1]))
    seq, record = log.entry(index)["seq"], log.journal[index]
    put_in_place = {
        "lost": [],
        "of another owner": [replace(record, headers=(("owner", b"somebody else"),))],
        "of a stranger": [replace(record, headers=())],
        "twice": [record, record],
    }[what]
    log.journal[index : index + 1] = put_in_place
    log.journal = [replace(record, offset=offset) for offset, record in enumerate(log.journal)]
    found = log.replayed()
    if what == "twice":
        assert (found.verdict, found.ignored) == ("identical", {"repeat": 1})
    else:
        assert found.verdict == "different"
        assert found.first_difference.seq == seq


@pytest.mark.parametrize("seeds", [range(first, first + 25) for first in range(0, 100, 25)], ids=str)
def test_logs_written_through_crashes_and_takeovers_are_identical(seeds):
    for seed in seeds:
        log = EventfulShop(seed).history()
        replayer = Replayer(PARTITIONS)
        for partition in range(PARTITIONS):
            orders = log.at(TOPICS.orders_topic, partition)
            journal = log.at(TOPICS.journal_topic, partition)
            metrics = OrderMetrics()
            for event in log.counting(partition):
                metrics.apply(event)
            replayer.partition(partition, journal, orders, inputs_end=len(orders), analytics=metrics)
        found = replayer.finish()
        counting = [event for p in range(PARTITIONS) for event in log.counting(p)]
        entries = [encode(event) + b"\n" for event in counting if not isinstance(event, OwnerClaimed)]
        assert found.verdict == "identical", f"seed {seed}: {found.first_difference}"
        assert (found.compared, found.undecided) == (len(entries), 0), f"seed {seed}"
        assert found.digest == hashlib.sha256(b"".join(entries)).hexdigest(), f"seed {seed}"
