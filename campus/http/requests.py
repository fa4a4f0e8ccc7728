"""Parses the bytes of one connection into whole requests within the limits. It ends with the first refusal.

llhttp (in httptools) is strict: a bare LF or CR, folded headers, control characters, two lengths and bad
chunks are errors. What it accepts and another implementation could read differently is refused by heads.py.
"""

import re
from collections import deque
from enum import Enum
from typing import NoReturn

import httptools

from campus.http import heads, refusals
from campus.http.problems import BODY_KEY, Environ, Refused, Response
from campus.http.state import Request, ServerState

# Framing takes bytes too: blanks and line ends in a head, at least five bytes for a chunk of one.
WIRE_BYTES_PER_HEADER = 4
WIRE_BYTES_PER_BODY_BYTE = 16
# llhttp accepts these as HTTP and does not report it. No request served here has them elsewhere.
NOT_HTTP = re.compile(rb" (?:RTSP|ICE)/[0-9]\.[0-9]\r\n")
NOT_HTTP_BYTES = len(b" RTSP/1.0\r")


class ReadState(Enum):
    """The part of a request that is to be received next."""

    HEAD = "head"
    BODY = "body"
    IDLE = "idle"  # between two requests


HEAD, BODY, IDLE = ReadState  # ReadState.HEAD takes five times as long to look up


class _StopParsing(Exception):
    """Raised in a callback to stop the parser."""


