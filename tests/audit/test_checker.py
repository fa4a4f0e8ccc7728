"""What the audit reports and what it does not; how the command shows it."""

import json
import tracemalloc
from collections import Counter
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.audit.checker import Audit
from campus.audit.findings import VIOLATIONS_LISTED_MAX, Findings, Totals, ViolationKind
from campus.audit.memory import DecidedIds
from campus.commands.audit import as_json, as_text
from campus.domain.codec import decode_journal, encode
from campus.domain.events import Event, Input, OrderDeadLettered, ReservationReleased
from campus.domain.journal import OWNER_HEADER
from campus.inventory.ledger import DeadLetter, Reroute
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


class Logs:
    """The logs of one partition, decided by a real ledger, without any fault."""

    def __init__(self, item: str = "pizza", window_orders: int = 100, **stock: int) -> None:
        self.ledger = ALedger(item)
        self.partition = self.ledger.ledger.partition
        self.orders: list[ARecord] = []
        self.journal: list[ARecord] = []
        self.letters: list[ARecord] = []
        self.reroutes: list[tuple[int, ARecord]] = []
        self.claims("owner-1", window_orders)
        for name, quantity in stock.items():
            self.takes(an_opening(name, quantity))

    def claims(self, owner: str, window_orders: int = 100) -> "Logs":
        self.owner, claim = owner, a_claim(owner, window_orders)
        self.ledger.ledger.apply(claim)
        return self.writes(claim, owner="")

    def takes(self, *inputs: Input | bytes | ARecord | None) -> "Logs":
        for one in inputs:
            self.is_sent(one)
            entry, side_output = self.ledger.ledger.decide(self.orders[-1])
            self.ledger.ledger.apply(entry)
            self.writes(entry)
            if isinstance(side_output, DeadLetter):
                self.letters.append(ARecord(0, side_output.value, headers=side_output.headers))
            elif isinstance(side_output, Reroute):
                record = ARecord(0, side_output.value, headers=side_output.headers)
                self.reroutes.append((side_output.partition, record))
        return self

    def is_sent(self, one: Input | bytes | ARecord | None) -> "Logs":
        """Appended to order-events, but not decided."""
        offset = self.orders[-1].offset + 1 if self.orders else 0
        value = encode(one) if isinstance(one, Event) else one
        self.orders.append(one if isinstance(one, ARecord) else ARecord(offset, value))
        return self

    def writes(self, event: Event | bytes | None, owner: str | None = None) -> "Logs":
        owner = self.owner if owner is None else owner
        headers = ((OWNER_HEADER, owner.encode()),) if owner else ()
        value = encode(event) if isinstance(event, Event) else event
        self.journal.append(ARecord(len(self.journal), value, headers=headers))
        return self

    def audited(self, *others: "Logs", expected: tuple[str, ...] = ()) -> Findings:
        audit = Audit(PARTITIONS, expected=expected)
        for logs in (self, *others):
            audit.dead_letters(logs.partition, logs.letters)
            audit.partition(logs.partition, logs.orders, logs.journal)
        for partition, record in self.reroutes:
            audit.partition(partition, [record], [])
        return audit.finish()


def kinds(findings: Findings) -> list[ViolationKind]:
    return [violation.kind for violation in findings.violations_listed]


def an_entry(seq: int, source_offset: int = 0) -> OrderDeadLettered:
    return OrderDeadLettered(seq=seq, source_offset=source_offset, reason="empty", decided_at="2026")


# No violation


def test_a_right_journal_is_clean_and_adds_up():
    logs = Logs(pizza=3).takes(
        an_order("A", quantity=2), an_order("B", quantity=2), an_order("A"), a_restock(quantity=5), b"rubbish"
    )
    findings = logs.takes(an_order("C", quantity=6)).audited()
    assert findings.verdict == "clean"
    assert (findings.records, findings.decisions, findings.undecided, findings.claims) == (7, 7, 0, 1)
    assert (findings.duplicates, findings.dead_letters) == (1, 1)
    totals = findings.summed_totals()
    assert (totals.orders, totals.reserved) == (3, 2)
    assert totals.portions == {"pizza": 8}
    assert totals.failed == {"insufficient_stock": 1}


