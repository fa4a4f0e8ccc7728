"""What the connections of one server share: the app, the limits and their counters, the clock."""

import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from campus.http import refusals
from campus.http.deferred import DEFERRED, Deferred
from campus.http.limits import Limits
from campus.http.problems import BODY_KEY, App, Environ, Response
from campus.http.rate import TokenBuckets
from campus.http.wire import CLOSE, KEEP, KEEP_HTTP_1_0, date_line, encode_response

SERVER_OPTIONS = Response(204, (("allow", "GET, HEAD, OPTIONS, POST"),), b"")
PATH_CHARS_LOGGED = 200

log = logging.getLogger("http")


class Request(NamedTuple):
    environ: Environ
    keep_alive: bool


class ServerState:
    """Used in the event loop only."""

    def __init__(self, app: App, limits: Limits, now_s: Callable[[], float]) -> None:
        self.limits = limits
        self.now_s = now_s
        self.lingering = 0  # connections whose last response is written
        self.draining = False  # requests already received are answered, each as the last of its connection
        self.refusing = False  # requests that still wait are refused
        self._app = app
        per_s, burst = limits.requests_per_s, limits.requests_burst
        self._buckets = TokenBuckets(per_s, burst) if per_s else None
        self.body_bytes = 0  # of all requests, received or waiting to be handled
        self.date = date_line(time.time())  # the server renews it

    def take_body_bytes(self, count: int) -> bool:
        if self.body_bytes + count > self.limits.bodies_bytes_max:
            return False
        self.body_bytes += count
        return True

    def handle(self, request: Request) -> tuple[Response, Deferred | None]:
        """The response, and the `Deferred` that it waits for, if any."""
        environ = request.environ
        self.body_bytes -= len(environ[BODY_KEY])
        if self.refusing:
            return refusals.STOPPING, None
        if self._buckets is not None:
            wait_s = self._buckets.take(environ["REMOTE_ADDR"], self.now_s())
            if wait_s:
                return refusals.too_many_requests(wait_s), None
        if environ["PATH_INFO"] == "*":
            return SERVER_OPTIONS, None
        try:
            return self._app(environ), environ.get(DEFERRED)
        except Exception:  # noqa: BLE001 - a fault of the app: logged, and answered with 500
            _log_failure(environ)
            return refusals.INTERNAL_ERROR, None

    def encode(self, request: Request, response: Response, *, keep: bool) -> bytes:
        environ = request.environ
        connection = KEEP if keep else CLOSE
        if keep and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            connection = KEEP_HTTP_1_0
        to_head = environ["REQUEST_METHOD"] == "HEAD"
        try:
            return encode_response(response, self.date, connection, to_head=to_head)
        except (ValueError, TypeError):  # a header of the app that cannot be sent
            _log_failure(environ)
            return encode_response(refusals.INTERNAL_ERROR, self.date, connection)

    def encode_refusal(self, response: Response, *, to_head: bool) -> bytes:
        return encode_response(response, self.date, CLOSE, to_head=to_head)


def _log_failure(environ: Environ) -> None:
    path = environ["PATH_INFO"][:PATH_CHARS_LOGGED]
    log.exception("%s %r failed", environ["REQUEST_METHOD"], path)
