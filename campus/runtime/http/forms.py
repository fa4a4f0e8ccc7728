"""A JSON body as a value of one type, or a problem that names every fault by its JSON pointer.

What is right costs one decoding. Only what is wrong is looked at again, field by field, in words of ours:
so they are stable, and echo nothing that the client sent but the name of a field it should not have.
"""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Generic, NamedTuple, TypeVar

import msgspec
from msgspec import DecodeError, Struct, ValidationError, inspect
from msgspec.json import Decoder

from campus.runtime.http.problems import JSON, Refused, problem

ECHO_CHARS_MAX = 40
UNKNOWN_MAX = 5  # of the unknown fields that are told
WHOLE_BODY = "#"

F = TypeVar("F", bound=Struct)


class Fault(NamedTuple):
    """`pointer` is the fragment form of a JSON pointer, as in the examples of RFC 9457."""

    pointer: str
    detail: str


class Form(Generic[F]):
    """Of a flat struct that forbids unknown fields; `thing` is what its JSON stands for: "order"."""

    def __init__(self, struct: type[F], *, thing: str) -> None:
        self._thing = thing
        self._decoder: Decoder[F] = Decoder(struct)
        self._fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
        self._names = ", ".join(self._fields)
        self._wants = {name: _wanted(inspect.type_info(type_)) for name, type_ in self._fields.items()}

    def read(self, body: bytes) -> F:
        """Raises Refused: 400 for what is no JSON, 422 for JSON that is no such form."""
        try:
            return self._decoder.decode(body)
        except ValidationError as error:
            raise self._invalid(list(self._faults(body))) from error
        except (DecodeError, UnicodeDecodeError) as error:
            raise _malformed(body, error) from error

    def _faults(self, body: bytes) -> Iterator[Fault]:
        try:
            content = msgspec.json.decode(body)
        except RecursionError:
            yield Fault(WHOLE_BODY, "The body is nested too deeply")
            return
        except (DecodeError, UnicodeDecodeError) as error:  # behind what the typed decoder stopped at
            raise _malformed(body, error) from error
        faults = list(self._faults_of_fields(content)) if isinstance(content, dict) else []
        # Nothing at all: a field that stands twice and was wrong the first time.
        yield from faults or [Fault(WHOLE_BODY, f"The body must be an object of {self._names}, each once")]

    def _faults_of_fields(self, content: dict[str, object]) -> Iterator[Fault]:
        for name, type_ in self._fields.items():
            if name not in content:
                yield Fault(f"#/{name}", f"{name} is missing; it must be {self._wants[name]}")
            elif not _fits(content[name], type_):
                yield Fault(f"#/{name}", f"{name} must be {self._wants[name]}")
        missing = self._fields.keys() - content.keys()
        for name in sorted(content.keys() - self._fields.keys())[:UNKNOWN_MAX]:
            near = get_close_matches(name[:ECHO_CHARS_MAX], sorted(missing), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {self._names}"
            yield Fault(_pointer(name), f"{_cut(name)} is not a field here: {hint}")

    def _invalid(self, faults: list[Fault]) -> Refused:
        return Refused(
            problem(
                422,
                f"invalid-{self._thing}",
                f"This is no valid {self._thing}",
                "; ".join(fault.detail for fault in faults),
                more={"errors": [fault._asdict() for fault in faults]},
            )
        )


def require_json(content_type: str, content_encoding: str) -> None:
    """Raises Refused (415) unless the body says that it is JSON, in UTF-8 and not compressed."""
    if content_type == JSON and not content_encoding:  # as nearly always
        return
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip('" ') for p in parameters if p.startswith("charset=")]
    if (
        media_type == JSON
        and all(charset in ("utf-8", "utf8") for charset in charsets)
        and content_encoding.strip().lower() in ("", "identity")
    ):
        return
    raise Refused(
        problem(
            415,
            "unsupported-media-type",
            "The body must be JSON",
            f"Send it uncompressed, in UTF-8, with Content-Type: {JSON}",
            headers=(("accept", JSON), ("accept-encoding", "identity")),
        )
    )


def _malformed(body: bytes, error: Exception) -> Refused:
    if not body:
        detail = "The body is empty"
    elif isinstance(error, UnicodeDecodeError):
        detail = "The body is not UTF-8"
    else:
        detail = f"The body is not JSON: {error}"
    return Refused(problem(400, "malformed-json", "The body is no JSON", detail))


def _fits(value: object, type_: object) -> bool:
    try:
        msgspec.convert(value, type_)
    except ValidationError:
        return False
    return True


def _wanted(type_: inspect.Type) -> str:
    match type_:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.StrType(min_length=least, max_length=most):
            return f"text of {least} to {most} characters"
    raise TypeError(f"a form has texts and whole numbers; teach this function about {type_}")


def _pointer(name: str) -> str:
    return "#/" + _cut(name).replace("~", "~0").replace("/", "~1")


def _cut(name: str) -> str:
    return name if len(name) <= ECHO_CHARS_MAX else name[: ECHO_CHARS_MAX - 1] + "…"
