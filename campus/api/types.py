"""What goes in and out of the API. These types validate, are encoded, and make the description."""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from campus.book.views import BookWindow, OrderView, StockView
from campus.domain.events import Quantity, Text

ORDERS_LISTED_MAX = 1000

ListLimit: TypeAlias = Annotated[int, Meta(ge=1, le=ORDERS_LISTED_MAX)]


# What comes in.


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order to place."""

    user_id: Text
    item: Text
    quantity: Quantity


Orders: TypeAlias = Annotated[list[Order], Meta(min_length=1)]


class Restock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stock that has arrived."""

    quantity: Quantity


class Nothing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An empty object, where there is nothing to say."""


# What goes out.


class Accepted(Struct, frozen=True, kw_only=True):
    """An order that the broker has. Whether it is reserved is decided a moment later."""

    order_id: str
    status: Literal["accepted"]
    user_id: str
    item: str
    quantity: int


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong, and where: in the body, a parameter or a header."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    header: str | UnsetType = UNSET
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is wrong, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] | UnsetType = UNSET
    order_id: str | UnsetType = UNSET
    event_id: str | UnsetType = UNSET


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of one order of a batch; `status` is what it would have been answered alone."""

    index: int
    status: int
    order_id: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """The results stand in the order of the batch."""

    accepted: int
    results: list[Result]


class OrderList(Struct, frozen=True, kw_only=True):
    """Newest first, of those that the order book remembers."""

    orders: list[OrderView]
    window: BookWindow


class StockList(Struct, frozen=True, kw_only=True):
    stock: list[StockView]
    window: BookWindow


class Restocked(Struct, frozen=True, kw_only=True):
    """Stock that the broker has; it is counted a moment later."""

    event_id: str
    item: str
    quantity: int
    status: Literal["accepted"]


class Cancelling(Struct, frozen=True, kw_only=True):
    """A cancellation that the broker has. The reservation is released a moment later, once."""

    order_id: str
    status: Literal["cancelling"]
    item: str


class Health(Struct, frozen=True, kw_only=True):
    status: Literal["ok"]


class Index(Struct, frozen=True, kw_only=True):
    """Where to read on."""

    docs: Literal["/docs"]
    openapi: Literal["/openapi.json"]
