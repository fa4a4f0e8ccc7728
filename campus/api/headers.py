"""What a request's headers ask for: Accept, Prefer and Idempotency-Key, each by its own specification.

Accept and Prefer are wishes: what cannot be read of them is passed over. An Idempotency-Key is a promise of
the client's that the server is held to: what cannot be read is refused, never taken for another key.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, TypeAlias

from msgspec import Meta

from campus.http.problems import ProblemType

KEY_CHARS_MAX = 255

INVALID_KEY = ProblemType(400, "invalid-idempotency-key", "The Idempotency-Key cannot be read")
NOT_ACCEPTABLE = ProblemType(406, "not-acceptable", "There is no answer in the form that is asked for")

# Between commas that stand in no quotes. Bounded: what a quote without end costs grows by its square.
PREFER_CHARS_MAX = 256
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_WAIT = re.compile(r"""[ \t]*(?i:wait)[ \t]*=[ \t]*(?:([0-9]{1,9})|"([0-9]{1,9})")[ \t]*(?:;.*)?""")

# A structured field's string (RFC 9651); or a bare word of visible characters, as many clients send it: with
# no quote, comma or semicolon in it, which would make it several, or more than a word.
_KEY_STRING = rf'"(?:[ !#-\[\]-~]|\\["\\]){{1,{KEY_CHARS_MAX}}}"'
_KEY_WORD = rf"[!#-+\--:<-~]{{1,{KEY_CHARS_MAX}}}"
_KEY = re.compile(f"{_KEY_STRING}|{_KEY_WORD}")
IdempotencyKey: TypeAlias = Annotated[str, Meta(pattern=f"^(?:{_KEY_STRING}|{_KEY_WORD})$")]


def preferred_wait_s(prefer: str) -> int | None:
    """The `wait` of a Prefer header (RFC 7240): its first one counts; None if there is none to be read."""
    if len(prefer) > PREFER_CHARS_MAX:
        return None
    for preference in _PREFERENCE.findall(prefer):
        if wait := _WAIT.fullmatch(preference):
            return int(wait[1] or wait[2])
        if preference.partition("=")[0].strip(" \t").lower() == "wait":
            return None
    return None


def idempotency_key(value: str) -> str:
    """The key that the header holds, be it written as a string or as a word. Raises Refused."""
    if not _KEY.fullmatch(value):
        detail = (
            f"The Idempotency-Key must be one string of 1 to {KEY_CHARS_MAX} visible ASCII characters, in "
            "quotes or a bare word, for example a UUID"
        )
        raise INVALID_KEY.refuses(detail, more={"errors": [{"header": "Idempotency-Key", "detail": detail}]})
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


@lru_cache(maxsize=64)
def accepts(accept: str, media_types: Sequence[str]) -> bool:
    """Whether an Accept header leaves one of these types, by its most specific range (RFC 9110, 12.5.1)."""
    ranges = dict(filter(None, map(_range, accept.split(","))))
    if not ranges:  # nothing that can be read is excluded by nothing
        return True
    return any(_quality(media_type, ranges) > 0 for media_type in media_types)


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    anything_like_it = media_type.partition("/")[0] + "/*"
    return next((ranges[name] for name in (media_type, anything_like_it, "*/*") if name in ranges), 0.0)


def _range(text: str) -> tuple[str, float] | None:
    name, *parameters = (part.strip().lower() for part in text.split(";"))
    if "/" not in name:
        return None
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                return None
        elif not parameter.startswith("charset="):
            return None  # of another type than there is here: ours have no parameters
    return name, quality
