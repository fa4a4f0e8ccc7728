"""A JSON body as a value of one type, or a problem that names every fault by its JSON pointer.

What is right costs one decoding. Only what is wrong is looked at again, field by field, in words of ours:
so they are stable, and echo nothing that the client sent but the name of a field it should not have. Where
what is no JSON ceases to be some, the decoder says.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import DecodeError, Struct, ValidationError, inspect
from msgspec.json import Decoder

from campus.http.problems import ProblemType, Refused

ECHO_CHARS_MAX = 40
UNKNOWN_MAX = 5  # of the unknown fields that are told
HINTS_MAX = 2  # of them with what was probably meant, which takes longer than to read the body
WHOLE_BODY = "#"
IN_FRAGMENT = "!$&'()*+,;=:@/?-._~"  # stand for themselves in a URI's fragment (RFC 3986, 3.5)

MALFORMED_JSON = ProblemType(400, "malformed-json", "The body is no JSON")
UNSUPPORTED_MEDIA_TYPE = ProblemType(415, "unsupported-media-type", "The body is of another type")

F = TypeVar("F", bound=Struct)


class Fault(NamedTuple):
    """`pointer` is a JSON pointer as the fragment of a URI (RFC 6901, 6)."""

    pointer: str
    detail: str


class Form(Generic[F]):
    """Of a flat struct whose fields are all required, and no others allowed; `thing` is what its JSON stands
    for: "order"."""

    def __init__(self, struct: type[F], *, thing: str) -> None:
        self.invalid = ProblemType(422, f"invalid-{thing}", f"This is no valid {thing}")
        self._decoder: Decoder[F] = Decoder(struct)
        self._fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
        self._names = ", ".join(self._fields)
        self._whole = f"an object of {self._names}" if self._fields else "an empty object"
        types = {name: inspect.type_info(type_) for name, type_ in self._fields.items()}
        self._wants = {name: wanted(type_) for name, type_ in types.items()}
        texts = sum(isinstance(type_, inspect.StrType) for type_ in types.values())
        self._quotes = 2 * (len(types) + texts)  # if none is escaped, and no field stands twice

    def read(self, body: bytes) -> F:
        """Raises Refused: 400 for what is no JSON, 422 for JSON that is no such form."""
        try:
            form = self._decoder.decode(body)
        except (ValidationError, RecursionError) as error:
            raise self._invalid(list(self._faults(body))) from error
        except (DecodeError, UnicodeDecodeError) as error:
            raise malformed(body, error) from error
        if body.count(b'"') != self._quotes and (faults := _repeated(body)):
            raise self._invalid(faults)
        return form

    def _faults(self, body: bytes) -> Iterator[Fault]:
        try:
            content = msgspec.json.decode(body)
        except RecursionError:
            yield Fault(WHOLE_BODY, "The body is nested too deeply")
            return
        except (DecodeError, UnicodeDecodeError) as error:  # behind what the typed decoder stopped at
            raise malformed(body, error) from error
        faults: list[Fault] = []
        if isinstance(content, dict):  # and if no field is wrong, one that stands twice was, the first time
            faults = list(self._faults_of_fields(content)) or _repeated(body)
        yield from faults or [Fault(WHOLE_BODY, f"The body must be {self._whole}")]

    def _faults_of_fields(self, content: dict[str, object]) -> Iterator[Fault]:
        for name, type_ in self._fields.items():
            if name not in content:
                yield Fault(f"#/{name}", f"{name} is missing; it must be {self._wants[name]}")
            elif not _fits(content[name], type_):
                yield Fault(f"#/{name}", f"{name} must be {self._wants[name]}")
        missing = self._fields.keys() - content.keys()
        unknown = sorted(content.keys() - self._fields.keys())[:UNKNOWN_MAX]
        for nth, name in enumerate(unknown):
            meant = _nearest(name, missing) if nth < HINTS_MAX else None
            hint = f"did you mean {meant}?" if meant else f"there are {self._names or 'none'}"
            yield Fault(_pointer(name), f"{cut(name)} is not a field here: {hint}")

    def _invalid(self, faults: list[Fault]) -> Refused:
        return self.invalid.refuses(
            "; ".join(fault.detail for fault in faults),
            more={"errors": [fault._asdict() for fault in faults]},
        )


def require_media_type(content_type: str, content_encoding: str, allowed: Sequence[str]) -> str:
    """Which of the allowed types the body says it is, in UTF-8 and not compressed. Raises Refused (415)."""
    if content_type in allowed and not content_encoding:  # as nearly always
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
    raise UNSUPPORTED_MEDIA_TYPE.refuses(
        f"Send it uncompressed, in UTF-8, with Content-Type: {' or '.join(allowed)}",
        headers=(("accept", names), ("accept-post", names), ("accept-encoding", "identity")),
    )


def malformed(body: bytes, error: Exception) -> Refused:
    if not body:
        detail = "The body is empty"
    elif isinstance(error, UnicodeDecodeError):
        detail = "The body is not UTF-8"
    else:
        detail = f"The body is not JSON: {str(error).removeprefix('JSON is malformed: ')}"
    return MALFORMED_JSON.refuses(detail)


def _repeated(body: bytes) -> list[Fault]:
    """What stands twice in an object: which of them counts, each reader of JSON decides for himself."""
    names: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        names[:] = [name for name, _ in pairs]  # of the outermost object in the end

    try:
        json.loads(body.decode(), object_pairs_hook=note, parse_int=len, strict=False)
    except (ValueError, RecursionError):  # of a value that does not count; to the other decoder it was JSON
        return []
    twice = [name for name, count in Counter(names).items() if count > 1]
    return [Fault(_pointer(name), f"{cut(name)} is given more than once") for name in twice]


def _fits(value: object, type_: object) -> bool:
    try:
        msgspec.convert(value, type_)
    except ValidationError:
        return False
    return True


def wanted(type_: inspect.Type) -> str:
    """What a value of this type must be, in words."""
    match type_:
        case inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case inspect.StrType(min_length=least, max_length=most):
            return f"text of {least} to {most} characters"
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
    raise TypeError(f"nobody has said yet how to call {type_}")


def _nearest(name: str, fields: Iterable[str]) -> str | None:
    near = get_close_matches(name[:ECHO_CHARS_MAX], sorted(fields), n=1, cutoff=0.5)
    return near[0] if near else None


def _pointer(name: str) -> str:
    if len(name) > ECHO_CHARS_MAX:
        return WHOLE_BODY
    return "#/" + quote(name.replace("~", "~0").replace("/", "~1"), safe=IN_FRAGMENT)


def cut(name: str) -> str:
    return name if len(name) <= ECHO_CHARS_MAX else name[: ECHO_CHARS_MAX - 1] + "…"
