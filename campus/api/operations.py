"""The API as one table: the routes and the description are both made from it, so they cannot differ.

Each operation lists everything it takes and every response it can give, except problems that follow from what
it takes (`Operation.problem_types`). How the responses are made is not here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from campus.api import bodies, problems, types
from campus.api.headers import INVALID_KEY, NOT_ACCEPTABLE, IdempotencyKey
from campus.api.parameters import Parameter
from campus.book.views import OrderStatus, OrderView
from campus.domain.events import Text
from campus.http.json_body import MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE
from campus.http.problems import JSON, ProblemType
from campus.http.refusals import PROBLEM_TYPES

HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Success:
    """A successful response. `headers`: those it always has, beside the ones of every response."""

    status: int
    description: str
    body: Any
    media_type: str = JSON
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`name` is also that of the view (app.py); `body`: the type of the request body by media type."""

    name: str
    method: str = "GET"
    path: str
    summary: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)
    is_body_required: bool = True
    needs_token: bool = False
    responses: tuple[Success, ...]
    problems: tuple[ProblemType, ...] = ()

    def problem_types(self) -> tuple[ProblemType, ...]:
        """All problems: its own, and those that follow from its method and from what it takes."""
        return (
            *self.problems,
            *((MALFORMED_JSON, UNSUPPORTED_MEDIA_TYPE) if self.body else ()),
            *((problems.NO_SUCH_PATH,) if "{" in self.path else ()),  # if it is not UTF-8
            *((INVALID_KEY,) if KEY in self.parameters else ()),
            *((problems.NO_TOKEN, problems.WRONG_TOKEN) if self.needs_token else ()),
            problems.INVALID_PARAMETER,
            NOT_ACCEPTABLE,
            *server_problems(self.method),
        )


def server_problems(method: str) -> tuple[ProblemType, ...]:
    """What the server itself can answer to this method."""
    return tuple(problem for problem in PROBLEM_TYPES if problem.status != 411 or method == "POST")


KEY = Parameter(
    "Idempotency-Key",
    "header",
    IdempotencyKey,
    "Makes a retry safe: the same key with the same body is carried out once, whichever process gets it. Use "
    "a new key for each new request, such as a UUID, in quotes or as a bare word.",
    example='"8e03978e-40d5-43dd-bc93-6894a57f9324"',
)
PREFER = Parameter(
    "Prefer", "header", str, "`wait=5` waits up to 5 seconds for the outcome (RFC 7240).", example="wait=5"
)
ORDER_ID = Parameter("order_id", "path", Text, "The id of the order, percent-encoded.")
ITEM = Parameter("item", "path", Text, "The item, percent-encoded. It may be new.", example="pizza")

WRITES = (problems.TOO_MANY_WAITING, problems.STARTING_ANEW, problems.NOT_ACKNOWLEDGED)
FINDS_ORDER = (problems.UNKNOWN_ORDER, problems.ORDER_BOOK_BEHIND, problems.NO_ORDER_BOOK)

