"""The bytes of one connection as requests, each whole and within its bounds, or one refusal and no more.

llhttp (in httptools) reads strictly: bare LF or CR, folded headers, control characters, two lengths, bad
chunks are errors there. What it lets through and others could read in another way is refused by heads.py.
"""

import re
from collections import deque
from enum import Enum
from typing import NamedTuple, NoReturn, Protocol

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from campus.http import refusals
from campus.http.heads import (
    CODING,
    add_target,
    environ_key,
    expects,
    require_framing,
    require_host,
    says_close,
)
from campus.http.limits import Limits
from campus.http.problems import Refused, Response
from campus.http.wsgi import Environ, add_body

# A message takes more bytes than it has: a head its blanks and line ends, a chunk of one byte at least five.
WIRE_BYTES_PER_HEADER = 4
WIRE_BYTES_PER_BODY_BYTE = 16
# llhttp takes it for HTTP, and does not tell. Where it is no request line, it is in no valid request of ours.
NOT_HTTP = re.compile(rb" (?:RTSP|ICE)/[0-9]\.[0-9]\r\n")
NOT_HTTP_BYTES = len(b" RTSP/1.0\r")


class Owed(Enum):
    """By the client, to us."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


HEAD, BODY, NOTHING = Owed  # to name a member by its class takes five times as long


class Request(NamedTuple):
    environ: Environ
    body_bytes: int
    keep_alive: bool


class BodyBudget(Protocol):
    """How much of all bodies together may be in memory."""

    def take_body_bytes(self, count: int) -> bool: ...
    def give_back_body_bytes(self, count: int) -> None: ...


class _Stop(Exception):
    """Makes the parser stop."""


class RequestReader:
    """Feed it; whole requests are appended to `requests`, and their bytes stay taken from the budget."""

    __slots__ = (
        "_bad_url",
        "_body",
        "_body_bytes",
        "_body_bytes_max",
        "_budget",
        "_environ",
        "_goes_on",
        "_header_bytes",
        "_header_count",
        "_keep_alive",
        "_limits",
        "_parser",
        "_requests",
        "_tail",
        "_template",
        "_upgrades",
        "_url",
        "_why",
        "_wire_bytes",
        "ended",
        "expects",
        "message",
        "owed",
    )

    def __init__(
        self, limits: Limits, budget: BodyBudget, template: Environ, requests: deque[Request]
    ) -> None:
        self._limits = limits
        self._budget = budget
        self._template = template
        self._requests = requests
        self._parser = self._new_parser()
        self.owed = NOTHING
        self.message = 0  # which one on this connection
        self.expects = False  # to be told that it may go on and send the body
        self.ended = False  # by a last request: what follows it is not read
        self._why: Response | None = None  # the parser was stopped
        self._tail = b""  # of a head that has not come whole
        self._wire_bytes = 0  # of this message, without the first piece it came in
        self._upgrades = False  # asks this head
        self._goes_on = False  # with another parser, behind such a head
        self._keep_alive = True
        self._environ = template
        self._url = b""
        self._bad_url = False  # was refused by the parser, which then tells nothing of what it read of it
        self._header_count = self._header_bytes = 0
        self._body: bytes | bytearray = b""
        self._body_bytes = self._body_bytes_max = 0

    def feed(self, data: bytes) -> Response | None:
        """Read what came; the answer if it is refused, and then nothing more can be read."""
        text = self._tail + data if self._tail else data
        if b"RTSP/" in text or b" ICE/" in text:  # rare, and told faster than by an expression
            other = NOT_HTTP.search(text)
            if other:
                before = data[: other.end() - len(self._tail)]
                return self._parse(before) or (None if self.ended else refusals.BAD_VERSION)
        refusal = self._parse(data)
        self._tail = text[-NOT_HTTP_BYTES:] if self.owed is HEAD else b""
        return refusal

    def _parse(self, data: bytes) -> Response | None:
        if self.ended:
            return None
        if self.owed is NOTHING:
            self.owed = HEAD
        message, rest = self.message, None
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as asked:
            rest = data[asked.args[0] :]
        except HttpParserCallbackError:
            # Not by the error's context: that is another if we are called while one is handled.
            if self._why is None and not self.ended:
                raise
            return self._why
        except HttpParserError as error:
            self._bad_url = isinstance(error, HttpParserInvalidURLError)
            return None if self.ended else refusals.MALFORMED
        if rest is not None:
            self._decline_upgrade()
            return self._parse(rest)
        if message == self.message:
            return self._count(len(data))
        return None

    def close(self) -> None:
        """Give back what a half-read body took; the parser, which knows us, must not keep us alive."""
        if self.owed is BODY:
            self._budget.give_back_body_bytes(self._body_bytes)
        self.owed, self.ended = NOTHING, True
        self._parser = None
        self._environ = self._template
        self._body = b""

    @property
    def is_head(self) -> bool:
        """Whether what is refused asks for no body, as far as its head has come."""
        if self.owed is BODY:
            return bool(self._environ["REQUEST_METHOD"] == "HEAD")
        # Before a URL there may be no method yet: the parser then has that of the request before.
        has_method = self._bad_url or bool(self._url)
        return has_method and self._parser is not None and self._parser.get_method() == b"HEAD"

    def _new_parser(self) -> HttpRequestParser:
        parser = HttpRequestParser(self)
        # Which message is the last is said by its head and known here; llhttp also minds its trailers.
        parser.set_dangerous_leniencies(lenient_keep_alive=True)
        return parser

    def _decline_upgrade(self) -> None:
        """Go on as if nobody had asked, as HTTP has it; Java's client asks with every first request.

        The parser stops behind the head, and cannot be told to read the body: another one can.
        """
        chunked, length = self._environ.get(CODING), self._environ.get("CONTENT_LENGTH", "0")
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}"
        self._parser = self._new_parser()
        self._goes_on, self._upgrades = True, False
        self._parser.feed_data(f"POST / HTTP/1.1\r\n{framing}\r\n\r\n".encode("latin-1"))

    def _count(self, received: int) -> Response | None:
        """The parser keeps an unfinished header or trailer without telling of it: this bounds them."""
        if self.owed is NOTHING:
            self._wire_bytes = 0
            return None
        self._wire_bytes += received
        limits = self._limits
        most = 2 * limits.head_bytes_max + WIRE_BYTES_PER_HEADER * (limits.headers_max + 8)  # URL and headers
        if self.owed is BODY:
            most += WIRE_BYTES_PER_BODY_BYTE * self._body_bytes_max
        if self._wire_bytes <= most:
            return None
        return refusals.BODY_TOO_LARGE if self.owed is BODY else refusals.HEAD_TOO_LARGE

    def _stop(self, why: Response) -> NoReturn:
        self._why = why
        raise _Stop

    # What the parser finds. To raise here makes it stop.

    def on_message_begin(self) -> None:
        if self.ended:
            raise _Stop
        if self._goes_on:
            return
        self._environ = self._template.copy()
        self._url = b""
        self._header_count = self._header_bytes = self._wire_bytes = 0
        self.owed = HEAD
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
        if self.owed is BODY:  # a trailer, which may not pass for a header
            return
        key = environ_key(name)
        if key is not None:
            environ = self._environ
            text = value.decode("latin-1").rstrip(" \t")
            environ[key] = f"{environ[key]},{text}" if key in environ else text

    def on_headers_complete(self) -> None:
        if self._goes_on:
            return
        try:
            self._check_head()
        except Refused as refused:
            self._stop(refused.response)
        self.owed = BODY

    def _check_head(self) -> None:
        parser, environ = self._parser, self._environ
        version = parser.get_http_version()
        method = environ["REQUEST_METHOD"] = parser.get_method().decode("latin-1")
        if version != "1.1":
            if version != "1.0":
                raise Refused(refusals.BAD_VERSION)
            environ["SERVER_PROTOCOL"] = "HTTP/1.0"
        require_host(environ.get("HTTP_HOST"), version)
        add_target(environ, self._url, method)
        self._body_bytes_max = self._limits.body_bytes_max_of(environ["PATH_INFO"])
        require_framing(environ, method, version, self._body_bytes_max)
        if "HTTP_EXPECT" in environ:
            self.expects = expects(environ["HTTP_EXPECT"], version)
        self._upgrades = parser.should_upgrade()
        self._keep_alive = parser.should_keep_alive()
        if "HTTP_CONNECTION" in environ and says_close(environ["HTTP_CONNECTION"]):
            self._keep_alive = False  # llhttp minds only the last option

    def on_body(self, piece: bytes) -> None:
        if self._body_bytes + len(piece) > self._body_bytes_max:
            self._stop(refusals.BODY_TOO_LARGE)
        if not self._budget.take_body_bytes(len(piece)):
            self._stop(refusals.TOO_MANY_BODIES)
        self._body_bytes += len(piece)
        if not self._body:
            self._body = piece
        else:
            if type(self._body) is bytes:
                self._body = bytearray(self._body)
            self._body += piece

    def on_message_complete(self) -> None:
        if self._upgrades:
            return
        environ = self._environ
        add_body(environ, self._body)
        self._requests.append(Request(environ, self._body_bytes, self._keep_alive))
        self.ended = not self._keep_alive
        self.owed = NOTHING
        self.expects = self._goes_on = False
        self._environ, self._url, self._body, self._body_bytes = self._template, b"", b"", 0
