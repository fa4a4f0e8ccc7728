"""Faults to put into a clean log: lost, repeated and changed entries, false stock, false reasons.

Those of cancelled orders are in cancel_faults.py.
"""

from dataclasses import replace
from typing import Any

import msgspec

from campus.audit.findings import ViolationKind
from campus.domain.codec import decode_input, encode
from campus.domain.events import (
    DuplicateIgnored,
    Entry,
    InventoryFailed,
    InventoryReserved,
    OrderDeadLettered,
    OrderPlaced,
    OrderRerouted,
    StockAdded,
    StockChanged,
)
from campus.domain.journal import OWNER_HEADER
from campus.inventory.ledger import ORIGIN_HEADER, ORIGIN_TIME_HEADER
from tests.audit.tampering import STOCK_ENTRIES, At, Faults, Tampered, outcome
from tests.builders import PARTITIONS, ARecord
from tests.simulation.memory_log import TOPICS

FAULTS = Faults()


# One record in, one entry out


@FAULTS.of(ViolationKind.SEQ_GAP)
def an_entry_is_lost(log: Tampered) -> None:
    at, _ = log.any_and_later()
    del log.journal(at.partition)[at.index]


@FAULTS.of(ViolationKind.SEQ_GAP)
def an_entry_is_by_somebody_else(log: Tampered) -> None:
    at, _ = log.any_and_later()
    journal = log.journal(at.partition)
    journal[at.index] = replace(journal[at.index], headers=((OWNER_HEADER, b"somebody else"),))


@FAULTS.of(ViolationKind.SEQ_GAP)
def an_entry_cannot_be_read(log: Tampered) -> None:
    at, _ = log.any_and_later()
    journal = log.journal(at.partition)
    journal[at.index] = replace(journal[at.index], value=journal[at.index].value[:-1])


@FAULTS.of(ViolationKind.RECORD_WITHOUT_ENTRY)
def a_record_is_passed_over(log: Tampered) -> None:
    at, later = log.any_and_later()
    log.shift_seqs(later, -1)
    del log.journal(at.partition)[at.index]


@FAULTS.of(ViolationKind.OFFSET_NOT_GROWING)
def a_record_is_decided_a_second_time(log: Tampered) -> None:
    at, later = log.any_and_later()
    log.shift_seqs(later, 1)
    journal = log.journal(at.partition)
    again = msgspec.structs.replace(at.entry, seq=at.entry.seq + 1)
    journal.insert(at.index + 1, replace(journal[at.index], value=encode(again)))


@FAULTS.of(ViolationKind.OFFSET_NOT_GROWING)
def two_entries_change_places(log: Tampered) -> None:
    at, (after, *_) = log.any_and_later()
    log.rewrite(at, msgspec.structs.replace(after.entry, seq=at.entry.seq))
    log.rewrite(after, msgspec.structs.replace(at.entry, seq=after.entry.seq))


@FAULTS.of(ViolationKind.ENTRY_WITHOUT_RECORD)
def a_record_is_lost(log: Tampered) -> None:
    log.replace_source(log.any(object), None)


@FAULTS.of(ViolationKind.ENTRY_WITHOUT_RECORD)
def an_outcome_is_invented(log: Tampered) -> None:
    last = log.last(log.random.randrange(PARTITIONS))
    invented = msgspec.structs.replace(
        last.entry, seq=last.entry.seq + 1, source_offset=last.entry.source_offset + 1
    )
    journal = log.journal(last.partition)
    journal.insert(last.index + 1, replace(journal[last.index], value=encode(invented)))


# The entry matches its record


def _differs(name: str, wanted: type | tuple[type, ...], **fields: Any) -> None:
    def put_into(log: Tampered) -> None:
        log.change(log.any(wanted), **fields)

    put_into.__name__ = name
    FAULTS.of(ViolationKind.DIFFERS_FROM_RECORD)(put_into)


ORDER_ENTRIES = (InventoryReserved, InventoryFailed)
_differs("the_order_id_is_another", ORDER_ENTRIES, order_id="another")
_differs("the_user_is_another", ORDER_ENTRIES, user_id="another")
_differs("the_item_is_another", ORDER_ENTRIES, item="another")
_differs("the_quantity_is_another", ORDER_ENTRIES, quantity=17)
_differs("the_time_it_was_placed_is_another", ORDER_ENTRIES, placed_at=None)
_differs("the_time_it_was_decided_is_another", object, decided_at="2026-01-01T00:00:00.000Z")
_differs("the_restock_is_another", StockChanged, event_id="another")
_differs("more_is_added", StockChanged, quantity=17)
_differs("the_repeated_id_is_another", DuplicateIgnored, repeated_id="another")
_differs("the_rerouted_id_is_another", OrderRerouted, rerouted_id="another")
_differs("the_reason_of_a_death_is_another", OrderDeadLettered, reason="too_large")


@FAULTS.of(ViolationKind.DIFFERS_FROM_RECORD)
def an_order_was_changed_after_it_was_decided(log: Tampered) -> None:
    log.change_source(log.any(ORDER_ENTRIES), quantity=19)


