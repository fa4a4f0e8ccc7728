"""The app: a bottle router with one route per operation, and the checks that all operations share.

A view takes the environ and the parameters of path and query, and returns a complete response or raises
Refused. bottle's own errors become problems too.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import bottle

from campus.api.batch import place_batch
from campus.api.docs_page import PAGE
from campus.api.headers import NOT_ACCEPTABLE, accepts
from campus.api.openapi import DOCUMENT
from campus.api.operations import OPERATIONS, PATHS, Operation, allow_header, allow_of
from campus.api.orders import OrderHandler
from campus.api.parameters import convert, parse_query
from campus.api.problems import METHOD_NOT_ALLOWED, NO_SUCH_PATH
from campus.api.publisher import ApiSettings, Publisher
from campus.api.queries import QueryHandler
from campus.api.stock import StockHandler
from campus.api.types import Index
from campus.http.problems import App, Environ, Refused, Response, json_response
from campus.supervision.registry import Registry

View: TypeAlias = Callable[..., Response]

BATCH_PATH = "/orders"
# A parameter may be any text, percent-encoded, even with a slash. But GET /orders/x/cancel is not an order.
RULES = {"order_id": r"<order_id:re:cancel|[\s\S]+(?<!/cancel)>", "item": r"<item:re:[\s\S]+>"}
INDEX = json_response(303, Index(docs="/docs", openapi="/openapi.json"), (("location", "/docs"),))


def make_app(settings: ApiSettings, publisher: Publisher, registry: Registry) -> App:
    orders, queries = OrderHandler(settings, publisher, registry), QueryHandler(publisher, registry)
    stock = StockHandler(orders, queries)
    views: dict[str, View] = {
        "place_order": orders.place,
        "place_orders": partial(place_batch, orders),
        "get_order": queries.order,
        "find_orders": queries.orders,
        "cancel_order": stock.cancel,
        "get_stock": queries.stock,
        "restock": stock.restock,
        "get_health": queries.health,
        "get_openapi": _always(DOCUMENT),
        "get_docs": _always(PAGE),
        "get_index": _always(INDEX),
    }
    # The router alone, since a view's response is complete: with the rest of bottle, handling an order took
    # longer than its view (measured: 61 µs per order, this way 28).
    router = bottle.Router()
    for operation in OPERATIONS:
        router.add(_rule(operation.path), operation.method, _checked(operation, views[operation.name]))
    for path in PATHS:
        router.add(_rule(path), "OPTIONS", _always(Response(204, (("allow", allow_of(path)),), b"")))
    return partial(_respond, router)


def _respond(router: Any, environ: Environ) -> Response:
    path = environ["PATH_INFO"]
    try:
        if not path.isascii():
            environ["PATH_INFO"] = path.encode("latin-1").decode()
        view, arguments = router.match(environ)
    except UnicodeDecodeError:
        return NO_SUCH_PATH.response("The path is not UTF-8")
    except bottle.HTTPError as error:
        return _problem_of(error)
    try:
        response: Response = view(environ, **arguments)
    except Refused as refused:
        return refused.response
    return response


def _rule(path: str) -> str:
    return re.sub(r"{(\w+)}", lambda name: RULES[name[1]], path)


def _checked(operation: Operation, view: View) -> View:
    """The view behind the checks of Accept, path parameters and query."""
    media_types = tuple({response.media_type for response in operation.responses})
    in_path = {p.name: p for p in operation.parameters if p.where == "path"}
    in_query = {p.name: p for p in operation.parameters if p.where == "query"}

    def serve(environ: Environ, **arguments: Any) -> Response:
        accept = environ.get("HTTP_ACCEPT", "*/*")
        if accept != "*/*" and not accepts(accept, media_types):
            raise NOT_ACCEPTABLE.refusal(f"Available: {', '.join(sorted(media_types))}")
        for name, text in arguments.items():
            convert(in_path[name], text)
        if environ["QUERY_STRING"]:
            arguments |= parse_query(environ["QUERY_STRING"], in_query)
        return view(environ, **arguments)

    return serve


def _always(response: Response) -> View:
    return lambda _environ, **_: response


def _problem_of(error: Any) -> Response:
    """bottle's error for an unknown path or method."""
    if error.status_code == METHOD_NOT_ALLOWED.status:
        allow = allow_header(error.get_header("Allow").split(","))
        return METHOD_NOT_ALLOWED.response(f"Allowed: {allow}", headers=(("allow", allow),))
    return NO_SUCH_PATH.response("See GET /docs for the paths of this API")
