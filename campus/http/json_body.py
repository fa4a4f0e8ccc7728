"""Decodes a JSON body into a flat struct, or refuses it with one error per wrong field (JSON pointer, text).

A valid body costs one decoding. Only an invalid one is examined again, field by field, for messages of our
own: they are stable, and repeat nothing that the client sent except the names of unknown fields. For text
that is not JSON at all the decoder's message is used.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import DecodeError, Struct, ValidationError, inspect
from msgspec.json import Decoder

from campus.http.problems import Environ, ProblemType, Refused

ECHO_CHARS_MAX = 40
UNKNOWN_FIELDS_MAX = 5  # that are reported
HINTS_MAX = 2  # "did you mean": finding one takes longer than decoding the body
WHOLE_BODY = "#"
FRAGMENT_SAFE = "!$&'()*+,;=:@/?-._~"  # not percent-encoded in a URI's fragment (RFC 3986, 3.5)

MALFORMED_JSON = ProblemType(400, "malformed-json", "Malformed JSON")
UNSUPPORTED_MEDIA_TYPE = ProblemType(415, "unsupported-media-type", "Unsupported media type")

S = TypeVar("S", bound=Struct)


class FieldError(NamedTuple):
    """`pointer` is a JSON pointer as the fragment of a URI (RFC 6901, 6)."""

    pointer: str
    detail: str


class JsonBody(Generic[S]):
    """Reads bodies of one struct: flat, all its fields required, and unknown fields forbidden."""

    def __init__(self, struct: type[S], *, name: str) -> None:
        """`name` is what the body stands for, as in "order"."""
        self.invalid = ProblemType(422, f"invalid-{name}", f"Invalid {name}")
        self._decoder: Decoder[S] = Decoder(struct)
        self._types = {field.name: field.type for field in msgspec.structs.fields(struct)}
        self._names = ", ".join(self._types)
        infos = {name: inspect.type_info(type_) for name, type_ in self._types.items()}
        self._expected = {name: describe_type(info) for name, info in infos.items()}
        strings = sum(isinstance(info, inspect.StrType) for info in infos.values())
        self._quotes = 2 * (len(infos) + strings)  # if none is escaped and no field is repeated

    def read(self, body: bytes) -> S:
        """Raises Refused: 400 if it is not JSON, 422 if it is not such a struct."""
        try:
            value = self._decoder.decode(body)
        except (ValidationError, RecursionError) as error:
            raise self._refusal(self._errors(body)) from error
        except (DecodeError, UnicodeDecodeError) as error:
            raise malformed_json(body, error) from error
        if body.count(b'"') != self._quotes and (errors := _repeated_fields(body)):
            raise self._refusal(errors)
        return value

    def _errors(self, body: bytes) -> list[FieldError]:
        try:
            content = msgspec.json.decode(body)
        except RecursionError:
            return [FieldError(WHOLE_BODY, "The body is nested too deeply")]
        except (DecodeError, UnicodeDecodeError) as error:  # after the place where the typed decoder stopped
            raise malformed_json(body, error) from error
        errors: list[FieldError] = []
        if isinstance(content, dict):
            # If every field is right now, one was repeated, and wrong the first time.
            errors = list(self._field_errors(content)) or _repeated_fields(body)
        expected = f"an object of {self._names}" if self._names else "an empty object"
        return errors or [FieldError(WHOLE_BODY, f"The body must be {expected}")]

    def _field_errors(self, content: dict[str, object]) -> Iterator[FieldError]:
        for name, type_ in self._types.items():
            if name not in content:
                yield FieldError(f"#/{name}", f"{name} is missing; it must be {self._expected[name]}")
            elif not _is_valid(content[name], type_):
                yield FieldError(f"#/{name}", f"{name} must be {self._expected[name]}")
        missing = sorted(self._types.keys() - content.keys())
        unknown = sorted(content.keys() - self._types.keys())[:UNKNOWN_FIELDS_MAX]
        for index, name in enumerate(unknown):
            candidates = missing if index < HINTS_MAX else ()
            near = get_close_matches(name[:ECHO_CHARS_MAX], candidates, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"the fields are {self._names or 'none'}"
            yield FieldError(_pointer(name), f"{shorten(name)} is not a known field: {hint}")

    def _refusal(self, errors: list[FieldError]) -> Refused:
        return self.invalid.refusal(
            "; ".join(error.detail for error in errors),
            more={"errors": [error._asdict() for error in errors]},
        )


def require_media_type(environ: Environ, allowed: Sequence[str]) -> str:
    """The media type of the body. Raises Refused (415) if it is not allowed, not UTF-8, or compressed."""
    content_type: str = environ.get("CONTENT_TYPE", "")
    content_encoding = environ.get("HTTP_CONTENT_ENCODING", "")
    if content_type in allowed and not content_encoding:  # the usual case
        return content_type
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [p.partition("=")[2].strip('" ') for p in parameters if p.startswith("charset=")]
    if (
        media_type in allowed
        and all(charset in ("utf-8", "utf8") for charset in charsets)
        and content_encoding.strip().lower() in ("", "identity")
    ):
        return media_type
    names = ", ".join(allowed)
    raise UNSUPPORTED_MEDIA_TYPE.refusal(
        f"Send it uncompressed, in UTF-8, with Content-Type: {' or '.join(allowed)}",
        headers=(("accept", names), ("accept-post", names), ("accept-encoding", "identity")),
    )


def malformed_json(body: bytes, error: Exception) -> Refused:
    if not body:
        detail = "The body is empty"
    elif isinstance(error, UnicodeDecodeError):
        detail = "The body is not UTF-8"
    else:
        detail = f"The body is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    return MALFORMED_JSON.refusal(detail)


def _repeated_fields(body: bytes) -> list[FieldError]:
    """Fields that the object has twice. JSON readers differ in which of the two they use."""
    names: list[str] = []

    def on_object(pairs: list[tuple[str, object]]) -> None:
        names[:] = [name for name, _ in pairs]  # the outermost object comes last

    try:
        json.loads(body.decode(), object_pairs_hook=on_object, parse_int=len, strict=False)
    except (ValueError, RecursionError):  # in a repeated value that msgspec skipped
        return []
    repeated = [name for name, count in Counter(names).items() if count > 1]
    return [FieldError(_pointer(name), f"{shorten(name)} is given more than once") for name in repeated]


def _is_valid(value: object, type_: object) -> bool:
    try:
        msgspec.convert(value, type_)
    except ValidationError:
        return False
    return True


def describe_type(info: inspect.Type) -> str:
    """What a value of this type must be, as in "a whole number from 1 to 9"."""
    match info:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.StrType(min_length=least, max_length=most):
            return f"text of {least} to {most} characters"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
    raise TypeError(f"no description for {info}: add it here")


def _pointer(name: str) -> str:
    if len(name) > ECHO_CHARS_MAX:
        return WHOLE_BODY
    return "#/" + quote(name.replace("~", "~0").replace("/", "~1"), safe=FRAGMENT_SAFE)


def shorten(name: str) -> str:
    return name if len(name) <= ECHO_CHARS_MAX else name[: ECHO_CHARS_MAX - 1] + "…"