def test_cancelled_orders_are_clean_and_their_portions_are_subtracted():
    logs = Logs(pizza=3).takes(an_order("A", quantity=2), an_order("B"), a_cancel("A"), a_cancel("A"))
    logs.takes(an_order("C", quantity=9), a_cancel("C"), a_cancel("D"), an_order("E", quantity=2))
    findings = logs.audited()
    assert (findings.verdict, findings.violations_listed) == ("clean", [])
    totals = findings.summed_totals()
    assert (totals.orders, totals.reserved, totals.cancelled) == (4, 3, 1)
    assert totals.portions == {"pizza": 3}
    assert findings.not_cancelled == {"already_cancelled": 1, "not_reserved": 1, "unknown_order": 1}


def test_cancelling_a_forgotten_order_is_rightly_rejected_as_unknown():
    logs = Logs(window_orders=1, pizza=5).takes(an_order("A"), an_order("B"), a_cancel("A"), a_cancel("B"))
    findings = logs.audited()
    assert findings.verdict == "clean"
    assert (findings.summed_totals().cancelled, findings.not_cancelled) == (1, {"unknown_order": 1})


def test_a_cancel_that_names_another_item_is_rightly_rejected_as_unknown():
    logs = Logs(pizza=5, calzone=5).takes(an_order("A"), a_cancel("A", "calzone"), a_cancel("A", "pizza"))
    findings = logs.takes(a_cancel("A", "calzone")).audited()
    assert findings.verdict == "clean"
    assert findings.not_cancelled == {"unknown_order": 2}


def test_one_id_for_items_of_two_partitions_is_two_orders_to_cancel():
    here, there = Logs("pizza", pizza=5), Logs("burger", burger=5)
    here.takes(an_order("A", quantity=2), a_cancel("A"))
    there.takes(an_order("A", "burger"), a_cancel("A", "burger"), a_cancel("A", "burger"))
    findings = here.audited(there)
    assert findings.verdict == "clean"
    assert (findings.summed_totals().cancelled, findings.not_cancelled) == (2, {"already_cancelled": 1})


def test_an_item_with_zero_portions_equals_an_item_that_is_not_mentioned():
    ours = Totals(seq=1, reserved=1, cancelled=1, portions=Counter(pizza=0))
    assert ours.difference(Totals(seq=1, reserved=1, cancelled=1)) is None
    assert Totals(seq=1, reserved=1, cancelled=1).difference(ours) is None
    wrong = Totals(seq=1, reserved=1)
    assert ours.difference(wrong) == "cancelled are 0, the journal up to seq 1 says 1"


def test_no_records_prove_nothing():
    assert Audit(PARTITIONS).finish().verdict == "empty"


def test_undecided_records_alone_prove_nothing():
    findings = Logs().is_sent(an_order("A")).audited()
    assert (findings.verdict, findings.undecided) == ("empty", 1)


def test_records_after_the_last_decided_one_are_undecided_and_no_violation():
    findings = Logs(pizza=1).takes(an_order("A")).is_sent(an_order("B")).is_sent(b"rubbish").audited()
    assert (findings.verdict, findings.records, findings.undecided) == ("clean", 4, 2)


def test_offset_gaps_left_by_transaction_markers_are_no_violation():
    logs = Logs(pizza=1)
    order = ARecord(7, encode(an_order("A")))
    assert logs.takes(order, an_order("B")).audited().verdict == "clean"


def test_records_that_do_not_count_are_counted_by_reason():
    logs = Logs(pizza=5)
    logs.journal.insert(0, ARecord(0, encode(an_entry(1)), headers=((OWNER_HEADER, b"early"),)))
    logs.takes(an_order("A"))
    logs.writes(an_entry(3), owner="somebody else").writes(an_entry(3), owner="")
    logs.writes(an_entry(2)).writes(an_entry(4)).writes(b"a stranger").writes(None)
    findings = logs.takes(an_order("B")).audited()
    assert findings.verdict == "clean"
    assert findings.ignored == {
        "before_first_claim": 1,
        "old_owner": 2,
        "repeat": 1,
        "after_gap": 1,
        "unreadable": 2,
    }


