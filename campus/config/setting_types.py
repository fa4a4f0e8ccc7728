"""One setting's type: what of an annotation may be written, said in words, and taken or refused.

An annotation is bool, int, float, str, Path, Secret, a Literal of texts, a dict of any of these by
text, a dataclass, `X | None` of them, or Annotated with the limits of config.py. Nothing is converted
but a whole number where any number will do; a number is finite; no text has control characters.
"""

import math
import re
import types
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from campus.config.settings import AtLeast, AtMost, Between, Matches, Secret
from campus.config.strict_yaml import scalar

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
NAME_CHARACTERS_MAX = 256
NAME_ALLOWED = f"1 to {NAME_CHARACTERS_MAX} characters, none of them a control character"


class Words(str):
    """A text from outside YAML, such as the environment: what it is, the setting decides."""

    __slots__ = ()


class Unfit(ValueError):
    """Why a value is not taken."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An annotation, taken apart. `items`: what each value of a dict is to be."""

    base: Any
    optional: bool = False
    choices: tuple[str, ...] = ()
    items: "Wanted | None" = None
    limits: tuple[AtLeast | AtMost | Between | Matches, ...] = ()

    def take(self, value: object) -> Any:
        """The value as this type. Raises Unfit, saying what is allowed."""
        if isinstance(value, Words) and self.base in (bool, int, float):
            value = scalar(value)
        taken = _TAKERS[self.base](value)
        if taken is None or not self._within_limits(taken):
            raise Unfit(self.allowed + self._hint(value))
        return taken

    def _within_limits(self, taken: Any) -> bool:
        if self.choices and taken not in self.choices:
            return False
        for limit in self.limits:
            if isinstance(limit, Matches):
                if not re.fullmatch(limit.pattern, taken):
                    return False
            elif not _least(limit) <= taken <= _most(limit):
                return False
        return True

    @property
    def allowed(self) -> str:
        return self._allowed_of_base() + (" or null" if self.optional else "")

    def _allowed_of_base(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        for limit in self.limits:
            if isinstance(limit, Matches):
                return limit.what
        least = max(map(_least, self.limits), default=-math.inf)
        most = min(map(_most, self.limits), default=math.inf)
        if math.isinf(least) and math.isinf(most):
            return _NAMES[self.base]
        if math.isinf(most):
            return f"{_NAMES[self.base]}, at least {_number(least)}"
        if math.isinf(least):
            return f"{_NAMES[self.base]}, at most {_number(most)}"
        return f"{_NAMES[self.base]} from {_number(least)} to {_number(most)}"

    def _hint(self, value: object) -> str:
        if isinstance(value, str) and _CONTROL.search(value):
            return ", without control characters"
        if self.base in (str, Path, Secret) and isinstance(value, (bool, int, float)):
            return "; put it in quotes"
        if self.base in (bool, int, float) and type(value) is str:
            bare = value.replace("_", "")
            if _TAKERS[self.base](scalar(bare)) is not None:
                return "; write it without quotes" if bare == value else f"; write {bare}"
        return ""


def taken_apart(hint: Any) -> Wanted:
    """Raises TypeError for an annotation that a setting cannot have."""
    if hint in _TAKERS or is_dataclass(hint):
        return Wanted(hint)
    kind, parts = get_origin(hint), get_args(hint)
    if kind is Annotated:
        inner = taken_apart(parts[0])
        return replace(inner, limits=(*inner.limits, *parts[1:]))
    if kind is Literal and all(isinstance(choice, str) for choice in parts):
        return Wanted(str, choices=parts)
    if kind in (Union, types.UnionType) and len(parts) == 2 and type(None) in parts:
        (inner_hint,) = (part for part in parts if part is not type(None))
        return replace(taken_apart(inner_hint), optional=True)
    if kind is dict and parts[0] is str and (items := taken_apart(parts[1])).base in _TAKERS:
        return Wanted(dict, items=items)
    raise TypeError(f"{hint!r} is not the type of a setting")


def is_name(text: str) -> bool:
    """Whether it may be a key of a dict."""
    return 0 < len(text) <= NAME_CHARACTERS_MAX and not _CONTROL.search(text)


def _bool(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _int(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _float(value: object) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str) and not _CONTROL.search(value) else None


def _path(value: object) -> Path | None:
    text = _text(value)
    try:
        return Path(text).expanduser() if text else None
    except RuntimeError:  # "~nobody/x": there is no such user
        return None


def _secret(value: object) -> Secret | None:
    text = _text(value)
    return Secret(text) if text else None


_TAKERS: dict[Any, Callable[[object], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _text,
    Path: _path,
    Secret: _secret,
}
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    Secret: "a text that is not empty",
}


def _least(limit: object) -> float:
    return limit.least if isinstance(limit, (AtLeast, Between)) else -math.inf


def _most(limit: object) -> float:
    return limit.most if isinstance(limit, (AtMost, Between)) else math.inf


def _number(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else str(number)
