"""What the head of a request may say, beyond what the parser checks, and what becomes of it in the environ.

llhttp lets through what others could read in another way, and that is refused here: no host or two, other
codings than chunked, chunked in HTTP/1.0, a target that is no path.
"""

import re
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from campus.http import refusals
from campus.http.problems import Refused
from campus.http.wsgi import Environ

CODING = "HTTP_TRANSFER_ENCODING"
WITH_A_BODY = frozenset({"POST", "PUT", "PATCH"})

HOST = re.compile(r"[A-Za-z0-9._~%!$&'()*+;=-]*(:[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{0,5})?")
ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)


@lru_cache(maxsize=256)
def environ_key(header: bytes) -> str | None:
    """None for a name whose "_" would pass for another header's "-"."""
    if b"_" in header:
        return None
    key = header.decode("latin-1").upper().replace("-", "_")
    return key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"


def require_host(host: str | None, version: str) -> None:
    if host is None:
        if version == "1.1":
            raise Refused(refusals.BAD_HOST)
    elif not _is_host(host):  # two of them have a comma between
        raise Refused(refusals.BAD_HOST)


@lru_cache(maxsize=256)
def _is_host(host: str) -> bool:
    return HOST.fullmatch(host) is not None


def add_target(environ: Environ, url: bytes, method: str) -> None:
    if method == "CONNECT":  # after which others take what follows for no body
        raise Refused(refusals.BAD_TARGET)
    if url[:1] != b"/":
        url = _origin_form(environ, url, method)
    environ["PATH_INFO"], environ["QUERY_STRING"] = _path_and_query(url)


def _origin_form(environ: Environ, url: bytes, method: str) -> bytes:
    """A target that is no path: of the whole server, or with its host, which then is the one that counts."""
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


def require_framing(environ: Environ, method: str, version: str, most: int) -> None:
    """How long the body is must be said in one way, and may not be too much."""
    coding, length = environ.get(CODING), environ.get("CONTENT_LENGTH")
    if coding is not None:
        if coding.lower() != "chunked" or version != "1.1":
            raise Refused(refusals.BAD_CODING)
    elif length is None:
        # Without either there is no body (RFC 9112, 6.3), as `curl -X POST` has none; but who names its type
        # has one in mind.
        if method in WITH_A_BODY and "CONTENT_TYPE" in environ:
            raise Refused(refusals.LENGTH_REQUIRED)
    elif int(length) > most:
        raise Refused(refusals.BODY_TOO_LARGE)


def expects(expectation: str, version: str) -> bool:
    if expectation.lower() != "100-continue":
        raise Refused(refusals.BAD_EXPECTATION)
    return version == "1.1"


def says_close(connection: str) -> bool:
    return any(option.strip().lower() == "close" for option in connection.split(","))