def test_entries_of_an_old_owner_change_nothing():
    logs = Logs(pizza=5).takes(an_order("A")).claims("owner-2")
    findings = logs.writes(an_entry(3), owner="owner-1").takes(an_order("B")).audited()
    assert (findings.verdict, findings.claims, findings.ignored) == ("clean", 2, {"old_owner": 1})


def test_a_gap_that_a_later_owner_has_closed_is_no_violation():
    logs = Logs(pizza=5).writes(an_entry(3)).claims("owner-2").takes(an_order("A"))
    assert logs.audited().verdict == "clean"


def test_an_id_used_in_several_partitions_is_listed_and_no_violation():
    here, there = Logs("pizza", pizza=5), Logs("burger", burger=5)
    assert here.partition != there.partition
    here.takes(an_order("A"), an_order("A"))
    there.takes(an_order("A", "burger"), an_order("A", "burger"))
    findings = here.audited(there)
    assert findings.verdict == "clean"
    assert (findings.shared_ids, findings.shared_ids_listed) == (1, ["A"])


def test_a_refused_order_may_be_decided_again_beyond_the_window():
    logs = Logs(window_orders=1, pizza=0).takes(an_order("A"), an_order("B"), an_order("A"))
    assert logs.audited().verdict == "clean"


def test_what_a_smaller_window_forgot_stays_forgotten_under_a_larger_one():
    logs = Logs(pizza=0).takes(an_order("A"), an_order("B"))
    logs.claims("owner-2", window_orders=1).claims("owner-3", window_orders=100)
    logs.takes(an_order("A"), an_order("B"))
    findings = logs.audited()
    assert (findings.verdict, findings.duplicates) == ("clean", 1)


def test_a_rerouted_order_of_exactly_the_horizon_is_rightly_too_old():
    logs = Logs(window_orders=1, pizza=5).takes(an_order("A"), an_order("B"))
    origin = (("origin-partition-offset", b"0:0"), ("origin-time-ms", str(APPENDED_AT_MS).encode()))
    findings = logs.takes(ARecord(3, encode(an_order("C")), headers=origin)).audited()
    assert findings.verdict == "clean"
    assert findings.summed_totals().failed == {"too_old": 1}


def test_side_outputs_that_a_crash_wrote_again_are_counted():
    logs = Logs().takes(b"rubbish", an_order("A", "unicorn"))
    logs.letters *= 2
    logs.reroutes *= 3
    findings = logs.audited()
    assert (findings.verdict, findings.repeated) == ("clean", 3)


def test_a_truncated_dead_letter_is_recognized_by_its_beginning():
    logs = Logs().takes(b"x" * 70_000)
    assert len(logs.letters[0].value or b"") < 70_000
    assert logs.audited().verdict == "clean"


def test_headers_without_a_value_are_ignored():
    headers = (("origin-partition-offset", None), ("origin-time-ms", None))
    logs = Logs(pizza=1).takes(an_order("A"))
    logs.orders[-1] = replace(logs.orders[-1], headers=headers)
    assert logs.audited().verdict == "clean"


# Violations; tests/audit/test_audit_mutants.py has every kind in many logs


def test_a_gap_that_nobody_has_closed_is_one_violation_at_its_beginning():
    findings = Logs(pizza=5).takes(an_order("A")).writes(an_entry(4, 3)).writes(an_entry(5, 4)).audited()
    (violation,) = findings.violations_listed
    assert (violation.kind, violation.seq, violation.offset) == (ViolationKind.SEQ_GAP, 4, 3)


def test_a_violation_says_where_it_is():
    logs = Logs(pizza=5).takes(an_order("A"))
    entry = decode_journal(logs.journal.pop().value)
    logs.writes(type(entry)(**{**_fields(entry), "remaining": 3}))
    (violation,) = logs.audited().violations_listed
    assert (violation.kind, violation.partition) == (ViolationKind.WRONG_REMAINING, logs.partition)
    assert (violation.offset, violation.seq) == (1, 2)
    assert violation.what == "says 3 'pizza' remain, but it is 4"


