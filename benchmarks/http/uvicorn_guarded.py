"""The peer of campus/http: uvicorn with httptools, a guard and an ASGI adapter around it.

It was the server before our own protocol class, and keeps the same promises as far as servers.py can see:
bounded heads and bodies, each with a timeout, refusals after earlier responses, and deferred responses. It
costs a task and an ASGI cycle more per request.
"""

import asyncio
import logging
import math
import socket
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache, partial
from threading import Event
from typing import Any, NoReturn, TypeAlias
from urllib.parse import unquote_to_bytes

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from campus.http import refusals
from campus.http.deferred import DEFERRED, Deferred
from campus.http.limits import Limits
from campus.http.problems import BODY_KEY, App, Environ, Response
from campus.http.requests import WIRE_BYTES_PER_BODY_BYTE, ReadState
from campus.http.server import BACKLOG, FLUSH_S
from campus.http.wire import CLOSE, DEFAULTS, date_line, encode_response

LOOK_AGAIN_S = 0.1  # whether the responses before a refusal are sent

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]


class UvicornServer:
    """As `campus.http.server.HttpServer`."""

    def __init__(self, app: App, limits: Limits) -> None:
        self._adapter = AsgiAdapter(app, limits)
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, listener: socket.socket, stop: Event) -> None:
        _Server(self._config(), stop, self).run(sockets=[listener])

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None, "nothing can wait for an answer before the server runs"
        self._loop.call_soon_threadsafe(callback, *args)

    def begins(self) -> None:
        self._loop = asyncio.get_running_loop()

    def tick(self) -> None:
        self._adapter.fall_back_if_overdue(asyncio.get_running_loop().time())

    def _config(self) -> uvicorn.Config:
        protocol: Any = partial(GuardedProtocol, limits=self._limits)
        return uvicorn.Config(
            self._adapter,
            interface="asgi3",
            http=protocol,
            ws="none",
            lifespan="off",
            workers=1,
            proxy_headers=False,
            server_header=False,
            headers=list(DEFAULTS.items()),
            backlog=BACKLOG,
            timeout_keep_alive=math.ceil(self._limits.keep_alive_s),
            timeout_graceful_shutdown=math.ceil(self._limits.drain_s + FLUSH_S),
            log_config=None,
            log_level=logging.CRITICAL + 1,
            access_log=False,
        )


class _Server(uvicorn.Server):
    """uvicorn checks ten times a second whether to stop; here it checks our event."""

    def __init__(self, config: uvicorn.Config, stop: Event, ours: UvicornServer) -> None:
        super().__init__(config)
        self._stop, self._ours = stop, ours

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._ours.begins()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        self._ours.tick()
        self.should_exit = self._stop.is_set()
        return await super().on_tick(counter)