class RequestReader:
    """Appends whole requests to `requests`; the server counts their body bytes until they are handled."""

    def __init__(self, server: ServerState, client: str, requests: deque[Request]) -> None:
        """`client`: its address."""
        self._server = server
        self._limits = server.limits
        self._template: Environ = {"SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": client}
        self._requests = requests
        self._parser = self._new_parser()
        self.state = IDLE
        self.message = 0  # the number of the current request on this connection
        self.expects_continue = False  # the client waits for 100 Continue before it sends the body
        self.ended = False  # after the connection's last request; nothing more is parsed
        self._refusal: Response | None = None  # why the parser was stopped
        self._tail = b""  # the end of a head that is not complete
        self._wire_bytes = 0  # of this message, without the first piece
        self._is_upgrade = False  # this head asks for an upgrade
        self._is_second_parser = False  # a new parser reads the body behind such a head
        self._keep_alive = True
        self._environ = self._template
        self._url = b""
        self._has_bad_url = False  # the parser refused the URL, and reported no part of it
        self._header_count = self._header_bytes = 0
        self._body: bytes | bytearray = b""
        self._body_bytes_max = 0

    def feed(self, data: bytes) -> Response | None:
        """Parse what was received. Returns the refusal, if any; nothing more can be parsed after it."""
        text = self._tail + data if self._tail else data
        if b"RTSP/" in text or b" ICE/" in text:  # rare, and faster than the expression alone
            match = NOT_HTTP.search(text)
            if match:
                before = data[: match.end() - len(self._tail)]
                return self._parse(before) or (None if self.ended else refusals.BAD_VERSION)
        refusal = self._parse(data)
        self._tail = text[-NOT_HTTP_BYTES:] if self.state is HEAD else b""
        return refusal

    def _parse(self, data: bytes) -> Response | None:
        if self.ended:
            return None
        if self.state is IDLE:
            self.state = HEAD
        message = self.message
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade()
            return self._parse(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError:
            # Not the exception's __context__: it is another one if this runs inside an `except` block.
            if self._refusal is None and not self.ended:
                raise
            return self._refusal
        except httptools.HttpParserError as error:
            self._has_bad_url = isinstance(error, httptools.HttpParserInvalidURLError)
            return None if self.ended else refusals.MALFORMED
        return self._count(len(data)) if message == self.message else None

    def close(self) -> None:
        """Give back the bytes of an incomplete body, and break the reference cycle with the parser."""
        if self.state is BODY:
            self._server.body_bytes -= len(self._body)
        self.state, self.ended = IDLE, True
        self._parser = None
        self._environ = self._template
        self._body = b""

    @property
    def is_head(self) -> bool:
        """Whether the refused request has the method HEAD, as far as its head was received."""
        if self.state is BODY:
            return bool(self._environ["REQUEST_METHOD"] == "HEAD")
        # Before the URL the parser may still have the previous request's method.
        has_method = self._has_bad_url or bool(self._url)
        return has_method and self._parser is not None and self._parser.get_method() == b"HEAD"

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        # The head decides here whether a message is the last one; llhttp would also consider its trailers.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        return parser

    def _decline_upgrade(self) -> None:
        """Go on as if the client had not asked (RFC 9110, 7.8). Java's client asks in its first request.

        The parser stops behind the head and cannot be made to read the body, so a second parser does.
        """
        chunked, length = self._environ.get(heads.TRANSFER_ENCODING), self._environ.get("CONTENT_LENGTH", "0")
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
        self._parser = self._new_parser()
        self._is_second_parser, self._is_upgrade = True, False
        self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode("latin-1"))

    def _count(self, received: int) -> Response | None:
        """Bounds an unfinished header or trailer, which the parser buffers without a callback."""
        if self.state is IDLE:
            self._wire_bytes = 0
            return None
        self._wire_bytes += received
        limits = self._limits
        most = 2 * limits.head_bytes_max + WIRE_BYTES_PER_HEADER * (limits.headers_max + 8)  # URL and headers
        if self.state is BODY:
            most += WIRE_BYTES_PER_BODY_BYTE * self._body_bytes_max
        if self._wire_bytes <= most:
            return None
        return refusals.BODY_TOO_LARGE if self.state is BODY else refusals.HEAD_TOO_LARGE

    def _stop(self, refusal: Response) -> NoReturn:
        self._refusal = refusal
        raise _StopParsing

    # The parser's callbacks. An exception stops the parser.

    def on_message_begin(self) -> None:
        if self.ended:
            raise _StopParsing
        if self._is_second_parser:
            return
        self._environ = self._template.copy()
        self._url = b""
        self._header_count = self._header_bytes = self._wire_bytes = 0
        self.state = HEAD
        self.message += 1

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url
        if len(self._url) > self._limits.head_bytes_max:
            self._stop(refusals.URL_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._header_bytes += len(name) + len(value)
        limits = self._limits
        if self._header_count > limits.headers_max or self._header_bytes > limits.head_bytes_max:
            self._stop(refusals.HEAD_TOO_LARGE)
        if self.state is BODY:  # a trailer: never merged into the headers (RFC 9110, 6.5.1)
            return
        key = heads.environ_key(name)
        if key is not None:
            environ = self._environ
            text = value.decode("latin-1").rstrip(" \t")
            environ[key] = f"{environ[key]},{text}" if key in environ else text

    def on_headers_complete(self) -> None:
        if self._is_second_parser:
            return
        try:
            self._check_head()
        except Refused as refused:
            self._stop(refused.response)
        self.state = BODY

    def _check_head(self) -> None:
        parser, environ, limits = self._parser, self._environ, self._limits
        version = parser.get_http_version()
        method = environ["REQUEST_METHOD"] = parser.get_method().decode("latin-1")
        if version != "1.1":
            if version != "1.0":
                raise Refused(refusals.BAD_VERSION)
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        heads.require_host(environ.get("HTTP_HOST"), version)
        heads.add_target(environ, self._url, method)
        self._body_bytes_max = limits.larger_bodies.get(environ["PATH_INFO"], limits.body_bytes_max)
        heads.require_framing(environ, method, version, self._body_bytes_max)
        if "HTTP_EXPECT" in environ:
            self.expects_continue = heads.expects_continue(environ["HTTP_EXPECT"], version)
        self._is_upgrade = parser.should_upgrade()
        self._keep_alive = parser.should_keep_alive()
        if "HTTP_CONNECTION" in environ and heads.has_close(environ["HTTP_CONNECTION"]):
            self._keep_alive = False  # llhttp looks at the last option only

    def on_body(self, piece: bytes) -> None:
        if len(self._body) + len(piece) > self._body_bytes_max:
            self._stop(refusals.BODY_TOO_LARGE)
        if not self._server.take_body_bytes(len(piece)):
            self._stop(refusals.TOO_MANY_BODIES)
        if not self._body:
            self._body = piece
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += piece

    def on_message_complete(self) -> None:
        if self._is_upgrade:
            return
        environ = self._environ
        environ[BODY_KEY] = bytes(self._body)
        self._requests.append(Request(environ, self._keep_alive))
        self.ended = not self._keep_alive
        self.state = IDLE
        self.expects_continue = self._is_second_parser = False
        self._environ, self._url, self._body = self._template, b"", b""
