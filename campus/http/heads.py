"""Checks of a request's head beyond the parser's, and its translation into the environ.

Refused here, because llhttp accepts it and another HTTP implementation could read it differently: no Host or
two of them, transfer codings other than chunked, chunked in HTTP/1.0, a target that is not a path. What is
refused raises Refused.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from campus.http import refusals
from campus.http.problems import Environ, Refused

TRANSFER_ENCODING = "HTTP_TRANSFER_ENCODING"
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+;=-]*(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?")
ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)


@lru_cache(maxsize=256)
def environ_key(header: bytes) -> str | None:
    """None for a name with "_", which would be taken for another header with "-"."""
    if b"_" in header:
        return None
    key = header.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def require_host(host: str | None, version: str) -> None:
    if host is None:
        if version == "1.1":
            raise Refused(refusals.BAD_HOST)
    elif not _is_host(host):  # two Host headers arrive joined by a comma
        raise Refused(refusals.BAD_HOST)


@lru_cache(maxsize=256)
def _is_host(host: str) -> bool:
    return HOST.fullmatch(host) is not None


def add_target(environ: Environ, url: bytes, method: str) -> None:
    if method == "CONNECT":  # other implementations do not read what follows it as a body
        raise Refused(refusals.BAD_TARGET)
    if url[:1] != b"/":
        url = _origin_form(environ, url, method)
    environ["PATH_INFO"], environ["QUERY_STRING"] = _path_and_query(url)


def _origin_form(environ: Environ, url: bytes, method: str) -> bytes:
    """Accepts `*` for OPTIONS, and http://host/path, whose host overrides the Host header (RFC 9112, 3.2)."""
    if url == b"*" and method == "OPTIONS":
        return url
    absolute = ABSOLUTE.fullmatch(url)
    if absolute is None or not _is_host(absolute[1].decode("latin-1")):
        raise Refused(refusals.BAD_TARGET)
    environ["HTTP_HOST"] = absolute[1].decode("latin-1")
    path = absolute[2] or b"/"
    return path if path.startswith(b"/") else b"/" + path


@lru_cache(maxsize=256)
def _path_and_query(url: bytes) -> tuple[str, str]:
    if b"#" in url:
        raise Refused(refusals.BAD_TARGET)
    path, _, query = url.partition(b"?")
    return unquote_to_bytes(path).decode("latin-1"), query.decode("latin-1")


def require_framing(environ: Environ, method: str, version: str, body_bytes_max: int) -> None:
    """The body's length must be stated in exactly one way and be within the limit."""
    coding, length = environ.get(TRANSFER_ENCODING), environ.get("CONTENT_LENGTH")
    if coding is not None:
        if coding.lower() != "chunked" or version != "1.1":
            raise Refused(refusals.BAD_TRANSFER_CODING)
    elif length is None:
        # Without either header there is no body (RFC 9112, 6.3), as with `curl -X POST`. But a client that
        # sends Content-Type means to send a body.
        if method in METHODS_WITH_BODY and "CONTENT_TYPE" in environ:
            raise Refused(refusals.LENGTH_REQUIRED)
    elif int(length) > body_bytes_max:
        raise Refused(refusals.BODY_TOO_LARGE)


def expects_continue(expectation: str, version: str) -> bool:
    if expectation.lower() != "100-continue":
        raise Refused(refusals.BAD_EXPECTATION)
    return version == "1.1"


def has_close(connection: str) -> bool:
    """Whether a Connection header has the option `close`."""
    return any(option.strip().lower() == "close" for option in connection.split(","))
