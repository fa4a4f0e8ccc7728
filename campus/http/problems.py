"""What passes between the server and its app, and RFC 9457 problems: the one format of all errors.

`type` is a stable path of ours and `title` belongs to it; `detail` describes the case. A problem never holds
internals: no traceback, no address, no text of the broker.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from msgspec.json import encode

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

# A request, with the names of CGI as in PEP 3333: REQUEST_METHOD, PATH_INFO, HTTP_ACCEPT and so on.
Environ: TypeAlias = dict[str, Any]
BODY_KEY = "campus.body"  # the environ's key for the body, as bytes
Headers: TypeAlias = Sequence[tuple[str, str]]
Members: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` is without Content-Length: the server adds it."""

    status: int
    headers: Headers
    body: bytes


# Called in the event loop, so it must never block: it defers its response instead (deferred.py).
App: TypeAlias = Callable[[Environ], Response]


class Refused(Exception):
    """Ends the handling of a request with this error response."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(response.status)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """`name` is the last part of the type's path."""

    status: int
    name: str
    title: str

    @property
    def type(self) -> str:
        return f"/problems/{self.name}"

    def response(self, detail: str, *, headers: Headers = (), more: Members | None = None) -> Response:
        """`more`: members beside the standard ones."""
        content = {"type": self.type, "title": self.title, "status": self.status, "detail": detail}
        body = encode({**content, **(more or {})})
        return Response(self.status, (("content-type", PROBLEM_JSON), *headers), body)

    def refusal(self, detail: str, *, headers: Headers = (), more: Members | None = None) -> Refused:
        return Refused(self.response(detail, headers=headers, more=more))


def json_response(status: int, content: object, headers: Headers = ()) -> Response:
    return Response(status, (("content-type", JSON), *headers), encode(content))
