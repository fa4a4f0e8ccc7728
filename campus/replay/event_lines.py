"""One event as a line of text, for people.

The line contains texts from strangers as they are: make it `printable` before it goes to a terminal.
"""

from campus.domain import events
from campus.domain.codec import Undecodable


def describe(event: events.Input | Undecodable | events.JournalEvent) -> str:
    """A request as a sentence; an event of the journal behind an arrow."""
    match event:
        case Undecodable():
            return f"a record that fits no event ({event.reason})"
        case events.OrderPlaced():
            return f"{event.user_id} orders {event.quantity} × {event.item} ({event.order_id})"
        case events.OrderCancelled():
            return f"{event.item} is cancelled ({event.order_id})"
        case events.StockAdded(reason="opening"):
            return f"{event.quantity} × {event.item} as opening stock"
        case events.StockAdded():
            return f"{event.quantity} × {event.item} arrive ({event.event_id})"
        case _:
            return f"  → {describe_journal(event)}"


def describe_journal(event: events.JournalEvent) -> str:
    match event:
        case events.OwnerClaimed():
            return f"owner {event.owner} takes over"
        case events.OrderDeadLettered():
            return f"dead letter: {event.reason}"
        case events.OrderRerouted():
            return f"{event.item} is sent on to partition {event.to_partition} ({event.rerouted_id})"
        case events.DuplicateIgnored():
            return f"{event.item} again, ignored ({event.repeated_id})"
        case events.InventoryReserved():
            outcome = f"reserved {event.quantity} × {event.item} for {event.user_id} ({event.order_id})"
        case events.InventoryFailed():
            outcome = f"failed {event.quantity} × {event.item}: {event.reason} ({event.order_id})"
        case events.ReservationReleased():
            outcome = f"released {event.quantity} × {event.item} ({event.order_id})"
        case events.CancelRejected():
            outcome = f"{event.item} not cancelled: {event.reason} ({event.order_id})"
        case events.StockChanged():
            outcome = f"stock {event.reason} {event.quantity} × {event.item}"
    return f"{outcome}; {'never in stock' if event.remaining is None else f'{event.remaining} left'}"
