"""Calls a WSGI app inline in the event loop, so the app must never block: it returns a `Deferred` instead."""

import io
import logging
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Headers, Response
from campus.http.refusals import INTERNAL_ERROR

PATH_CHARS_LOGGED = 200

Environ: TypeAlias = dict[str, Any]
WsgiApp: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

log = logging.getLogger("http")


def environ_of_connection(server: tuple[str, int], client: tuple[str, int]) -> Environ:
    """The part of PEP 3333's environ that all requests of a connection share; it is copied for each."""
    return {
        "REQUEST_METHOD": "",
        "SCRIPT_NAME": "",
        "PATH_INFO": "",
        "QUERY_STRING": "",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def add_body(environ: Environ, body: bytes | bytearray) -> None:
    environ["CONTENT_LENGTH"] = str(len(body))
    environ["wsgi.input"] = io.BytesIO(body)


class AppCaller:
    """Used in one event loop, so calls never overlap and `start_response` needs no object per request."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._status = 0
        self._headers: Headers = ()

    def call(self, environ: Environ) -> tuple[Response, Deferred | None]:
        self._status = 0
        try:
            chunks = self._app(environ, self._start_response)
            body = chunks[0] if type(chunks) is list and len(chunks) == 1 else b"".join(chunks)
            if close := getattr(chunks, "close", None):
                close()
            assert self._status, "the app returned without calling start_response"
        except Exception:  # noqa: BLE001 - a fault of the app: logged, and answered with 500
            log_failure(environ)
            return INTERNAL_ERROR, None
        return Response(self._status, self._headers, body), environ.get(DEFERRED)

    def _start_response(self, status: str, headers: Headers, _exc_info: object = None) -> None:
        self._status, self._headers = int(status[:3]), headers


def log_failure(environ: Environ) -> None:
    path = environ["PATH_INFO"][:PATH_CHARS_LOGGED]
    log.exception("%s %r failed", environ["REQUEST_METHOD"], path)
