"""A WSGI app behind an ASGI server: called inline, in the event loop, and answered now or later.

The app may only compute; what it would have to wait for, a view puts under `DEFERRED` into its environ,
beside returning its response. The response goes out when the `Deferred` is released, or another in its
place; each is answered once, within a time, whatever happens to the one who should release it.
"""

import asyncio
import io
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from campus.runtime.http.problems import Headers, Response, plain_problem, problem

DEFERRED = "campus.deferred"

WsgiApp: TypeAlias = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Message: TypeAlias = MutableMapping[str, Any]
Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

INTERNAL_ERROR = plain_problem(500, "This is a fault of ours; it has been logged")

log = logging.getLogger("http")


class Deferred:
    """What a response waits for. Made by a view, and touched from then on in the event loop only."""

    __slots__ = ("_answer", "_otherwise")

    def __init__(self, otherwise: Callable[[], Response]) -> None:
        """`otherwise` makes the answer for when nobody released the response in time."""
        self._answer: asyncio.Future[Response | None] = asyncio.get_running_loop().create_future()
        self._otherwise = otherwise

    def release(self) -> None:
        """Send the response that the view returned."""
        if not self._answer.done():
            self._answer.set_result(None)

    def replace(self, response: Response) -> None:
        """Send this one in its place."""
        if not self._answer.done():
            self._answer.set_result(response)

    def give_up(self) -> None:
        if not self._answer.done():
            self._answer.set_result(self._otherwise())

    async def answer(self) -> Response | None:
        return await self._answer


class WsgiAdapter:
    def __init__(self, app: WsgiApp, *, body_bytes_max: int, answer_timeout_s: float) -> None:
        self._app = app
        self._body_bytes_max = body_bytes_max
        self._answer_timeout_s = answer_timeout_s
        self._waiting: dict[Deferred, float] = {}  # since when; the oldest first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._serve(scope, receive, send)
        except Exception:
            log.exception("%s %r failed", scope["method"], scope["path"])
            raise

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._read_body(scope, receive)
        except _ClientLeft:
            return
        except _TooLarge:
            await self._refuse_body(receive, send)
            return
        response, deferred = self._call(_environ(scope, body))
        if deferred is not None:
            response = await self._answer_to(deferred) or response
        await send(_head(response))
        await send({"type": "http.response.body", "body": response.body})

    def give_up_overdue(self, now_s: float) -> None:
        """Call it now and then, with the loop's time: whoever should release them may be stuck."""
        for deferred, since_s in list(self._waiting.items()):
            if now_s - since_s < self._answer_timeout_s:
                return
            deferred.give_up()

    def give_up_all(self) -> None:
        for deferred in list(self._waiting):
            deferred.give_up()

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._body_bytes_max:
                raise _TooLarge
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _ClientLeft
            piece: bytes = message["body"]
            body += piece
            if len(body) > self._body_bytes_max:
                raise _TooLarge
            if not message["more_body"]:
                return body

    async def _refuse_body(self, receive: Receive, send: Send) -> None:
        """Answer, and go on taking what comes until the client has seen it, or the guard has enough.

        To close on bytes that nobody has read resets the connection, and the answer is lost with it.
        """
        response = problem(
            413,
            "body-too-large",
            "The body is too large",
            f"At most {self._body_bytes_max} bytes are read",
            headers=(("connection", "close"),),
        )
        await send(_head(response))
        await send({"type": "http.response.body", "body": response.body, "more_body": True})
        message = await receive()
        while message["type"] != "http.disconnect" and message["more_body"]:
            message = await receive()
        await send({"type": "http.response.body", "body": b""})

    def _call(self, environ: dict[str, Any]) -> tuple[Response, Deferred | None]:
        started = _Started()
        try:
            chunks = self._app(environ, started)
            response = Response(started.status, started.headers, b"".join(chunks))
            if close := getattr(chunks, "close", None):
                close()
        except Exception:
            log.exception("%s %r failed", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            return INTERNAL_ERROR, None
        return response, environ.get(DEFERRED)

    async def _answer_to(self, deferred: Deferred) -> Response | None:
        self._waiting[deferred] = asyncio.get_running_loop().time()
        try:
            return await deferred.answer()
        finally:
            del self._waiting[deferred]


class _Started:
    """WSGI's start_response, which is told the head of the response."""

    status = 0
    headers: Headers = ()

    def __call__(self, status: str, headers: Headers, _exc_info: object = None) -> None:
        self.status, self.headers = int(status[:3]), headers


class _ClientLeft(Exception):
    pass


class _TooLarge(Exception):
    pass


def _head(response: Response) -> Message:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(response.body)))
    return {"type": "http.response.start", "status": response.status, "headers": headers}


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    """The request as PEP 3333 wants it, its whole body in memory."""
    server, client = scope["server"] or ("", 0), scope["client"] or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in scope["headers"]:
        key = _environ_key(name)
        if key is not None:
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


@lru_cache(maxsize=256)
def _environ_key(header: bytes) -> str | None:
    """None for what is told otherwise, and for a name whose "_" would pass for another header's "-"."""
    if b"_" in header or header in (b"content-length", b"transfer-encoding"):
        return None
    key = header.decode("latin-1").upper().replace("-", "_")
    return key if key == "CONTENT_TYPE" else f"HTTP_{key}"