def test_each_entry_below_the_highest_offset_is_a_violation():
    logs = Logs(pizza=5).takes(an_order("A"), an_order("B"), an_order("C"))
    findings = logs.writes(an_entry(5, 1)).writes(an_entry(6, 2)).audited()
    assert kinds(findings) == [ViolationKind.OFFSET_NOT_GROWING] * 2


def test_an_order_is_never_reserved_twice_not_even_beyond_the_window():
    logs = Logs(window_orders=1, pizza=5).takes(an_order("A"), an_order("B"), an_order("A"))
    assert kinds(logs.audited()) == [ViolationKind.RESERVED_TWICE]


def test_an_order_that_failed_in_between_was_still_reserved_twice():
    logs = Logs(window_orders=1, pizza=5).takes(an_order("A"), an_order("B"), an_order("A", quantity=9))
    assert kinds(logs.takes(an_order("C"), an_order("A")).audited()) == [ViolationKind.RESERVED_TWICE]


def test_a_cancelled_order_that_is_reserved_again_beyond_the_window_was_reserved_twice():
    logs = Logs(window_orders=1, pizza=5)
    logs.takes(an_order("A"), a_cancel("A"), an_order("B"), an_order("A"), a_cancel("A"))
    assert kinds(logs.audited()) == [ViolationKind.RESERVED_TWICE]


def test_a_quantity_that_no_order_can_have_is_a_violation_and_not_a_crash():
    logs = Logs(pizza=5).takes(an_order("A"))
    entry = decode_journal(logs.journal.pop().value)
    logs.writes(msgspec.structs.replace(entry, quantity=1 << 70, remaining=5 - (1 << 70)))
    logs.takes(a_cancel("A"))
    assert kinds(logs.audited())[:2] == [ViolationKind.DIFFERS_FROM_RECORD, ViolationKind.STOCK_BELOW_ZERO]


def test_the_violation_of_a_wrong_release_names_the_true_reason():
    logs = Logs(pizza=5).takes(an_order("A", quantity=6), a_cancel("A"))
    rejected = decode_journal(logs.journal.pop().value)
    fields = {**_fields(rejected), "quantity": 6, "remaining": 11}
    del fields["reason"]
    (violation,) = logs.writes(ReservationReleased(**fields)).audited().violations_listed
    assert violation.kind == ViolationKind.RELEASED_UNRESERVED
    assert violation.what == "order 'A': the truth is not_reserved"


def test_a_shared_id_is_noted_once_per_partition():
    here, there = Logs("pizza", window_orders=1, pizza=5), Logs("burger", window_orders=1, burger=5)
    here.takes(an_order("A"))
    there.takes(an_order("A", "burger"), an_order("B", "burger"), an_order("A", "burger"))
    findings = here.audited(there)
    assert kinds(findings) == [ViolationKind.RESERVED_TWICE]
    assert findings.shared_ids == 1


def test_an_expected_order_may_be_undecided_but_not_missing():
    logs = Logs(pizza=5).takes(an_order("A")).is_sent(an_order("B"))
    findings = logs.audited(expected=("A", "B", "C"))
    (violation,) = findings.violations_listed
    assert violation.kind == ViolationKind.EXPECTED_MISSING
    assert "'C'" in violation.what


def test_a_missing_expected_order_is_a_violation_even_if_nothing_was_decided():
    assert Logs().audited(expected=("A",)).verdict == "violated"


def test_all_violations_are_counted_and_only_the_first_ones_listed():
    logs = Logs(pizza=5)
    logs.journal.pop()
    for _ in range(2 * VIOLATIONS_LISTED_MAX):
        logs.is_sent(an_order())
    findings = logs.writes(an_entry(1, 10_000)).audited()
    assert findings.violations > 2 * VIOLATIONS_LISTED_MAX
    assert len(findings.violations_listed) == VIOLATIONS_LISTED_MAX


# What it remembers