@FAULTS.of(ViolationKind.DIFFERS_FROM_RECORD)
def a_rerouted_order_names_a_wrong_partition(log: Tampered) -> None:
    at = log.any(OrderRerouted)
    log.change(at, to_partition=(at.entry.to_partition + 1) % PARTITIONS)


@FAULTS.of(ViolationKind.WRONG_TYPE)
def a_foreign_order_is_decided(log: Tampered) -> None:
    at = log.any(OrderRerouted, lambda at: at.entry.rerouted_type == "OrderPlaced")
    log.rewrite(at, _failed(log, at, "unknown_item", None))


@FAULTS.of(ViolationKind.WRONG_TYPE)
def an_order_of_ours_is_sent_away(log: Tampered) -> None:
    at = log.any(ORDER_ENTRIES)
    log.rewrite(
        at,
        OrderRerouted(
            seq=at.entry.seq,
            source_offset=at.entry.source_offset,
            rerouted_type="OrderPlaced",
            rerouted_id=at.entry.order_id,
            item=at.entry.item,
            to_partition=(at.partition + 1) % PARTITIONS,
            decided_at=at.entry.decided_at,
        ),
    )


@FAULTS.of(ViolationKind.WRONG_TYPE)
def stock_is_taken_for_an_order(log: Tampered) -> None:
    at = log.any(StockChanged)
    left = log.left_before(at, at.entry.item)
    fields = {"order_id": at.entry.event_id, "user_id": "?", "reason": "insufficient_stock"}
    log.rewrite(at, outcome(InventoryFailed, at, **fields, quantity=9999, remaining=left, placed_at=None))


@FAULTS.of(ViolationKind.WRONG_TYPE)
def rubbish_is_taken_for_a_duplicate(log: Tampered) -> None:
    known = log.any(InventoryReserved).entry
    log.rewrite(at := log.any(OrderDeadLettered), _duplicate(at, known.order_id, known.item))


@FAULTS.of(ViolationKind.WRONG_TYPE)
def a_fine_order_is_called_rubbish(log: Tampered) -> None:
    at = log.any(ORDER_ENTRIES)
    log.rewrite(at, outcome(OrderDeadLettered, at, reason="not_json"))
    origin = f"{at.partition}:{at.entry.source_offset}".encode()
    letters = log.log.at(TOPICS.dead_letters_topic, at.partition)
    letters.append(ARecord(len(letters), log.source(at).value, headers=((ORIGIN_HEADER, origin),)))


# Stock


@FAULTS.of(ViolationKind.WRONG_REMAINING)
def one_more_remains(log: Tampered) -> None:
    at = log.any(STOCK_ENTRIES)
    log.change(at, remaining=(at.entry.remaining or 0) + 1)


@FAULTS.of(ViolationKind.WRONG_REMAINING)
def what_was_never_there_is_sold_out(log: Tampered) -> None:
    log.change(log.any(InventoryFailed, lambda at: at.entry.remaining is None), remaining=0)


@FAULTS.of(ViolationKind.STOCK_BELOW_ZERO)
def more_is_sold_than_there_is(log: Tampered) -> None:
    at = log.any(InventoryFailed, lambda at: at.entry.reason == "insufficient_stock")
    log.rewrite(at, _reserved(log, at))


@FAULTS.of(ViolationKind.STOCK_BELOW_ZERO)
def what_was_never_there_is_sold(log: Tampered) -> None:
    at = log.any(InventoryFailed, lambda at: at.entry.reason == "unknown_item")
    log.rewrite(at, _reserved(log, at))


@FAULTS.of(ViolationKind.OPENING_TWICE)
def the_opening_stock_is_added_again(log: Tampered) -> None:
    log.rewrite(
        at := log.any(DuplicateIgnored, lambda at: at.entry.repeated_id == "opening"), _added(log, at)
    )


# Once for each id, and for a true reason


@FAULTS.of(ViolationKind.RESERVED_TWICE)
def a_reserved_order_is_reserved_again(log: Tampered) -> None:
    at = _a_repeated_order(log, InventoryReserved)
    log.rewrite(at, _reserved(log, at))


@FAULTS.of(ViolationKind.DECIDED_TWICE)
def a_failed_order_is_decided_again(log: Tampered) -> None:
    at = _a_repeated_order(log, InventoryFailed)
    log.rewrite(at, _failed(log, at, "insufficient_stock", log.left_before(at, at.entry.item)))


@FAULTS.of(ViolationKind.DECIDED_TWICE)
def a_restock_is_added_again(log: Tampered) -> None:
    log.rewrite(at := log.any(DuplicateIgnored, lambda at: at.entry.repeated_id[:2] == "s-"), _added(log, at))


@FAULTS.of(ViolationKind.IGNORED_UNDECIDED)
def a_new_order_is_called_a_duplicate(log: Tampered) -> None:
    at = log.any(ORDER_ENTRIES, lambda at: _is_first_of_its_id(log, at))
    log.rewrite(at, _duplicate(at, at.entry.order_id, at.entry.item))


