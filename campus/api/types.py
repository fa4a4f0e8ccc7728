"""The bodies of requests and responses. These types validate, encode, and make the API's description."""

from typing import Annotated, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from campus.book.views import BookWindow, OrderView, StockView
from campus.domain.events import Quantity, Text

ListLimit: TypeAlias = Annotated[int, Meta(ge=1, le=1000)]


# Requests.


class Order(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order to place."""

    user_id: Text
    item: Text
    quantity: Quantity


Orders: TypeAlias = Annotated[list[Order], Meta(min_length=1)]


class Restock(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stock that has arrived."""

    quantity: Quantity


class EmptyObject(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An object without fields."""


# Responses.


class AcceptedOrder(Struct, frozen=True, kw_only=True):
    """An order that the broker has acknowledged. Whether it is reserved is decided a moment later."""

    order_id: str
    status: Literal["accepted"]
    user_id: str
    item: str
    quantity: int


class ErrorItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One error, and its place in the body, a parameter or a header."""

    pointer: str | UnsetType = UNSET
    parameter: str | UnsetType = UNSET
    header: str | UnsetType = UNSET
    detail: str


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ErrorItem] | UnsetType = UNSET
    order_id: str | UnsetType = UNSET
    event_id: str | UnsetType = UNSET


class OrderResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one order of a batch. `status` is the status code that it would have got alone."""

    index: int
    status: int
    order_id: str | UnsetType = UNSET
    problem: Problem | UnsetType = UNSET


class BatchResponse(Struct, frozen=True, kw_only=True):
    """The results are in the order of the batch."""

    accepted: int
    results: list[OrderResult]


class OrderList(Struct, frozen=True, kw_only=True):
    """Orders that the order book remembers, newest first."""

    orders: list[OrderView]
    window: BookWindow


class StockList(Struct, frozen=True, kw_only=True):
    """The stock of every item that the order book knows."""

    stock: list[StockView]
    window: BookWindow


class AcceptedRestock(Struct, frozen=True, kw_only=True):
    """A restock that the broker has acknowledged. It is counted a moment later."""

    event_id: str
    item: str
    quantity: int
    status: Literal["accepted"]


class AcceptedCancellation(Struct, frozen=True, kw_only=True):
    """A cancellation that the broker has acknowledged. The reservation is released once, a moment later."""

    order_id: str
    status: Literal["cancelling"]
    item: str


class Health(Struct, frozen=True, kw_only=True):
    """The service is ready."""

    status: Literal["ok"]


class Index(Struct, frozen=True, kw_only=True):
    """Where the documentation is."""

    docs: Literal["/docs"]
    openapi: Literal["/openapi.json"]
