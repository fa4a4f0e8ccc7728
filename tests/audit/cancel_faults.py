"""Faults about cancelled orders, to put into a clean log: wrong releases, false reasons, wrong records."""

from collections.abc import Callable

from campus.audit.findings import ViolationKind
from campus.domain.codec import decode_input
from campus.domain.events import (
    CancelRejected,
    DuplicateIgnored,
    Entry,
    InventoryFailed,
    InventoryReserved,
    OrderPlaced,
    OrderRerouted,
    ReservationReleased,
)
from tests.audit.tampering import At, Faults, Tampered, outcome

FAULTS = Faults()
CANCEL_ENTRIES = (ReservationReleased, CancelRejected)


# Wrong releases


@FAULTS.of(ViolationKind.RELEASED_TWICE)
def a_cancelled_order_is_released_again(log: Tampered) -> None:
    at = _a_rejected(log, "already_cancelled")
    log.rewrite(at, _released(log, at, _reserved_before(log, at)[0].quantity))


@FAULTS.of(ViolationKind.RELEASED_UNRESERVED)
def a_failed_order_is_released(log: Tampered) -> None:
    at = _a_rejected(log, "not_reserved")
    order = next(
        e for e in log.before(at) if isinstance(e, InventoryFailed) and _is_of_one_order(e, at.entry)
    )
    log.rewrite(at, _released(log, at, order.quantity))


@FAULTS.of(ViolationKind.RELEASED_UNRESERVED)
def an_order_that_nobody_placed_is_released(log: Tampered) -> None:
    at = _a_rejected(log, "unknown_order", lambda at: not _reserved_before(log, at))
    log.rewrite(at, _released(log, at, 1))


@FAULTS.of(ViolationKind.RELEASED_UNRESERVED)
def an_order_is_released_to_another_item(log: Tampered) -> None:
    def is_of_another_item(at: At) -> bool:
        return any(order.item != at.entry.item for order in _reserved_before(log, at))

    at = _a_rejected(log, "unknown_order", is_of_another_item)
    log.rewrite(at, _released(log, at, _reserved_before(log, at)[0].quantity))


@FAULTS.of(ViolationKind.RELEASED_UNRESERVED)
def an_order_is_released_that_the_window_has_forgotten(log: Tampered) -> None:
    def was_reserved(at: At) -> bool:
        return any(order.item == at.entry.item for order in _reserved_before(log, at))

    at = _a_rejected(log, "unknown_order", was_reserved)
    log.rewrite(at, _released(log, at, _reserved_before(log, at)[0].quantity))


def _wrong_release(name: str, by: int) -> None:
    def put_into(log: Tampered) -> None:
        at = log.any(ReservationReleased)
        log.change(at, quantity=at.entry.quantity + by, remaining=at.entry.remaining + by)

    put_into.__name__ = name
    FAULTS.of(ViolationKind.WRONG_RELEASE)(put_into)


_wrong_release("more_is_released_than_was_reserved", 1)
_wrong_release("less_is_released_than_was_reserved", -1)
_wrong_release("far_more_is_released_than_any_order_can_reserve", 1 << 20)


@FAULTS.of(ViolationKind.WRONG_RELEASE)
def another_quantity_is_released_than_is_said_to_remain(log: Tampered) -> None:
    at = log.any(ReservationReleased)
    log.change(at, quantity=at.entry.quantity + 1)


@FAULTS.of(ViolationKind.WRONG_REMAINING)
def what_is_released_is_not_for_sale_again(log: Tampered) -> None:
    at = log.any(ReservationReleased)
    log.change(at, remaining=at.entry.remaining - at.entry.quantity)


@FAULTS.of(ViolationKind.WRONG_REMAINING)
def a_rejected_cancel_changes_the_stock(log: Tampered) -> None:
    at = log.any(CancelRejected)
    log.change(at, remaining=(at.entry.remaining or 0) + 1)


@FAULTS.of(ViolationKind.RESERVED_TWICE)
def an_order_is_reserved_again_after_it_was_cancelled(log: Tampered) -> None:
    def repeats_a_cancelled_one(at: At) -> bool:
        return any(isinstance(e, ReservationReleased) and _is_repeated(e, at) for e in log.before(at))

    at = log.any(DuplicateIgnored, repeats_a_cancelled_one)
    order = decode_input(log.source(at).value)
    assert isinstance(order, OrderPlaced)
    fields = {name: getattr(order, name) for name in ("order_id", "user_id", "item", "quantity", "placed_at")}
    left = log.left_before(at, order.item) - order.quantity
    log.rewrite(at, outcome(InventoryReserved, at, **fields, remaining=left))


