"""Reads the request headers Accept, Prefer and Idempotency-Key, each by its own specification.

Accept and Prefer are preferences: a part that cannot be read is ignored. An Idempotency-Key that cannot be
read is refused, because to take it for another key could place an order twice or not at all.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, TypeAlias

from msgspec import Meta

from campus.http.problems import ProblemType

KEY_CHARS_MAX = 255

INVALID_KEY = ProblemType(400, "invalid-idempotency-key", "Invalid Idempotency-Key")
NOT_ACCEPTABLE = ProblemType(406, "not-acceptable", "Not acceptable")

# Splits at commas outside quotes. Bounded, because an unterminated quote takes quadratic time.
PREFER_CHARS_MAX = 256
_PREFERENCE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')
_WAIT = re.compile(r"""[ \t]*(?i:wait)[ \t]*=[ \t]*(?:([0-9]{1,9})|"([0-9]{1,9})")[ \t]*(?:;.*)?""")

# A string of a structured field (RFC 9651), or the bare word that many clients send: visible characters
# without quote, comma and semicolon, which would make it a list or add parameters.
_KEY_STRING = rf'"(?:[ !#-\[\]-~]|\\["\\]){{1,{KEY_CHARS_MAX}}}"'
_KEY_WORD = rf"[!#-+\--:<-~]{{1,{KEY_CHARS_MAX}}}"
_KEY = re.compile(f"{_KEY_STRING}|{_KEY_WORD}")
IdempotencyKey: TypeAlias = Annotated[str, Meta(pattern=f"^(?:{_KEY_STRING}|{_KEY_WORD})$")]


def preferred_wait_s(prefer: str) -> int | None:
    """The first `wait` of a Prefer header (RFC 7240), or None if there is none that can be read."""
    if len(prefer) > PREFER_CHARS_MAX:
        return None
    for preference in _PREFERENCE.findall(prefer):
        if wait := _WAIT.fullmatch(preference):
            return int(wait[1] or wait[2])
        if preference.partition("=")[0].strip(" \t").lower() == "wait":
            return None
    return None


def idempotency_key(value: str | None) -> str | None:
    """The key in the header, without quotes; None without the header. Raises Refused if it cannot be read."""
    if value is None:
        return None
    if not _KEY.fullmatch(value):
        detail = (
            f"The Idempotency-Key must be one string of 1 to {KEY_CHARS_MAX} visible ASCII characters, in "
            "quotes or as a bare word, for example a UUID"
        )
        raise INVALID_KEY.refusal(detail, more={"errors": [{"header": "Idempotency-Key", "detail": detail}]})
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


@lru_cache(maxsize=64)
def accepts(accept: str, media_types: Sequence[str]) -> bool:
    """Whether an Accept header allows one of these types, by its most specific range (RFC 9110, 12.5.1)."""
    ranges = dict(filter(None, map(_media_range, accept.split(","))))
    if not ranges:  # nothing that can be read, so nothing is excluded
        return True
    return any(_quality(media_type, ranges) > 0 for media_type in media_types)


def _quality(media_type: str, ranges: dict[str, float]) -> float:
    any_subtype = media_type.partition("/")[0] + "/*"
    return next((ranges[name] for name in (media_type, any_subtype, "*/*") if name in ranges), 0.0)


def _media_range(text: str) -> tuple[str, float] | None:
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
            return None  # the media types here have no parameters, so this range matches none of them
    return name, quality
