"""What the connections of one server share: the app, the limits and what is taken of them, the time."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from campus.http import refusals
from campus.http.deferred import Deferred
from campus.http.limits import Limits
from campus.http.problems import Response
from campus.http.rate import Buckets
from campus.http.requests import Request
from campus.http.wire import CLOSE, KEEP, KEEP_OLD, date_line, on_the_wire
from campus.http.wsgi import AppCaller, WsgiApp, log_failure

OPTIONS_OF_THE_SERVER = Response(204, (("allow", "GET, HEAD, OPTIONS, POST"),), b"")

log = logging.getLogger("http")


class AConnection(Protocol):
    """What of a connection is used here and in server.py."""

    def look_at_the_time(self, now_s: float) -> None: ...
    def drain(self) -> None: ...
    def give_up(self) -> None: ...
    def abort(self) -> None: ...


class Service:
    """Used in the event loop only."""

    def __init__(self, app: WsgiApp, limits: Limits, now_s: Callable[[], float]) -> None:
        self.limits = limits
        self.now_s = now_s
        self.connections: set[AConnection] = set()
        self.lingering = 0  # of them: answered for the last time
        self.nobody_is_there = asyncio.Event()
        self.nobody_is_there.set()
        self.draining = False  # what is taken is answered, and each answer is the last of its connection
        self.over = False  # what still waits is refused
        self._app = AppCaller(app)
        self._buckets = Buckets(limits.rate) if limits.rate else None
        self._body_bytes = 0
        self._date = date_line(time.time())

    # Connections, and their time.

    def enter(self, connection: AConnection) -> None:
        self.connections.add(connection)
        self.nobody_is_there.clear()

    def leave(self, connection: AConnection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self.nobody_is_there.set()

    def tick(self) -> None:
        """Now and then: one look at every connection costs less than a timer for every request."""
        self._date = date_line(time.time())
        now_s = self.now_s()
        for connection in list(self.connections):
            connection.look_at_the_time(now_s)

    # Bodies.

    def take_body_bytes(self, count: int) -> bool:
        if self._body_bytes + count > self.limits.bodies_bytes_max:
            return False
        self._body_bytes += count
        return True

    def give_back_body_bytes(self, count: int) -> None:
        self._body_bytes -= count

    # Requests.

    def answer(self, request: Request) -> tuple[Response, Deferred | None]:
        """The answer, and what it waits for."""
        environ = request.environ
        self._body_bytes -= request.body_bytes
        if self.over:
            return refusals.STOPPING, None
        if self._buckets is not None:
            wait_s = self._buckets.wait_s(environ["REMOTE_ADDR"], self.now_s())
            if wait_s:
                return refusals.too_many_requests(wait_s), None
        if environ["PATH_INFO"] == "*":
            return OPTIONS_OF_THE_SERVER, None
        return self._app.call(environ)

    def on_the_wire(self, request: Request, response: Response, *, keep: bool) -> bytes:
        environ = request.environ
        connection = KEEP if keep else CLOSE
        if keep and environ["SERVER_PROTOCOL"] == "HTTP/1.0":
            connection = KEEP_OLD
        try:
            return on_the_wire(response, self._date, connection, to_head=environ["REQUEST_METHOD"] == "HEAD")
        except (ValueError, TypeError):  # the app's headers are no text that can be sent
            log_failure(environ)
            return on_the_wire(refusals.INTERNAL_ERROR, self._date, connection)

    def refusal_on_the_wire(self, response: Response, *, to_head: bool) -> bytes:
        return on_the_wire(response, self._date, CLOSE, to_head=to_head)
