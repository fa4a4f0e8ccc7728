"""What the order book answers: orders, the stock, and how far the book has come. The API returns these as
JSON."""

from typing import Literal, TypeAlias

from msgspec import Struct

from campus.domain.events import CancelReason, FailReason

OrderStatus: TypeAlias = Literal["accepted", "reserved", "failed", "cancelled"]


class OrderView(Struct, frozen=True, kw_only=True, gc=False):
    """An order as far as it is known. `placed_at` is the client's time, all other times are the log's.

    `partition`, `offset`, `accepted_at`: where and when order-events took the record that is decided; a
    reroute changes them once. `remaining`, `journal_offset`, `seq`: of the entry that made the status.
    """

    order_id: str
    status: OrderStatus
    user_id: str
    item: str
    quantity: int
    placed_at: str | None
    accepted_at: str | None
    decided_at: str | None
    cancelled_at: str | None
    reason: FailReason | None
    cancel_rejected: CancelReason | None
    remaining: int | None
    partition: int
    offset: int | None
    journal_offset: int | None
    seq: int | None


class StockView(Struct, frozen=True, kw_only=True):
    """`reserved`: portions that are reserved and not released. True as of that entry of the journal."""

    item: str
    remaining: int
    reserved: int
    partition: int
    as_of_offset: int
    as_of_seq: int


class BookWindow(Struct, frozen=True, kw_only=True):
    """`behind`: records of both logs that the book had not read when it last asked for their ends."""

    orders: int
    orders_max: int
    caught_up: bool
    behind: int