def test_an_id_takes_at_most_140_bytes_and_its_reservation_only_while_it_is_remembered():
    orders, window = 22_000, 100  # the dict has just grown
    names = [str(n) for n in range(orders)]
    tracemalloc.start()
    ids = DecidedIds(elsewhere := set())
    ids.claim(window)
    for n, name in enumerate(names):
        ids.decide(name, at_ms=n, item="pizza", quantity=1 + n % 3)
    now, _ = tracemalloc.get_traced_memory()
    elsewhere.update(ids.hashes)
    del ids
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(elsewhere) == orders
    assert now <= 120 * orders + 500 * window
    assert left <= 140 * orders


@given(
    st.lists(
        st.tuples(st.sampled_from("ABCDE"), st.integers(0, 4), st.none() | st.just("pizza")), max_size=60
    )
)
def test_the_remembered_decisions_are_the_last_ones_within_the_window(steps):
    """A step is a claim with some window, and a decision under it. Compared with a list of decisions."""
    ids, decided, first = DecidedIds(set()), [], 0  # `first`: the oldest decision that is remembered
    for number, (name, window, item) in enumerate(steps):
        ids.claim(window)
        first = max(first, len(decided) - window)
        remembered = {known: (n, what) for n, (known, what) in enumerate(decided) if n >= first}
        for known in "ABCDE":
            decision = ids.remembered(known)
            assert (decision and (decision.at_ms, decision.item)) == remembered.get(known)
        was_reserved = any(known == name and what for known, what in decided)
        assert ids.decide(name, at_ms=number, item=item) == (was_reserved, name in remembered, False)
        decided.append((name, item))
        first = max(first, len(decided) - window)
    assert ids.horizon_ms == first - 1


# How it is shown


def test_the_json_has_the_verdict_the_figures_and_the_violations():
    printed = json.loads(as_json(Logs(pizza=5).takes(an_order("A")).audited(expected=("B",))))
    assert (printed["verdict"], printed["records"], printed["decisions"], printed["ignored"]) == (
        "violated",
        2,
        2,
        {},
    )
    assert [violation["kind"] for violation in printed["violations"]] == ["expected_missing"]
    assert printed["totals"]["reserved"] == 1


def test_cancelled_orders_are_in_the_json_and_in_the_text():
    logs = Logs(pizza=5).takes(an_order("A"), an_order("B"), a_cancel("A"), a_cancel("A"), a_cancel("C"))
    findings = logs.audited()
    printed = json.loads(as_json(findings))
    assert printed["totals"] == {
        "orders": 2,
        "reserved": 2,
        "cancelled": 1,
        "failed": {},
        "portions": {"pizza": 1},
    }
    assert printed["not_cancelled"] == {"already_cancelled": 1, "unknown_order": 1}
    lines = as_text(findings, took_s=1.0).splitlines()
    assert "cancelled               1" in lines
    assert "not cancelled           2   1 already_cancelled · 1 unknown_order" in lines


@pytest.mark.parametrize("json_or_text", [as_json, lambda findings: as_text(findings, took_s=1.0)])
def test_texts_from_strangers_are_shown_without_control_characters(json_or_text):
    here, there = Logs("pizza", pizza=5), Logs("bad\x1bitem")
    here.takes(an_order("bad\x1bid"))
    there.takes(an_opening("bad\x1bitem"), an_order("bad\x1bid", "bad\x1bitem"))
    logs = [here, there] if here.partition != there.partition else [here]
    text = json_or_text(logs[0].audited(*logs[1:], expected=("bad\x1bmissing",)))
    assert "\x1b" not in text
    assert "missing" in text


def test_the_text_ends_with_the_verdict():
    clean = as_text(Logs(pizza=5).takes(an_order("A")).audited(), took_s=1.0)
    assert clean.splitlines()[-1].startswith("clean")
    empty = as_text(Audit(PARTITIONS).finish(), took_s=1.0)
    assert empty.splitlines()[-1].startswith("nothing to audit")
    violated = as_text(Logs().audited(expected=("A",)), took_s=1.0)
    assert violated.splitlines()[-1].startswith("violated")
    assert "expected_missing: order 'A' is not in order-events" in violated


def _fields(event: Event) -> dict[str, object]:
    return {name: getattr(event, name) for name in event.__struct_fields__}