OPERATIONS = (
    Operation(
        name="place_order",
        method="POST",
        path="/order",
        summary="Place an order",
        description="Answered when the broker has acknowledged the order. Whether it is reserved or fails is "
        "decided a moment later: look at its Location, or send `Prefer: wait`. Any item may be ordered; an "
        "item that is not in stock fails. After a 503 with an order_id the order may still be carried out.",
        parameters=(KEY, PREFER),
        body={JSON: types.Order},
        responses=(
            Success(202, "The broker has acknowledged the order", types.AcceptedOrder, headers=("Location",)),
            Success(200, "The order is decided (`Prefer: wait`)", OrderView, headers=("Preference-Applied",)),
        ),
        problems=(bodies.ORDER.invalid, problems.KEY_REUSED, *WRITES),
    ),
    Operation(
        name="place_orders",
        method="POST",
        path="/orders",
        summary="Place many orders",
        description="A JSON array or one JSON object per line, by default up to 1,000 orders. Each order is "
        "placed or refused on its own, and its result has the status that it would have got alone; pointers "
        "are relative to the order. With an Idempotency-Key each order has its own key, made from that "
        "key and the order's position in the batch.",
        parameters=(KEY,),
        body={JSON: types.Orders, bodies.NDJSON: types.Order},
        responses=(
            Success(202, "The broker has acknowledged all orders", types.BatchResponse),
            Success(207, "Some orders were refused, or not acknowledged in time", types.BatchResponse),
        ),
        problems=(bodies.INVALID_BATCH,),
    ),
    Operation(
        name="get_order",
        path="/orders/{order_id}",
        summary="Get an order",
        description="From the order book, which remembers a bounded number of orders.",
        parameters=(ORDER_ID,),
        responses=(Success(200, "The order and its current status", OrderView),),
        problems=FINDS_ORDER,
    ),
    Operation(
        name="find_orders",
        path="/orders",
        summary="List the latest orders",
        description="Newest first, out of the orders that the order book remembers.",
        parameters=(
            Parameter("user_id", "query", Text, "By this user.", example="ana"),
            Parameter("item", "query", Text, "For this item.", example="pizza"),
            Parameter("status", "query", OrderStatus, "With this status."),
            Parameter("limit", "query", types.ListLimit, "At most this many, or 100."),
        ),
        responses=(Success(200, "The orders", types.OrderList),),
        problems=(problems.NO_ORDER_BOOK,),
    ),
    Operation(
        name="cancel_order",
        method="POST",
        path="/orders/{order_id}/cancel",
        summary="Cancel an order",
        description="Releases what the order reserved, once, even if it is sent again. Answered when the "
        "broker has acknowledged the cancellation; the order's status shows whether it came in time. The "
        "body is an empty object, or missing.",
        parameters=(ORDER_ID,),
        body={JSON: types.EmptyObject},
        is_body_required=False,
        responses=(
            Success(
                202, "The broker has acknowledged it, or it was cancelled before", types.AcceptedCancellation
            ),
        ),
        problems=(bodies.CANCELLATION.invalid, problems.NOT_CANCELLABLE, *FINDS_ORDER, *WRITES),
    ),
    Operation(
        name="get_stock",
        path="/stock",
        summary="Get the stock",
        description="Each item with the journal position at which its level is true.",
        responses=(Success(200, "The stock by item", types.StockList),),
        problems=(problems.ORDER_BOOK_BEHIND, problems.NO_ORDER_BOOK),
    ),
    Operation(
        name="restock",
        method="POST",
        path="/stock/{item}",
        summary="Add stock",
        description="Answered when the broker has acknowledged it. The bearer token is roles.producer.token "
        "or, if that is not set, in the file `token` in the folder broker.data_dir.",
        parameters=(ITEM, KEY),
        body={JSON: types.Restock},
        needs_token=True,
        responses=(Success(202, "The broker has acknowledged it", types.AcceptedRestock),),
        problems=(bodies.RESTOCK.invalid, problems.KEY_REUSED, *WRITES),
    ),
    Operation(
        name="get_health",
        path="/health",
        summary="Readiness",
        description="200 while the broker acknowledges writes, 503 until it answers again.",
        responses=(Success(200, "Ready", types.Health),),
        problems=(problems.BROKER_AWAY,),
    ),
    Operation(
        name="get_openapi",
        path="/openapi.json",
        summary="This description, as OpenAPI 3.1",
        responses=(Success(200, "The description", dict[str, Any]),),
    ),
    Operation(
        name="get_docs",
        path="/docs",
        summary="This description, as an HTML page",
        responses=(Success(200, "The page", str, media_type=HTML),),
    ),
    Operation(
        name="get_index",
        path="/",
        summary="Redirect to the documentation",
        responses=(Success(303, "Redirect to the documentation", types.Index, headers=("Location",)),),
    ),
)
PATHS = tuple(dict.fromkeys(operation.path for operation in OPERATIONS))


def allow_of(path: str) -> str:
    """The Allow header of a path of the table."""
    return allow_header(
        ["OPTIONS", *(operation.method for operation in OPERATIONS if operation.path == path)]
    )


def allow_header(methods: Iterable[str]) -> str:
    """The methods with a route, and HEAD, which GET's route serves."""
    methods = set(methods)
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
