"""A strict reader of RFC 9112: the reference for what a client's bytes mean.

It reads only as far as the framing is unambiguous. A server may refuse more than this reader, but must never
find a request where this one finds none: such a request was smuggled. Where the RFC allows to repair or to
refuse, this reader refuses. Odd characters that cannot move the border of a message are accepted.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Several spaces around the target are allowed (RFC 9112, 3) and do not change the framing.
REQUEST_LINE = re.compile(rb"(%s) +([\x21-\x7e]+) +HTTP/(1\.[01])" % TOKEN)
FIELD_LINE = re.compile(rb"(%s):[ \t]*([^\x00\r\n]*?)[ \t]*" % TOKEN)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)([ \t]*;[^\x00\r\n]*)?")
HOST = re.compile(rb"([A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-fv:.]+\])(:[0-9]*)?")
END_OF_LINE = b"\r\n"


class Tail(Enum):
    """What follows the last complete request."""

    NOTHING = "nothing"
    INCOMPLETE = "incomplete"
    MALFORMED = "malformed"
    IGNORED = "ignored"  # after a request that ends the connection


class OrderFields(NamedTuple):
    user_id: Any
    item: Any
    quantity: Any


@dataclass(frozen=True, slots=True)
class Request:
    method: bytes
    target: bytes
    version: bytes
    fields: tuple[tuple[bytes, bytes], ...]  # names in lower case
    body: bytes

    def values(self, name: bytes) -> list[bytes]:
        return [value for field, value in self.fields if field == name]

    @property
    def tokens_of_connection(self) -> set[bytes]:
        listed = b",".join(self.values(b"connection")).lower().split(b",")
        return {token.strip(b" \t") for token in listed}

    @property
    def ends_the_connection(self) -> bool:
        if self.version == b"1.0":  # without chunked coding (RFC 9112, 6.1)
            return b"keep-alive" not in self.tokens_of_connection or bool(self.values(b"transfer-encoding"))
        return b"close" in self.tokens_of_connection

    @property
    def path(self) -> bytes:
        """The path of an origin-form or absolute-form target, not decoded."""
        target = self.target
        if match := re.match(rb"(?i)https?://[^/?#]*", target):
            target = target[match.end() :] or b"/"
        return target.partition(b"?")[0]

    @property
    def has_one_good_host(self) -> bool:
        """Otherwise RFC 9112, 3.2 demands a 400."""
        hosts = self.values(b"host")
        if self.version == b"1.0" and not hosts:
            return True
        return len(hosts) == 1 and HOST.fullmatch(hosts[0]) is not None

    def orders(self) -> Iterator[OrderFields]:
        """All orders that its body could mean, read leniently; no other order may be placed."""
        if self.method != b"POST":
            return
        for text in (self.body, *self.body.splitlines()):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                continue
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict) and one.keys() >= set(OrderFields._fields):
                    yield OrderFields(*(one[name] for name in OrderFields._fields))


@dataclass(frozen=True, slots=True)
class Reading:
    requests: tuple[Request, ...]
    tail: Tail
    why: str = ""  # if the tail is malformed
    begins_with_head: bool = False  # the tail: its response has no body
    head_is_open: bool = False  # the malformed tail has no complete head

    @property
    def methods(self) -> list[bytes]:
        return [*(request.method for request in self.requests), *([b"HEAD"] if self.begins_with_head else [])]

    @property
    def ends(self) -> bool:
        """Whether its last request ends the connection."""
        return bool(self.requests) and self.requests[-1].ends_the_connection

    @property
    def answers_most(self) -> int:
        return len(self.requests) + (self.tail in (Tail.MALFORMED, Tail.INCOMPLETE))


class Incomplete(Exception):
    pass


class Malformed(Exception):
    pass


def read_requests(sent: bytes) -> Reading:
    requests: list[Request] = []
    reader = _Reader(sent)
    while True:
        reader.skip_empty_lines()
        if reader.is_at_end:
            return Reading(tuple(requests), Tail.NOTHING)
        try:
            request = reader.request()
        except Incomplete:
            return Reading(tuple(requests), Tail.INCOMPLETE, begins_with_head=reader.begins_with_head)
        except Malformed as error:
            begins_with_head, head_is_open = reader.begins_with_head, reader.head_is_open
            return Reading(tuple(requests), Tail.MALFORMED, str(error), begins_with_head, head_is_open)
        requests.append(request)
        if request.ends_the_connection or request.method == b"CONNECT":
            return Reading(tuple(requests), Tail.NOTHING if reader.is_at_end else Tail.IGNORED)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = self._began = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def skip_empty_lines(self) -> None:
        """Allowed before a request (RFC 9112, 2.2); a CR or LF alone is skipped too."""
        while self._data[self._at : self._at + 1] in (b"\r", b"\n"):
            self._at += 1

    @property
    def begins_with_head(self) -> bool:
        return self._data.startswith(b"HEAD ", self._began)

    @property
    def head_is_open(self) -> bool:
        return self._data.find(2 * END_OF_LINE, self._began) < 0

    def request(self) -> Request:
        self._began = self._at
        line = self._line()
        match = REQUEST_LINE.fullmatch(line)
        if not match:
            raise Malformed("request line")
        fields = self._fields()
        method, target, version = match.groups()
        return Request(method, target, version, fields, self._body(fields))

    def _body(self, fields: tuple[tuple[bytes, bytes], ...]) -> bytes:
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        if lengths and codings:
            raise Malformed("both lengths")
        if codings:
            listed = [coding.strip(b" \t").lower() for coding in b",".join(codings).split(b",")]
            if listed.count(b"chunked") != 1 or listed[-1] != b"chunked":
                raise Malformed("transfer coding")
            return self._chunks()
        if not lengths:
            return b""
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise Malformed("content length")
        return self._take(int(lengths[0][-20:]) if len(lengths[0]) <= 20 else len(self._data) + 1)

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            match = CHUNK_LINE.fullmatch(self._line())
            if not match:
                raise Malformed("chunk size")
            size = int(match[1], 16)
            if size == 0:
                self._fields()  # the trailers
                return bytes(body)
            body += self._take(size)
            if self._take(len(END_OF_LINE)) != END_OF_LINE:
                raise Malformed("end of a chunk")

    def _fields(self) -> tuple[tuple[bytes, bytes], ...]:
        fields = []
        while line := self._line():
            match = FIELD_LINE.fullmatch(line)
            if not match:
                raise Malformed("field line")
            fields.append((match[1].lower(), match[2]))
        return tuple(fields)

    def _line(self) -> bytes:
        """Up to CR LF. Raises Malformed if there is a CR or LF alone or a NUL in it."""
        end = self._data.find(END_OF_LINE, self._at)
        line = self._data[self._at : end if end >= 0 else len(self._data)]
        # A CR at the very end may be the first byte of the line end.
        if b"\n" in line or b"\0" in line or b"\r" in (line if end >= 0 else line[:-1]):
            raise Malformed("bare CR, LF or NUL")
        if end < 0:
            raise Incomplete
        self._at = end + len(END_OF_LINE)
        return line

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise Incomplete
        self._at += count
        return taken
