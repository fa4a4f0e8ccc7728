"""One event in a few words, for people who look on.

The words carry texts that strangers wrote, as they are: whoever prints them to a terminal must make them
printable.
"""

from campus.domain.codec import Unfit
from campus.domain.events import (
    CancelRejected,
    DuplicateIgnored,
    Input,
    InventoryFailed,
    InventoryReserved,
    JournalEvent,
    OrderCancelled,
    OrderDeadLettered,
    OrderPlaced,
    OrderRerouted,
    OwnerClaimed,
    ReservationReleased,
    StockAdded,
    StockChanged,
)


def said(event: Input | Unfit | JournalEvent) -> str:
    """What somebody asked for, or, behind an arrow, what inventory made of it."""
    if isinstance(event, Unfit):
        return f"a record that fits no event ({event.reason})"
    if isinstance(event, OrderPlaced | StockAdded | OrderCancelled):
        return _asked(event)
    return f"  → {journal_line(event)}"


def _asked(event: Input) -> str:
    if isinstance(event, OrderPlaced):
        return f"{event.user_id} orders {event.quantity} × {event.item} ({event.order_id})"
    if isinstance(event, OrderCancelled):
        return f"{event.item} is cancelled ({event.order_id})"
    if event.reason == "opening":
        return f"{event.quantity} × {event.item} as opening stock"
    return f"{event.quantity} × {event.item} arrive ({event.event_id})"


def journal_line(event: JournalEvent) -> str:
    if isinstance(event, OwnerClaimed):
        return f"owner {event.owner} takes over"
    if isinstance(event, OrderDeadLettered):
        return f"dead letter: {event.reason}"
    if isinstance(event, OrderRerouted):
        return f"{event.item} is sent on to partition {event.to_partition} ({event.rerouted_id})"
    if isinstance(event, DuplicateIgnored):
        return f"{event.item} again, ignored ({event.repeated_id})"
    return f"{_decided(event)}; {_left(event.remaining)}"


def _decided(
    event: InventoryReserved | InventoryFailed | StockChanged | ReservationReleased | CancelRejected,
) -> str:
    if isinstance(event, InventoryReserved):
        return f"reserved {event.quantity} × {event.item} for {event.user_id} ({event.order_id})"
    if isinstance(event, InventoryFailed):
        return f"failed {event.quantity} × {event.item}: {event.reason} ({event.order_id})"
    if isinstance(event, ReservationReleased):
        return f"released {event.quantity} × {event.item} ({event.order_id})"
    if isinstance(event, CancelRejected):
        return f"{event.item} not cancelled: {event.reason} ({event.order_id})"
    return f"stock {event.reason} {event.quantity} × {event.item}"


def _left(remaining: int | None) -> str:
    return "never in stock" if remaining is None else f"{remaining} left"