class GuardedProtocol(HttpToolsProtocol):
    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._read_state = ReadState.HEAD
        self._unanswered: deque[RequestResponseCycle] = deque()
        self._message = 0  # which one on this connection
        self._wire_bytes = 0  # of this message, without the first piece it came in
        self._header_count = self._header_bytes = 0
        self._heard = False
        self._refusal = refusals.MALFORMED  # the response if the parser stops
        self._refusing = False
        self._timed = (0, ReadState.IDLE)
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections_max:
            self._refuse(refusals.TOO_MANY_CONNECTIONS)
        else:
            self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        for cycle in self._unanswered:  # uvicorn does this for the newest only
            cycle.disconnected = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refusing:
            return
        self._heard = True
        if self._read_state is ReadState.IDLE:
            self._read_state = ReadState.HEAD
        message = self._message
        super().data_received(data)
        if message == self._message:
            self._count(len(data))
        if not self._refusing:
            self._set_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._read_state = ReadState.HEAD
        self._message += 1
        self._wire_bytes = self._header_count = self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self._limits.head_bytes_max:
            self._stop_parsing(refusals.URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        limits = self._limits
        if self._header_count > limits.headers_max or self._header_bytes > limits.head_bytes_max:
            self._stop_parsing(refusals.HEAD_TOO_LARGE)
        if self._read_state is ReadState.HEAD:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._read_state = ReadState.BODY
        self._unanswered.append(self.cycle)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._read_state = ReadState.IDLE

    def on_response_complete(self) -> None:
        self._unanswered.popleft()
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(self._refusal)

    def _stop_parsing(self, why: Response) -> NoReturn:
        self._refusal = why
        raise ValueError("too much")

    def _count(self, received: int) -> None:
        if self._read_state is ReadState.IDLE:
            self._wire_bytes = 0
            return
        self._wire_bytes += received
        most = self._limits.head_bytes_max
        if self._read_state is ReadState.BODY:
            most += WIRE_BYTES_PER_BODY_BYTE * self._limits.body_bytes_max
        if self._wire_bytes > most:
            is_body = self._read_state is ReadState.BODY
            self._refuse(refusals.BODY_TOO_LARGE if is_body else refusals.HEAD_TOO_LARGE)

    def _set_timer(self) -> None:
        """Set a timer for the part being received; a request that arrives in one piece never needs one."""
        now = (self._message, self._read_state)
        if now == self._timed:
            return
        self._timed = now
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._read_state is not ReadState.IDLE:
            limits = self._limits
            timeout_s = limits.head_timeout_s if self._read_state is ReadState.HEAD else limits.body_timeout_s
            self._timer = self.loop.call_later(timeout_s, self._on_timeout)

    def _on_timeout(self) -> None:
        if not self._heard:
            self.transport.close()
        else:
            self._refuse(
                refusals.HEAD_TIMEOUT if self._read_state is ReadState.HEAD else refusals.BODY_TIMEOUT
            )

    def _refuse(self, response: Response) -> None:
        """Respond and close after every earlier request has its response; read nothing more."""
        self._refusing = True
        if self._timer:
            self._timer.cancel()
        if len(self._unanswered) > (1 if self._read_state is ReadState.BODY else 0):
            self._timer = self.loop.call_later(LOOK_AGAIN_S, self._refuse, response)
            return
        if not self.transport.is_closing():
            self.transport.write(encode_response(response, date_line(0), CLOSE))
        self.transport.close()


class AsgiAdapter:
    def __init__(self, app: App, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._waiting: dict[Deferred, float] = {}  # and its deadline

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
            if len(body) > self._limits.body_bytes_max:
                await _send_response(send, refusals.BODY_TOO_LARGE)
                return
        environ = _environ(scope, body)
        response, deferred = self._app(environ), environ.get(DEFERRED)
        if deferred is not None and not deferred.done:
            await self._wait_until_resolved(deferred)
        await _send_response(send, (deferred and deferred.replacement) or response)

    def fall_back_if_overdue(self, now_s: float) -> None:
        for deferred, until_s in list(self._waiting.items()):
            if now_s >= until_s:
                deferred.fall_back()

    async def _wait_until_resolved(self, deferred: Deferred) -> None:
        loop = asyncio.get_running_loop()
        self._waiting[deferred] = loop.time() + self._limits.answer_timeout_s + deferred.extra_timeout_s
        resolved: asyncio.Future[None] = loop.create_future()
        deferred.on_resolved = partial(resolved.set_result, None)
        try:
            await resolved
        finally:
            del self._waiting[deferred]


async def _send_response(send: Send, response: Response) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(response.body)))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _environ(scope: Message, body: bytes) -> Environ:
    environ: Environ = {
        "REMOTE_ADDR": (scope["client"] or ("",))[0],
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        BODY_KEY: body,
    }
    for name, value in scope["headers"]:
        key = _environ_key(name)
        if key is not None:
            environ[key] = value.decode("latin-1")
    return environ


@lru_cache(maxsize=256)
def _environ_key(header: bytes) -> str | None:
    if b"_" in header or header in (b"content-length", b"transfer-encoding"):
        return None
    key = header.decode("latin-1").upper().replace("-", "_")
    return key if key == "CONTENT_TYPE" else f"HTTP_{key}"
