"""Reads request bodies: one JSON object, or a batch, split so that each order is read by itself."""

import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from campus.api.types import EmptyObject, Order, Restock
from campus.http.json_body import JsonBody, malformed_json, require_media_type
from campus.http.problems import BODY_KEY, JSON, Environ, ProblemType, Refused

NDJSON = "application/x-ndjson"

ORDER = JsonBody(Order, name="order")
RESTOCK = JsonBody(Restock, name="restock")
CANCELLATION = JsonBody(EmptyObject, name="cancellation")
INVALID_BATCH = ProblemType(422, "invalid-batch", "Invalid batch")

_array: Decoder[list[msgspec.Raw]] = Decoder(list[msgspec.Raw])
_lenient = json.JSONDecoder(parse_int=len)
_OPENING, _COMMA, _CLOSING = (re.compile(rf"[ \t\n\r]*{mark}[ \t\n\r]*") for mark in (r"\[", ",", "]"))

S = TypeVar("S", bound=Struct)


def read(environ: Environ, schema: JsonBody[S]) -> S:
    """Raises Refused."""
    require_media_type(environ, (JSON,))
    return schema.read(environ[BODY_KEY])


def require_empty(environ: Environ) -> None:
    """Raises Refused unless there is no body or an empty object."""
    body = environ[BODY_KEY]
    if body:
        require_media_type(environ, (JSON,))
        CANCELLATION.read(body)


def split_batch(environ: Environ, orders_max: int) -> list[bytes]:
    """The JSON text of each order. Raises Refused if the body cannot be split."""
    body = environ[BODY_KEY]
    if require_media_type(environ, (JSON, NDJSON)) == NDJSON:
        orders = [line for line in body.split(b"\n") if line.strip()]
    else:  # bounded: to split a body into a million orders would delay all other clients
        orders = _elements(body, orders_max)
    if not 1 <= len(orders) <= orders_max:
        found = "more" if orders else "none"
        raise _invalid_batch(f"A batch has 1 to {orders_max} orders; this one has {found}")
    return orders


def _elements(body: bytes, most: int) -> list[bytes]:
    """The array's elements, at most one more than `most`."""
    try:
        return list(map(bytes, _array.decode(body)[: most + 1]))
    except RecursionError:
        raise _invalid_batch("The body is nested too deeply") from None
    except msgspec.ValidationError:
        raise _invalid_batch("The body must be an array of orders") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            return list(islice(_elements_one_by_one(body.decode()), most + 1))
        except (ValueError, RecursionError):
            raise malformed_json(body, error) from error


def _elements_one_by_one(text: str) -> Iterator[bytes]:
    """Splits with the standard library's decoder, which accepts more than JSON: so an element that is not
    JSON does not lose the others. Raises ValueError if it is not an array even so."""
    position = _end_of(_OPENING, text, 0)
    while True:
        _, end = _lenient.raw_decode(text, position)
        yield text[position:end].encode()
        if _CLOSING.fullmatch(text, end):
            return
        position = _end_of(_COMMA, text, end)


def _end_of(mark: re.Pattern[str], text: str, position: int) -> int:
    match = mark.match(text, position)
    if match is None:
        raise ValueError(f"not {mark.pattern}")
    return match.end()


def _invalid_batch(detail: str) -> Refused:
    return INVALID_BATCH.refusal(detail, more={"errors": [{"pointer": "#", "detail": detail}]})
