"""A response as bytes: head and body in one piece, for one write.

The server counts the body, says what becomes of the connection, and adds headers that keep a browser from
making something else of an answer, where the app has none of that name. A header with a line break in it
is never sent.
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
OURS = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
NO_BODY = frozenset({204, 304})

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
KEEP, CLOSE, KEEP_OLD = "", "connection: close\r\n", "connection: keep-alive\r\n"


class UnsendableHeader(ValueError):
    """A header of the app's own making that would end before its line does."""


def date_line(now_s: float) -> str:
    return f"date: {formatdate(now_s, usegmt=True)}\r\n"


def on_the_wire(response: Response, date: str, connection: str, *, to_head: bool = False) -> bytes:
    """`date`: a `date_line`; `connection`: KEEP, CLOSE or KEEP_OLD; `to_head`: the method was HEAD."""
    status, headers, body = response.status, response.headers, response.body
    names, values = zip(*headers, strict=True) if headers else ((), ())
    if not "".join(values).isprintable():
        raise UnsendableHeader(f"a control character in one of the headers {names}")
    fields = _fields(names) % values
    if to_head or status in NO_BODY:
        return _head_alone(response, f"{_status_line(status)}{date}{fields}{connection}")
    head = f"{_status_line(status)}{date}{fields}content-length: {len(body)}\r\n{connection}\r\n"
    return head.encode("latin-1") + body


def _head_alone(response: Response, head: str) -> bytes:
    """For HEAD the length is of the body that GET would get, which the app may have left out already."""
    if response.status not in NO_BODY:
        told = [value for name, value in response.headers if name.lower() == "content-length"]
        length = told[0] if told and not response.body else len(response.body)
        head += f"content-length: {length}\r\n"
    return f"{head}\r\n".encode("latin-1")


@lru_cache(maxsize=256)
def _fields(names: tuple[str, ...]) -> str:
    """A format that takes the values: what is the same in all responses with headers of these names."""
    lower = [name.lower() for name in names]
    own = ["%.0s" if name in OURS else f"{name}: %s\r\n" for name in lower]  # %.0s: takes one, shows none
    added = [f"{name}: {value}\r\n" for name, value in DEFAULTS.items() if name not in lower]
    return "".join([*own, *added])


@lru_cache(maxsize=128)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
