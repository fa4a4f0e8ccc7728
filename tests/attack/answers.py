"""Reads the responses that a server sent on one connection, framed strictly by RFC 9112.

Raises BadAnswer if a client would have to guess. Whether a response is the right one is decided in judge.py.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [\x20-\x7e]*")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\x20-\x7e]*)")
MAY_STAND_TWICE = {"set-cookie", "www-authenticate", "vary", "link"}
WITHOUT_A_BODY = (204, 304)
# Sent perhaps before the whole head was received, so before the server knew that the method is HEAD.
BEFORE_THE_METHOD = (400, 408, 414, 431, 503)


class BadAnswer(AssertionError):
    pass


class _CutOff(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    head: bytes

    @property
    def closes(self) -> bool:
        return "close" in self.headers.get("connection", "").lower()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answers:
    final: tuple[Answer, ...]
    interim: int
    is_cut_off: bool  # in the middle of a response; allowed only if the connection was reset


def read_answers(received: bytes, methods: Sequence[bytes]) -> Answers:
    """`methods`: those of the requests, in order, because the response to HEAD has no body."""
    final: list[Answer] = []
    interim = 0
    while received:
        method = methods[len(final)] if len(final) < len(methods) else b""
        try:
            answer, received = _one(received, method)
        except _CutOff:
            return Answers(tuple(final), interim, is_cut_off=True)
        if answer.status < 200:
            interim += 1
            continue
        final.append(answer)
        if answer.closes and received:
            raise BadAnswer(f"bytes after a response with connection: close: {received[:200]!r}")
    return Answers(tuple(final), interim, is_cut_off=False)


def _one(received: bytes, method: bytes) -> tuple[Answer, bytes]:
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        raise _CutOff
    status_line, *lines = head.split(b"\r\n")
    match = STATUS_LINE.fullmatch(status_line)
    if not match:
        raise BadAnswer(f"no status line: {status_line[:200]!r}")
    status, headers = int(match[1]), _headers(lines)
    if "transfer-encoding" in headers:
        raise BadAnswer("a response of known length is chunked")
    if status < 200 or status in WITHOUT_A_BODY:
        if "content-length" in headers:
            raise BadAnswer(f"{status} with a Content-Length")
        return Answer(status, headers, b"", head), rest
    if not re.fullmatch("[0-9]+", headers.get("content-length", "")):
        raise BadAnswer(f"no Content-Length: {head!r}")
    length = int(headers["content-length"])
    if method == b"HEAD" and not (status in BEFORE_THE_METHOD and len(rest) == length):
        length = 0
    if len(rest) < length:
        raise _CutOff
    return Answer(status, headers, rest[:length], head), rest[length:]


def _headers(lines: list[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        match = FIELD_LINE.fullmatch(line)
        if not match:
            raise BadAnswer(f"no header: {line!r}")
        name = match[1].decode().lower()
        if name in headers and name not in MAY_STAND_TWICE:
            raise BadAnswer(f"{name} is repeated")
        headers[name] = match[2].decode()
    return headers
