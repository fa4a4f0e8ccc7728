"""The WSGI app: a bottle app whose routes are the table's, and what is the same for each of them.

A view takes the environ and what stands in the path, and gives a whole response or raises Refused. What
bottle itself refuses is a problem like any other.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, TypeAlias

import bottle

from campus.api.batch import BatchHandler
from campus.api.headers import NOT_ACCEPTABLE, accepts
from campus.api.operations import OPERATIONS, PATHS, Operation, allow_header, allow_of
from campus.api.orders import OrderHandler
from campus.api.parameters import require_no_query, value_of
from campus.api.problems import METHOD_NOT_ALLOWED, NO_SUCH_PATH
from campus.api.publisher import ApiSettings, Publisher
from campus.api.reading import Reading
from campus.api.stock import StockHandler
from campus.http.problems import Refused, Response
from campus.supervision.registry import Registry

Environ: TypeAlias = dict[str, Any]
View: TypeAlias = Callable[..., Response]
StartResponse: TypeAlias = Callable[[str, list[tuple[str, str]]], Any]

BATCH_PATH = "/orders"
# Any text may stand in a path, quoted, a slash too. But GET /orders/x/cancel is not the order "x/cancel".
RULES = {"order_id": r"<order_id:re:cancel|[\s\S]+(?<!/cancel)>", "item": r"<item:re:[\s\S]+>"}
_PLACEHOLDER = re.compile(r"{(\w+)}")


def make_app(settings: ApiSettings, publisher: Publisher, registry: Registry) -> "App":
    handler, reading = OrderHandler(settings, publisher, registry), Reading(publisher, registry)
    batches, stock = BatchHandler(handler), StockHandler(settings, publisher, handler, reading)
    views: dict[str, View] = {
        "place_order": handler.place,
        "place_orders": batches.place,
        "get_order": reading.order,
        "find_orders": reading.orders,
        "cancel_order": stock.cancel,
        "get_stock": reading.stock,
        "restock": stock.restock,
        "get_health": reading.health,
        "get_openapi": reading.openapi,
        "get_docs": reading.docs,
        "get_index": reading.index,
    }
    app = App()
    for operation in OPERATIONS:
        app.route(_rule(operation.path), operation.method, _checked(operation, views[operation.name]))
    for path in PATHS:
        app.route(_rule(path), "OPTIONS", _methods_of(path))
    return app


class App(bottle.Bottle):  # type: ignore[misc]
    """bottle finds the route. Of what it would do for each response nothing is left to do when a view has
    made one whole, and doing it took longer than the view (measured: 61 µs an order, this way 28)."""

    def wsgi(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            response = self._response(environ)
        except Refused as refused:
            response = refused.response
        headers = [*response.headers]
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append(("content-length", str(len(response.body))))
        start_response(_status_line(response.status), headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]

    def _response(self, environ: Environ) -> Response:
        path = environ["PATH_INFO"]
        try:
            if not path.isascii():
                environ["PATH_INFO"] = path.encode("latin-1").decode()
            route, arguments = self.match(environ)
        except UnicodeDecodeError:
            raise NO_SUCH_PATH.refuses("The path is not UTF-8") from None
        except bottle.HTTPError as error:
            raise _refusal_of(error) from error
        response: Response = route.callback(environ, **arguments)
        return response


def _rule(path: str) -> str:
    return _PLACEHOLDER.sub(lambda name: RULES[name[1]], path)


def _checked(operation: Operation, view: View) -> View:
    """The view, asked only for what it can give, and by the parameters that it takes."""
    gives = tuple({answer.media_type.partition(";")[0] for answer in operation.answers})
    in_path = {p.name: p for p in operation.parameters if p.where == "path"}
    takes_query = any(p.where == "query" for p in operation.parameters)

    def serve(environ: Environ, **arguments: str) -> Response:
        accept = environ.get("HTTP_ACCEPT", "*/*")
        if accept != "*/*" and not accepts(accept, gives):
            raise NOT_ACCEPTABLE.refuses(f"There is {' and '.join(sorted(gives))}")
        for name, text in arguments.items():
            value_of(in_path[name], text)
        if environ["QUERY_STRING"] and not takes_query:
            require_no_query()
        return view(environ, **arguments)

    return serve


def _methods_of(path: str) -> View:
    response = Response(HTTPStatus.NO_CONTENT, (("allow", allow_of(path)),), b"")
    return lambda _environ, **_: response


def _refusal_of(error: Any) -> Refused:
    """What bottle itself refuses: a path or a method that is not there."""
    if error.status_code == METHOD_NOT_ALLOWED.status:
        allow = allow_header(error.get_header("Allow").split(","))
        return METHOD_NOT_ALLOWED.refuses(f"There is {allow}", headers=(("allow", allow),))
    return NO_SUCH_PATH.refuses("See GET /docs for what there is")


@lru_cache(maxsize=64)
def _status_line(status: int) -> str:
    return f"{int(status)} {HTTPStatus(status).phrase}"
