"""Encodes a response, head and body in one piece for one write.

The server sets Content-Length, Date and Connection, and adds security headers where the app sets none of that
name. A header with a line break in it is never sent.
"""

from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from campus.http.problems import Response

DEFAULTS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
SET_BY_SERVER = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
WITHOUT_BODY = frozenset({204, 304})

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# For the parameter `connection`. HTTP/1.0 needs the third to keep a connection open.
KEEP, CLOSE, KEEP_HTTP_1_0 = "", "connection: close\r\n", "connection: keep-alive\r\n"


def date_line(now_s: float) -> str:
    return f"date: {formatdate(now_s, usegmt=True)}\r\n"


def encode_response(response: Response, date: str, connection: str, *, to_head: bool = False) -> bytes:
    """`date`: a `date_line`; `connection`: KEEP, CLOSE or KEEP_HTTP_1_0; `to_head`: the method was HEAD.

    Raises ValueError if a header cannot be sent.
    """
    status, headers, body = response.status, response.headers, response.body
    names, values = zip(*headers, strict=True) if headers else ((), ())
    if not "".join(values).isprintable():
        raise ValueError(f"a control character in one of the headers {names}")
    fields = _fields(names) % values
    has_body = status not in WITHOUT_BODY
    length = f"content-length: {len(body)}\r\n" if has_body else ""
    head = f"{_status_line(status)}{date}{fields}{length}{connection}\r\n".encode("latin-1")
    return head + body if has_body and not to_head else head


@lru_cache(maxsize=256)
def _fields(names: tuple[str, ...]) -> str:
    """The format string for headers of these names, defaults included; it takes the values."""
    lower = [name.lower() for name in names]
    # %.0s takes a value and prints nothing.
    from_app = ["%.0s" if name in SET_BY_SERVER else f"{name}: %s\r\n" for name in lower]
    added = [f"{name}: {value}\r\n" for name, value in DEFAULTS.items() if name not in lower]
    return "".join([*from_app, *added])


@lru_cache(maxsize=128)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