@FAULTS.of(ViolationKind.IGNORED_UNDECIDED)
def a_restock_is_called_a_duplicate(log: Tampered) -> None:
    at = log.any(StockChanged)
    log.rewrite(at, _duplicate(at, at.entry.event_id, at.entry.item, "StockAdded"))


def _false_reason(name: str, true: str, false: str) -> None:
    def put_into(log: Tampered) -> None:
        log.change(log.any(InventoryFailed, lambda at: at.entry.reason == true), reason=false)

    put_into.__name__ = name
    FAULTS.of(ViolationKind.FALSE_REASON)(put_into)


_false_reason("a_sold_out_item_is_called_unknown", "insufficient_stock", "unknown_item")
_false_reason("an_unknown_item_is_called_sold_out", "unknown_item", "insufficient_stock")
_false_reason("an_order_in_time_is_called_too_old", "insufficient_stock", "too_old")
_false_reason("an_order_too_old_is_called_sold_out", "too_old", "insufficient_stock")


@FAULTS.of(ViolationKind.FALSE_REASON)
def an_order_is_refused_though_there_is_stock(log: Tampered) -> None:
    at = log.any(InventoryReserved)
    log.rewrite(at, _failed(log, at, "insufficient_stock", at.entry.remaining + at.entry.quantity))


@FAULTS.of(ViolationKind.DECIDED_TOO_LATE)
def an_order_that_may_be_forgotten_is_reserved(log: Tampered) -> None:
    at = log.any(InventoryFailed, lambda at: at.entry.reason == "too_old")
    log.rewrite(at, _reserved(log, at))


# Side outputs, expected orders, analytics


@FAULTS.of(ViolationKind.DEAD_LETTER_MISSING)
def a_dead_letter_is_lost(log: Tampered) -> None:
    copies = list(log.side_outputs_of(log.any(OrderDeadLettered)))
    for records, index in reversed(copies):
        del records[index]


@FAULTS.of(ViolationKind.DEAD_LETTER_MISSING)
def a_dead_letter_is_not_what_came(log: Tampered) -> None:
    for records, index in log.side_outputs_of(log.any(OrderDeadLettered)):
        records[index] = replace(records[index], value=b"rubbish!")


@FAULTS.of(ViolationKind.REROUTE_MISSING)
def a_rerouted_order_never_arrived(log: Tampered) -> None:
    """Other records replace its copies, so that nothing else is wrong."""
    for records, index in log.side_outputs_of(log.any(OrderRerouted)):
        kept = [h for h in records[index].headers if h[0] == ORIGIN_TIME_HEADER]
        records[index] = replace(records[index], headers=kept)


@FAULTS.of(ViolationKind.EXPECTED_MISSING)
def an_order_that_was_accepted_is_not_there(log: Tampered) -> None:
    """Nothing changes in the log: the test expects an id that is not in it."""


@FAULTS.of(ViolationKind.ANALYTICS_DIFFERS)
def analytics_has_counted_one_too_many(log: Tampered) -> None:
    """Nothing changes in the log: the test passes wrong totals to the audit."""


# Helpers


def _order_fields(log: Tampered, at: At) -> dict[str, Any]:
    order = decode_input(log.source(at).value)
    assert isinstance(order, OrderPlaced)
    return {name: getattr(order, name) for name in ("order_id", "user_id", "item", "quantity", "placed_at")}


def _reserved(log: Tampered, at: At) -> Entry:
    order = _order_fields(log, at)
    left = log.left_before(at, order["item"])
    return outcome(InventoryReserved, at, **order, remaining=left - order["quantity"])


def _failed(log: Tampered, at: At, reason: str, remaining: int | None) -> Entry:
    return outcome(InventoryFailed, at, **_order_fields(log, at), reason=reason, remaining=remaining)


def _added(log: Tampered, at: At) -> Entry:
    added = decode_input(log.source(at).value)
    assert isinstance(added, StockAdded)
    fields = {name: getattr(added, name) for name in ("event_id", "quantity", "reason")}
    left = log.left_before(at, added.item)
    return outcome(StockChanged, at, **fields, remaining=left + added.quantity)


def _duplicate(at: At, repeated_id: str, item: str, repeated_type: str = "OrderPlaced") -> Entry:
    return outcome(DuplicateIgnored, at, repeated_type=repeated_type, repeated_id=repeated_id, item=item)


def _a_repeated_order(log: Tampered, decided_as: type) -> At:
    def repeats_one(at: At) -> bool:
        if at.entry.repeated_type != "OrderPlaced":
            return False
        first = next(e for e in log.before(at) if getattr(e, "order_id", None) == at.entry.repeated_id)
        return isinstance(first, decided_as)

    return log.any(DuplicateIgnored, repeats_one)


def _is_first_of_its_id(log: Tampered, at: At) -> bool:
    return not any(getattr(entry, "order_id", None) == at.entry.order_id for entry in log.before(at))
