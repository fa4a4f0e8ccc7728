"""The API as one table: its routes are made of it, and so is its description, so that they cannot differ.

Each operation names all that it takes and every answer that it can give. Not here: how the answers are made.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from campus.api.bodies import INVALID_BATCH, NDJSON, NOTHING_FORM, ORDER_FORM, RESTOCK_FORM
from campus.api.headers import INVALID_KEY, IdempotencyKey
from campus.api.parameters import Parameter
from campus.api.problems import (
    BROKER_AWAY,
    KEY_REUSED,
    NO_ORDER_BOOK,
    NO_SUCH_PATH,
    NO_TOKEN,
    NOT_ACKNOWLEDGED,
    NOT_CANCELLABLE,
    ORDER_BOOK_BEHIND,
    STARTING_ANEW,
    TOO_MANY_WAITING,
    UNKNOWN_ORDER,
    WRONG_TOKEN,
)
from campus.api.types import (
    Accepted,
    BatchAnswer,
    Cancelling,
    Health,
    Index,
    ListLimit,
    Nothing,
    Order,
    OrderList,
    Orders,
    Restock,
    Restocked,
    StockList,
)
from campus.book.views import OrderStatus, OrderView
from campus.domain.events import Text
from campus.http.forms import MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE
from campus.http.problems import JSON, ProblemType

HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`headers`: those that it always has, beside those of every answer."""

    status: int
    says: str
    body: Any
    media_type: str = JSON
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`takes`: the body's type by its media type. `name` is also that of the view that serves it."""

    name: str
    method: str
    path: str
    summary: str
    says: str
    parameters: tuple[Parameter, ...] = ()
    takes: Mapping[str, Any] = field(default_factory=dict)
    body_required: bool = True
    needs_token: bool = False
    answers: tuple[Answer, ...]
    problems: tuple[ProblemType, ...] = ()


KEY = Parameter(
    name="Idempotency-Key",
    where="header",
    type=IdempotencyKey,
    says="The same key with the same body is the same wish, however often and wherever it is sent. A new key "
    "for each wish, best a UUID: a string in quotes, or the bare word.",
    example='"8e03978e-40d5-43dd-bc93-6894a57f9324"',
)
PREFER = Parameter(
    name="Prefer",
    where="header",
    type=str,
    says="`wait=5` waits up to 5 seconds for the outcome (RFC 7240). What is not understood is passed over.",
    example="wait=5",
)
ORDER_ID = Parameter(
    name="order_id",
    where="path",
    type=Text,
    required=True,
    says="The id, as it was given when the order was placed; what is not a letter or digit percent-encoded.",
)
ITEM = Parameter(
    name="item",
    where="path",
    type=Text,
    required=True,
    says="What arrived, percent-encoded; it need not have been in stock before.",
    example="pizza",
)

ORDER_BODY = (MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE)
IN_PATH = (NO_SUCH_PATH,)
HANDED_OVER = (TOO_MANY_WAITING, STARTING_ANEW)

