"""What stands in a URL, read strictly: a parameter that is unknown, given twice or out of bounds is refused.

Nothing is guessed: `status=Reserved` would otherwise list every order, and look like an answer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from campus.api.problems import INVALID_PARAMETER
from campus.http.forms import cut, wanted
from campus.http.problems import Refused

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")
FIELDS_MAX = 32  # that are looked at, of a query


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    name: str
    where: Literal["path", "query", "header"]
    type: Any
    says: str
    required: bool = False
    example: str | int | None = None


def of_query(query: str, known: Sequence[Parameter]) -> dict[str, Any]:
    """The values that were given, by name. Raises Refused."""
    if not query.isascii():
        raise _refused("query", "The query has bytes that are not percent-encoded")
    by_name = {parameter.name: parameter for parameter in known if parameter.where == "query"}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except UnicodeDecodeError:
        raise _refused("query", "The query is not UTF-8") from None
    except ValueError:
        raise _refused("query", f"The query has more than {FIELDS_MAX} parameters") from None
    values: dict[str, Any] = {}
    for name, text in pairs:
        if name not in by_name:
            raise _refused(cut(name), f"It is not known here; there are {', '.join(by_name)}")
        if name in values:
            raise _refused(name, f"{name} is given more than once")
        values[name] = value_of(by_name[name], text)
    return values


def require_no_query() -> NoReturn:
    raise _refused("query", "Nothing can be asked here by a query: leave it away")


def value_of(parameter: Parameter, text: str) -> Any:
    """Raises Refused."""
    of_numbers = isinstance(inspect.type_info(parameter.type), inspect.IntType)
    try:
        value = int(text) if of_numbers and _WHOLE_NUMBER.fullmatch(text) else text
        return msgspec.convert(value, parameter.type)
    except msgspec.ValidationError:
        raise _refused(
            parameter.name, f"{parameter.name} must be {wanted(inspect.type_info(parameter.type))}"
        ) from None


def _refused(parameter: str, detail: str) -> Refused:
    return INVALID_PARAMETER.refuses(detail, more={"errors": [{"parameter": parameter, "detail": detail}]})
