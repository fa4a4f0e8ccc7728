"""The events, as they stand in Kafka: flat JSON, one object a record, bounded in every field.

What comes in (`Input`) is written by anyone; what comes out (`Entry`) is written by inventory
alone, one for each record that came in. The bounds keep the promise that every entry can be
written: a text that is echoed has at most TEXT_CHARS_MAX characters.
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
UnfitReason: TypeAlias = Literal["empty", "too_large", "not_json", "unknown_type", "wrong_shape"]


class Event(Struct, frozen=True, kw_only=True, gc=False, tag=True, tag_field="event_type"):
    """The name of the class is the `event_type`; fields that are not known are passed over."""


# What comes in, on order-events.


class OrderPlaced(Event, frozen=True):
    order_id: Text
    user_id: Text
    item: Text
    quantity: Quantity
    placed_at: Text | None = None


class StockAdded(Event, frozen=True):
    """Stock that arrived. Of an item's `opening` stock only the first ever counts."""

    event_id: Text
    item: Text
    quantity: StockQuantity
    reason: StockReason


class OrderCancelled(Event, frozen=True):
    """A wish: the reservation is released once, however often it is repeated. `item` is the order's."""

    order_id: Text
    item: Text


Input: TypeAlias = OrderPlaced | StockAdded | OrderCancelled


# What comes out, on inventory-events.


class OwnerClaimed(Event, frozen=True):
    """From here on only what this owner writes counts, decided with a memory of `window_orders`."""

    owner: Text
    rules: int
    window_orders: int


class InventoryReserved(Event, frozen=True):
    seq: int
    source_offset: int
    order_id: str
    user_id: str
    item: str
    quantity: int
    remaining: int
    placed_at: str | None
    decided_at: str


class InventoryFailed(Event, frozen=True):
    """`remaining` is null for an item that has never been in stock."""

    seq: int
    source_offset: int
    order_id: str
    user_id: str
    item: str
    quantity: int
    remaining: int | None
    reason: FailReason
    placed_at: str | None
    decided_at: str


class StockChanged(Event, frozen=True):
    seq: int
    source_offset: int
    event_id: str
    item: str
    quantity: int
    remaining: int
    reason: StockReason
    decided_at: str


class ReservationReleased(Event, frozen=True):
    """The order was reserved and is cancelled; its `quantity` is in stock again."""

    seq: int
    source_offset: int
    order_id: str
    item: str
    quantity: int
    remaining: int
    decided_at: str


class CancelRejected(Event, frozen=True):
    """Nothing changed. `unknown_order`: not decided here, within the window, for this item."""

    seq: int
    source_offset: int
    order_id: str
    item: str
    remaining: int | None
    reason: CancelReason
    decided_at: str


class DuplicateIgnored(Event, frozen=True):
    """The id was decided before, within the window (an opening stock: at any time before)."""

    seq: int
    source_offset: int
    repeated_type: InputType
    repeated_id: str
    item: str
    decided_at: str


class OrderRerouted(Event, frozen=True):
    """The item belongs to `to_partition`; the record was sent on there before this was written."""

    seq: int
    source_offset: int
    rerouted_type: InputType
    rerouted_id: str
    item: str
    to_partition: int
    decided_at: str


class OrderDeadLettered(Event, frozen=True):
    """The record fits no event; its bytes were sent to the dead letters before this was written."""

    seq: int
    source_offset: int
    reason: UnfitReason
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
    if isinstance(event, OrderPlaced):
        return "OrderPlaced", event.order_id
    if isinstance(event, OrderCancelled):
        return "OrderCancelled", event.order_id
    return "StockAdded", event.event_id
