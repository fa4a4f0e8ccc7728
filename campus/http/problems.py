"""What is wrong with a request, as RFC 9457 has it: one shape for every error that a client can see.

The `type` is a path of ours and stable; `title` belongs to the type, `detail` to the case. Nothing of the
inside is told: no traceback, no address, no broker's words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from msgspec.json import encode

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    """Content-Length is not among the headers: whoever sends it counts the body."""

    status: int
    headers: Headers
    body: bytes


class Refused(Exception):
    """A request that is not served, with the answer that says why."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(response.status)


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: called with the case, it makes the answer. `name` ends its type's path."""

    status: int
    name: str
    title: str

    @property
    def type(self) -> str:
        return f"/problems/{self.name}"

    def __call__(
        self, detail: str, *, headers: Headers = (), more: Mapping[str, object] | None = None
    ) -> Response:
        return problem(self.status, self.name, self.title, detail, headers=headers, more=more)

    def refuses(
        self, detail: str, *, headers: Headers = (), more: Mapping[str, object] | None = None
    ) -> Refused:
        return Refused(self(detail, headers=headers, more=more))


def json_response(status: int, content: object, headers: Headers = ()) -> Response:
    return Response(status, (("content-type", JSON), *headers), encode(content))


def problem(
    status: int,
    name: str,
    title: str,
    detail: str,
    *,
    headers: Headers = (),
    more: Mapping[str, object] | None = None,
) -> Response:
    """`name` is the last part of the type: `/problems/<name>`; `more` stands beside the standard members."""
    content = {"type": f"/problems/{name}", "title": title, "status": status, "detail": detail}
    return Response(status, (("content-type", PROBLEM_JSON), *headers), encode({**content, **(more or {})}))
