"""uvicorn's HTTP protocol with bounds on what a client may send, and on how long it may take.

A client owes us a whole head, then a whole body, each within its time; what it owes is not waited for
longer, and what is too much is refused before it is kept. A refusal never passes the answer of an earlier
request on the same connection: the client would take it for that answer.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus
from typing import Any, NoReturn

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from campus.runtime.http.problems import Response, plain_problem

LOOK_AGAIN_S = 0.1  # whether the answers before a refusal are out
# Of a message as it is sent: chunks of one byte are six, and of a body that is refused some is taken.
WIRE_BYTES_PER_BODY_BYTE = 16
PIPELINED_MAX = 100  # uvicorn would take any number, and keeps some kilobytes for each
RETRY_AFTER_S = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`answer_timeout_s`: of what a view waits for. `drain_s`: of the answers that are owed at a stop."""

    body_bytes_max: int = 65_536
    head_bytes_max: int = 16_384
    headers_max: int = 64
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    keep_alive_s: int = 15
    connections_max: int = 1000
    answer_timeout_s: float = 30.0
    drain_s: float = 5.0


class Owed(Enum):
    """By the client, to us."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


MALFORMED = plain_problem(400, "This is no HTTP that is understood here")
HEAD_LATE = plain_problem(408, "The head of the request did not come in time")
BODY_LATE = plain_problem(408, "The body did not come in time")
URL_TOO_LONG = plain_problem(414, "The URL is too long")
TOO_MANY_AT_ONCE = plain_problem(429, f"More than {PIPELINED_MAX} requests wait on this connection")
HEAD_TOO_LARGE = plain_problem(431, "The headers are too many or too long")
BODY_TOO_LARGE = plain_problem(413, "The body is too large")
TOO_MANY_CONNECTIONS = plain_problem(
    503, "There are too many connections", headers=(("retry-after", str(RETRY_AFTER_S)),)
)
STOPPING = plain_problem(503, "The server is stopping", headers=(("retry-after", str(RETRY_AFTER_S)),))


class GuardedProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._owed = Owed.HEAD
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._message = 0  # which one on this connection
        self._wire_bytes = 0  # of this message, without the first piece it came in
        self._header_count = 0
        self._header_bytes = 0
        self._heard = False
        self._why = MALFORMED  # what to answer if the parser stops
        self._refusing = False
        self._watched = (0, Owed.NOTHING)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections_max:
            self._refuse(TOO_MANY_CONNECTIONS)
        else:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._timer, self._write_timer):
            if timer:
                timer.cancel()
        for cycle in self._unanswered:  # uvicorn tells the newest only, and the others would still write
            cycle.disconnected = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusing:
            return
        self._heard = True
        if self._owed is Owed.NOTHING:
            self._owed = Owed.HEAD
        message = self._message
        super().data_received(data)
        if message == self._message:
            self._count(len(data))
        if not self._refusing:
            self._watch()

    def shutdown(self) -> None:
        """A stop: what has been taken whole is answered, what has not is refused."""
        if self._owed is not Owed.NOTHING and self._heard:
            self._refuse(STOPPING)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self._limits.body_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer:
            self._write_timer.cancel()

    # What the parser finds. To raise here makes it stop, and uvicorn call `send_400_response`.

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._owed = Owed.HEAD
        self._message += 1
        self._wire_bytes = self._header_count = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.head_bytes_max:
            self._stop_parsing(URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        limits = self._limits
        if self._header_count > limits.headers_max or self._header_bytes > limits.head_bytes_max:
            self._stop_parsing(HEAD_TOO_LARGE)
        # After a chunked body it is a trailer, and may not pass for a header.
        if self._owed is Owed.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if len(self._unanswered) >= PIPELINED_MAX:
            self._stop_parsing(TOO_MANY_AT_ONCE)
        super().on_headers_complete()
        self._owed = Owed.BODY
        self._unanswered.append(self.cycle)
        if self.parser.should_upgrade():  # which is declined, and the parser will not go on after it
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._owed = Owed.NOTHING

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._why)

    def _stop_parsing(self, why: Response) -> NoReturn:
        self._why = why
        raise ValueError("too much")

    # Time and size of what is owed.

    def _count(self, received: int) -> None:
        """The parser keeps an unfinished header or trailer without telling of it: this bounds them."""
        if self._owed is Owed.NOTHING:
            self._wire_bytes = 0
            return
        self._wire_bytes += received
        most = self._limits.head_bytes_max
        if self._owed is Owed.BODY:
            most += WIRE_BYTES_PER_BODY_BYTE * self._limits.body_bytes_max
        if self._wire_bytes > most:
            self._refuse(BODY_TOO_LARGE if self._owed is Owed.BODY else HEAD_TOO_LARGE)

    def _watch(self) -> None:
        """Have a timer for what is owed now; a request that comes in one piece never needs one."""
        now = (self._message, self._owed)
        if now == self._watched:
            return
        self._watched = now
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._owed is not Owed.NOTHING:
            self._start_timer()

    def _start_timer(self) -> None:
        limits = self._limits
        timeout_s = limits.head_timeout_s if self._owed is Owed.HEAD else limits.body_timeout_s
        self._timer = self.loop.call_later(timeout_s, self._time_is_over)

    def _time_is_over(self) -> None:
        if self.flow.read_paused:  # it is us who did not read
            self._start_timer()
        elif not self._heard:
            self.transport.close()
        else:
            self._refuse(HEAD_LATE if self._owed is Owed.HEAD else BODY_LATE)

    # Refusing.

    def _refuse(self, response: Response) -> None:
        """Answer and close, as soon as every earlier request has its answer; read nothing any more."""
        self._refusing = True
        if self._timer:
            self._timer.cancel()
        if self._answers_are_due():
            self._timer = self.loop.call_later(LOOK_AGAIN_S, self._refuse, response)
            return
        if not self.transport.is_closing() and not self._answer_has_begun():
            self.transport.write(self._on_the_wire(response))
        self.transport.close()

    def _answers_are_due(self) -> bool:
        """To requests before the one that is refused, which is itself unanswered if its head is whole."""
        return len(self._unanswered) > (1 if self._owed is Owed.BODY else 0)

    def _answer_has_begun(self) -> bool:
        return self._owed is Owed.BODY and self.cycle.response_started

    def _on_the_wire(self, response: Response) -> bytes:
        status = HTTPStatus(response.status)
        headers = [
            *((name.decode(), value.decode()) for name, value in self.server_state.default_headers),
            *response.headers,
            ("content-length", str(len(response.body))),
            ("connection", "close"),
        ]
        lines = [f"HTTP/1.1 {status} {status.phrase}", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + response.body
