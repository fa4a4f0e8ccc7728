"""The rule of the journal: last claim, next seq; everything else is ignored and counted."""

from dataclasses import replace

from campus.domain.codec import encode
from campus.domain.events import OrderDeadLettered, OwnerClaimed
from campus.domain.journal import OWNER_HEADER, JournalRule, UnanchoredJournal
from tests.builders import ARecord, a_claim


def an_entry(seq):
    return OrderDeadLettered(seq=seq, source_offset=seq - 1, reason="empty", decided_at="2026")


def written(event, owner=None):
    headers = ((OWNER_HEADER, owner.encode()),) if owner else ()
    return ARecord(0, encode(event), headers=headers)


def counted(*records):
    rule = JournalRule()
    events = list(rule.counting(replace(record, offset=n) for n, record in enumerate(records)))
    return [event.seq for event in events if not isinstance(event, OwnerClaimed)], dict(rule.ignored)


def test_entries_of_the_owner_of_the_last_claim_count_in_order():
    seqs, ignored = counted(written(a_claim("a")), written(an_entry(1), "a"), written(an_entry(2), "a"))
    assert (seqs, ignored) == ([1, 2], {})


def test_before_any_claim_nothing_counts():
    assert counted(written(an_entry(1), "a")) == ([], {"old_owner": 1})


def test_entries_of_an_old_owner_are_ignored():
    records = [
        written(a_claim("old")),
        written(an_entry(1), "old"),
        written(a_claim("new")),
        written(an_entry(2), "old"),
        written(an_entry(2), "new"),
    ]
    assert counted(*records) == ([1, 2], {"old_owner": 1})


def test_an_entry_without_an_owner_header_is_ignored():
    assert counted(written(a_claim("a")), written(an_entry(1))) == ([], {"old_owner": 1})


def test_an_owner_header_without_a_value_is_no_owner():
    record = replace(written(an_entry(1)), headers=((OWNER_HEADER, None),))
    assert counted(written(a_claim("a")), record) == ([], {"old_owner": 1})


def test_a_claim_that_is_delivered_again_does_not_count_again():
    rule = JournalRule()
    claim, entry = written(a_claim("a")), replace(written(an_entry(1), "a"), offset=1)
    other = replace(written(a_claim("b")), offset=2)
    list(rule.counting([claim, entry, other]))
    assert list(rule.counting([claim, entry])) == []
    assert rule.owner == "b"


def test_a_batch_that_was_written_twice_counts_once():
    batch = [written(an_entry(1), "a"), written(an_entry(2), "a")]
    assert counted(written(a_claim("a")), *batch, *batch) == ([1, 2], {"repeat": 2})


def test_after_a_gap_no_entry_of_that_owner_counts_until_the_gap_is_filled_or_another_owner_claims():
    records = [
        written(a_claim("a")),
        written(an_entry(1), "a"),
        written(an_entry(3), "a"),
        written(an_entry(4), "a"),
        written(a_claim("b")),
        written(an_entry(2), "b"),
    ]
    assert counted(*records) == ([1, 2], {"after_gap": 2})


def test_undecodable_records_are_ignored():
    records = [
        ARecord(0, None),
        ARecord(1, b"hello"),
        ARecord(2, b'{"event_type":"OrderPlaced"}'),
        ARecord(3, b"[" * 100_000),
        written(a_claim("a")),
        written(an_entry(1), "a"),
    ]
    assert counted(*records) == ([1], {"unreadable": 4})


# From an offset where the last claim is not known


def unanchored(*records, last_seq=99):
    """The offsets and seqs that are yielded."""
    placed = (replace(record, offset=100 + n) for n, record in enumerate(records))
    return [(offset, event.seq) for offset, event in UnanchoredJournal(last_seq).entries(placed)]


def test_unanchored_entries_of_every_owner_are_yielded_until_one_claims():
    records = [written(an_entry(41), "a"), written(an_entry(42), "b"), written(an_entry(42), "a")]
    assert unanchored(*records) == [(100, 41), (101, 42), (102, 42)]


def test_unanchored_only_the_entries_of_the_last_claims_owner_are_yielded_after_it():
    records = [
        written(a_claim("a")),
        written(an_entry(41), "old"),
        written(an_entry(41), "a"),
        written(a_claim("b")),
        written(an_entry(42), "a"),
        written(an_entry(42), "b"),
    ]
    assert unanchored(*records) == [(102, 41), (105, 42)]


def test_unanchored_entries_beyond_the_last_seq_are_not_yielded():
    assert unanchored(written(an_entry(41), "a"), written(an_entry(42), "a"), last_seq=41) == [(100, 41)]


def test_unanchored_records_without_an_owner_and_undecodable_ones_are_not_yielded():
    records = [written(an_entry(41)), ARecord(0, None), ARecord(0, b"hello", headers=((OWNER_HEADER, b"a"),))]
    assert unanchored(*records) == []