# False reasons


def _false_reason(name: str, true: str, false: str) -> None:
    def put_into(log: Tampered) -> None:
        log.change(_a_rejected(log, true), reason=false)

    put_into.__name__ = name
    FAULTS.of(ViolationKind.FALSE_REASON)(put_into)


_false_reason("a_cancelled_order_is_called_failed", "already_cancelled", "not_reserved")
_false_reason("a_cancelled_order_is_called_unknown", "already_cancelled", "unknown_order")
_false_reason("a_failed_order_is_called_unknown", "not_reserved", "unknown_order")
_false_reason("a_failed_order_is_called_cancelled", "not_reserved", "already_cancelled")
_false_reason("an_unknown_order_is_called_failed", "unknown_order", "not_reserved")
_false_reason("an_unknown_order_is_called_cancelled", "unknown_order", "already_cancelled")


@FAULTS.of(ViolationKind.FALSE_REASON)
def a_reserved_order_is_not_released(log: Tampered) -> None:
    at = log.any(ReservationReleased)
    reason = log.random.choice(["unknown_order", "not_reserved", "already_cancelled"])
    left = at.entry.remaining - at.entry.quantity
    log.rewrite(at, outcome(CancelRejected, at, order_id=at.entry.order_id, remaining=left, reason=reason))


# The entry does not match its record


@FAULTS.of(ViolationKind.ENTRY_WITHOUT_RECORD)
def an_order_is_released_that_nobody_cancelled(log: Tampered) -> None:
    log.replace_source(log.any(ReservationReleased), None)


def _differs(name: str, **fields: object) -> None:
    def put_into(log: Tampered) -> None:
        log.change(log.any(CANCEL_ENTRIES), **fields)

    put_into.__name__ = name
    FAULTS.of(ViolationKind.DIFFERS_FROM_RECORD)(put_into)


_differs("the_cancelled_order_is_another", order_id="another")
_differs("the_cancelled_item_is_another", item="another")


@FAULTS.of(ViolationKind.DIFFERS_FROM_RECORD)
def a_cancel_was_changed_after_it_was_decided(log: Tampered) -> None:
    log.change_source(log.any(CANCEL_ENTRIES), order_id="another")


@FAULTS.of(ViolationKind.WRONG_TYPE)
def a_cancel_of_another_partition_is_decided(log: Tampered) -> None:
    at = log.any(OrderRerouted, lambda at: at.entry.rerouted_type == "OrderCancelled")
    order_id = at.entry.rerouted_id
    log.rewrite(at, outcome(CancelRejected, at, order_id=order_id, remaining=None, reason="unknown_order"))


@FAULTS.of(ViolationKind.WRONG_TYPE)
def a_repeated_cancel_is_called_a_duplicate(log: Tampered) -> None:
    at = _a_rejected(log, "already_cancelled")
    order_id = at.entry.order_id
    log.rewrite(at, outcome(DuplicateIgnored, at, repeated_type="OrderCancelled", repeated_id=order_id))


@FAULTS.of(ViolationKind.WRONG_TYPE)
def a_repeated_order_is_taken_for_a_cancel(log: Tampered) -> None:
    at = log.any(DuplicateIgnored, lambda at: at.entry.repeated_type == "OrderPlaced")
    left = log.left_before(at, at.entry.item)
    fields = {"order_id": at.entry.repeated_id, "remaining": left, "reason": "not_reserved"}
    log.rewrite(at, outcome(CancelRejected, at, **fields))


# Helpers


def _a_rejected(log: Tampered, reason: str, fits: Callable[[At], bool] = lambda at: True) -> At:
    return log.any(CancelRejected, lambda at: at.entry.reason == reason and fits(at))


def _released(log: Tampered, at: At, quantity: int) -> Entry:
    left = log.left_before(at, at.entry.item) + quantity
    return outcome(ReservationReleased, at, order_id=at.entry.order_id, quantity=quantity, remaining=left)


def _reserved_before(log: Tampered, at: At) -> list[InventoryReserved]:
    return [e for e in log.before(at) if isinstance(e, InventoryReserved) and _is_of_one_order(e, at.entry)]


def _is_of_one_order(one: Entry, other: Entry) -> bool:
    return one.order_id == other.order_id


def _is_repeated(entry: Entry, at: At) -> bool:
    return at.entry.repeated_type == "OrderPlaced" and entry.order_id == at.entry.repeated_id
