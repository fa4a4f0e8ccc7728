"""The events as they are stored in Kafka: one flat JSON object per record.

Anyone may write an `Input` to order-events. Only inventory writes an `Entry` to inventory-events: one for
each record of order-events. Every field has a limit, so that every entry can be written: a text that an entry
repeats has at most TEXT_CHARS_MAX characters.
"""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

TEXT_CHARS_MAX = 256
QUANTITY_MAX = 1_000_000

Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=TEXT_CHARS_MAX)]
Quantity: TypeAlias = Annotated[int, Meta(ge=1, le=QUANTITY_MAX)]
StockQuantity: TypeAlias = Annotated[int, Meta(ge=0, le=QUANTITY_MAX)]
InputType: TypeAlias = Literal["OrderPlaced", "StockAdded", "OrderCancelled"]
StockReason: TypeAlias = Literal["opening", "restock"]
FailReason: TypeAlias = Literal["unknown_item", "insufficient_stock", "too_old"]
CancelReason: TypeAlias = Literal["unknown_order", "not_reserved", "already_cancelled"]
DeadLetterReason: TypeAlias = Literal["empty", "too_large", "not_json", "unknown_type", "wrong_shape"]


class Event(Struct, frozen=True, kw_only=True, gc=False, tag=True, tag_field="event_type"):
    """The name of the class is the `event_type`; unknown fields are ignored."""


# Inputs, on order-events


class OrderPlaced(Event, frozen=True):
    order_id: Text
    user_id: Text
    item: Text
    quantity: Quantity
    placed_at: Text | None = None


class StockAdded(Event, frozen=True):
    """New stock. Only the first `opening` stock of an item counts."""

    event_id: Text
    item: Text
    quantity: StockQuantity
    reason: StockReason


class OrderCancelled(Event, frozen=True):
    """A request to cancel. It releases the reservation once, however often it is sent."""

    order_id: Text
    item: Text


Input: TypeAlias = OrderPlaced | StockAdded | OrderCancelled


# Entries and claims, on inventory-events


class OwnerClaimed(Event, frozen=True):
    """From here on, only entries of this owner count. It remembers the last `window_orders` decisions."""

    owner: Text
    rules: int
    window_orders: int


class EntryBase(Event, frozen=True):
    """What every entry begins with: its number, and the offset of its record in order-events."""

    seq: int
    source_offset: int


class InventoryReserved(EntryBase, frozen=True):
    order_id: str
    user_id: str
    item: str
    quantity: int
    remaining: int
    placed_at: str | None
    decided_at: str


class InventoryFailed(EntryBase, frozen=True):
    """`remaining` is null if the item has never been in stock."""

    order_id: str
    user_id: str
    item: str
    quantity: int
    remaining: int | None
    reason: FailReason
    placed_at: str | None
    decided_at: str


class StockChanged(EntryBase, frozen=True):
    event_id: str
    item: str
    quantity: int
    remaining: int
    reason: StockReason
    decided_at: str


class ReservationReleased(EntryBase, frozen=True):
    """A reserved order was cancelled. Its `quantity` is in stock again."""

    order_id: str
    item: str
    quantity: int
    remaining: int
    decided_at: str


class CancelRejected(EntryBase, frozen=True):
    """Nothing changed. `unknown_order`: no order of this id and item was decided here within the window."""

    order_id: str
    item: str
    remaining: int | None
    reason: CancelReason
    decided_at: str


class DuplicateIgnored(EntryBase, frozen=True):
    """The id was decided before, within the window. An opening stock is remembered for good."""

    repeated_type: InputType
    repeated_id: str
    item: str
    decided_at: str


class OrderRerouted(EntryBase, frozen=True):
    """The item belongs to `to_partition`. The record was sent there before this entry was written."""

    rerouted_type: InputType
    rerouted_id: str
    item: str
    to_partition: int
    decided_at: str


class OrderDeadLettered(EntryBase, frozen=True):
    """The record is no event. Its bytes were sent to the dead letters before this entry was written."""

    reason: DeadLetterReason
    decided_at: str


Entry: TypeAlias = (
    InventoryReserved
    | InventoryFailed
    | StockChanged
    | ReservationReleased
    | CancelRejected
    | DuplicateIgnored
    | OrderRerouted
    | OrderDeadLettered
)
JournalEvent: TypeAlias = Entry | OwnerClaimed


def type_and_id(event: Input) -> tuple[InputType, str]:
    """The event's type, and the id that duplicates of it share."""
    if isinstance(event, OrderPlaced):
        return "OrderPlaced", event.order_id
    if isinstance(event, OrderCancelled):
        return "OrderCancelled", event.order_id
    return "StockAdded", event.event_id
