"""Path and query parameters, read strictly: an unknown, repeated or out-of-range parameter is refused.

Otherwise `status=Reserved` would be ignored, and list every order as if they all were reserved.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from campus.api.problems import INVALID_PARAMETER
from campus.http.json_body import describe_type, shorten
from campus.http.problems import Refused

_INTEGER = re.compile(r"-?[0-9]{1,18}")
QUERY_FIELDS_MAX = 32


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request; those in the path are required, the others optional."""

    name: str
    where: Literal["path", "query", "header"]
    type: Any
    description: str
    example: str | None = None


def parse_query(query: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values given in a non-empty query, by name. Raises Refused."""
    if not known:
        raise _refusal("query", "This endpoint takes no query parameters")
    if not query.isascii():
        raise _refusal("query", "The query has bytes that are not percent-encoded")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except UnicodeDecodeError:
        raise _refusal("query", "The query is not UTF-8") from None
    except ValueError:
        raise _refusal("query", f"The query has more than {QUERY_FIELDS_MAX} parameters") from None
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in known:
            raise _refusal(shorten(name), f"Unknown parameter; this endpoint takes {', '.join(known)}")
        if name in values:
            raise _refusal(name, f"{name} is given more than once")
        values[name] = convert(known[name], text)
    return values


def convert(parameter: Parameter, text: str) -> Any:
    """The text as a value of the parameter's type. Raises Refused."""
    info = inspect.type_info(parameter.type)
    try:
        is_integer = isinstance(info, inspect.IntType) and _INTEGER.fullmatch(text)
        return msgspec.convert(int(text) if is_integer else text, parameter.type)
    except msgspec.ValidationError:
        raise _refusal(parameter.name, f"{parameter.name} must be {describe_type(info)}") from None


def _refusal(parameter: str, detail: str) -> Refused:
    return INVALID_PARAMETER.refusal(detail, more={"errors": [{"parameter": parameter, "detail": detail}]})