PLACE_ORDER = Operation(
    name="place_order",
    method="POST",
    path="/order",
    summary="Place an order",
    says="Answered when the broker has the order. Whether it is reserved or fails is decided a moment later: "
    "look at its Location, or prefer to wait. Any item may be ordered; one that is not in stock fails. "
    "After a 503 with an order_id the order may still be carried out.",
    parameters=(KEY, PREFER),
    takes={JSON: Order},
    answers=(
        Answer(status=202, says="The broker has it", body=Accepted, headers=("Location",)),
        Answer(
            status=200,
            says="It is decided, as the client preferred to wait for",
            body=OrderView,
            headers=("Preference-Applied",),
        ),
    ),
    problems=(*ORDER_BODY, ORDER_FORM.invalid, INVALID_KEY, KEY_REUSED, *HANDED_OVER, NOT_ACKNOWLEDGED),
)
PLACE_ORDERS = Operation(
    name="place_orders",
    method="POST",
    path="/orders",
    summary="Place many orders",
    says="A JSON array, or a line of JSON for each; up to 1,000, if not set otherwise. Every order is "
    "placed or refused by itself, and its result says what it would have been answered alone; pointers "
    "are relative to it. With an Idempotency-Key each order has a key of its own, made of that one and "
    "its place in the batch.",
    parameters=(KEY,),
    takes={JSON: Orders, NDJSON: Order},
    answers=(
        Answer(status=202, says="The broker has them all", body=BatchAnswer),
        Answer(status=207, says="Some were refused, or not acknowledged in time", body=BatchAnswer),
    ),
    problems=(*ORDER_BODY, INVALID_BATCH, INVALID_KEY),
)
GET_ORDER = Operation(
    name="get_order",
    method="GET",
    path="/orders/{order_id}",
    summary="What has become of an order",
    says="From the order book, which remembers a bounded number of orders.",
    parameters=(ORDER_ID,),
    answers=(Answer(status=200, says="The order, as far as it is known", body=OrderView),),
    problems=(*IN_PATH, UNKNOWN_ORDER, ORDER_BOOK_BEHIND, NO_ORDER_BOOK),
)
FIND_ORDERS = Operation(
    name="find_orders",
    method="GET",
    path="/orders",
    summary="The latest orders",
    says="Newest first, of those that the order book remembers.",
    parameters=(
        Parameter(name="user_id", where="query", type=Text, says="Of this user.", example="ana"),
        Parameter(name="item", where="query", type=Text, says="For this item.", example="pizza"),
        Parameter(name="status", where="query", type=OrderStatus, says="With this status."),
        Parameter(name="limit", where="query", type=ListLimit, says="At most so many; 100 if not said."),
    ),
    answers=(Answer(status=200, says="The orders", body=OrderList),),
    problems=(NO_ORDER_BOOK,),
)
CANCEL_ORDER = Operation(
    name="cancel_order",
    method="POST",
    path="/orders/{order_id}/cancel",
    summary="Cancel an order",
    says="Releases what the order reserved, once, however often it is repeated. Answered when the broker "
    "has the wish; whether it came in time, the order tells. No body, or an empty object.",
    parameters=(ORDER_ID,),
    takes={JSON: Nothing},
    body_required=False,
    answers=(Answer(status=202, says="The broker has it, or it was cancelled before", body=Cancelling),),
    problems=(
        *ORDER_BODY,
        NOTHING_FORM.invalid,
        *IN_PATH,
        UNKNOWN_ORDER,
        NOT_CANCELLABLE,
        ORDER_BOOK_BEHIND,
        NO_ORDER_BOOK,
        *HANDED_OVER,
        NOT_ACKNOWLEDGED,
    ),
)
GET_STOCK = Operation(
    name="get_stock",
    method="GET",
    path="/stock",
    summary="What is in stock",
    says="Each item with the place in the journal as of which it is true.",
    answers=(Answer(status=200, says="The stock, by item", body=StockList),),
    problems=(ORDER_BOOK_BEHIND, NO_ORDER_BOOK),
)
RESTOCK = Operation(
    name="restock",
    method="POST",
    path="/stock/{item}",
    summary="Put more of an item in stock",
    says="Answered when the broker has it. The token is roles.producer.token, or stands in the file `token` "
    "in the folder broker.data_dir.",
    parameters=(ITEM, KEY),
    takes={JSON: Restock},
    needs_token=True,
    answers=(Answer(status=202, says="The broker has it", body=Restocked),),
    problems=(
        *ORDER_BODY,
        RESTOCK_FORM.invalid,
        *IN_PATH,
        INVALID_KEY,
        KEY_REUSED,
        NO_TOKEN,
        WRONG_TOKEN,
        *HANDED_OVER,
        NOT_ACKNOWLEDGED,
    ),
)
GET_HEALTH = Operation(
    name="get_health",
    method="GET",
    path="/health",
    summary="Whether orders go through",
    says="For probes: the door is open, and the broker acknowledges what it is given, or is there again.",
    answers=(Answer(status=200, says="All is well", body=Health),),
    problems=(BROKER_AWAY,),
)
GET_OPENAPI = Operation(
    name="get_openapi",
    method="GET",
    path="/openapi.json",
    summary="This description",
    says="As OpenAPI 3.1.",
    answers=(Answer(status=200, says="The description", body=dict[str, Any]),),
)
GET_DOCS = Operation(
    name="get_docs",
    method="GET",
    path="/docs",
    summary="This description, to be read",
    says="One page that needs nothing else.",
    answers=(Answer(status=200, says="The page", body=str, media_type=HTML),),
)
GET_INDEX = Operation(
    name="get_index",
    method="GET",
    path="/",
    summary="Where to begin",
    says="Leads to the page.",
    answers=(Answer(status=303, says="To the page", body=Index, headers=("Location",)),),
)

OPERATIONS = (
    PLACE_ORDER,
    PLACE_ORDERS,
    GET_ORDER,
    FIND_ORDERS,
    CANCEL_ORDER,
    GET_STOCK,
    RESTOCK,
    GET_HEALTH,
    GET_OPENAPI,
    GET_DOCS,
    GET_INDEX,
)
PATHS = tuple(dict.fromkeys(operation.path for operation in OPERATIONS))


def allow_of(path: str) -> str:
    """The methods that a path of the table takes, as they stand in an Allow header."""
    return allow_header(
        ["OPTIONS", *(operation.method for operation in OPERATIONS if operation.path == path)]
    )


def allow_header(methods: Iterable[str]) -> str:
    """Of the methods that have a route, and HEAD, which goes where GET goes."""
    methods = set(methods)
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
