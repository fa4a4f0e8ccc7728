"""One event as a line of text, for people.

The line contains texts from strangers as they are: make it `printable` before it goes to a terminal.
"""

from campus.domain.codec import Undecodable
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


def describe(event: Input | Undecodable | JournalEvent) -> str:
    """A request as a sentence; an event of the journal behind an arrow."""
    if isinstance(event, OrderPlaced | StockAdded | OrderCancelled | Undecodable):
        return _request(event)
    return f"  → {describe_journal(event)}"


def _request(event: Input | Undecodable) -> str:
    match event:
        case Undecodable():
            return f"a record that fits no event ({event.reason})"
        case OrderPlaced():
            return f"{event.user_id} orders {event.quantity} × {event.item} ({event.order_id})"
        case OrderCancelled():
            return f"{event.item} is cancelled ({event.order_id})"
        case StockAdded(reason="opening"):
            return f"{event.quantity} × {event.item} as opening stock"
        case StockAdded():
            return f"{event.quantity} × {event.item} arrive ({event.event_id})"


def describe_journal(event: JournalEvent) -> str:
    match event:
        case OwnerClaimed():
            return f"owner {event.owner} takes over"
        case OrderDeadLettered():
            return f"dead letter: {event.reason}"
        case OrderRerouted():
            return f"{event.item} is sent on to partition {event.to_partition} ({event.rerouted_id})"
        case DuplicateIgnored():
            return f"{event.item} again, ignored ({event.repeated_id})"
        case InventoryReserved():
            outcome = f"reserved {event.quantity} × {event.item} for {event.user_id} ({event.order_id})"
        case InventoryFailed():
            outcome = f"failed {event.quantity} × {event.item}: {event.reason} ({event.order_id})"
        case ReservationReleased():
            outcome = f"released {event.quantity} × {event.item} ({event.order_id})"
        case CancelRejected():
            outcome = f"{event.item} not cancelled: {event.reason} ({event.order_id})"
        case StockChanged():
            outcome = f"stock {event.reason} {event.quantity} × {event.item}"
    return f"{outcome}; {'never in stock' if event.remaining is None else f'{event.remaining} left'}"
