"""Bodies as values: one form, or a batch of orders of which each is read by itself."""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.json import Decoder

from campus.api.types import Nothing, Order, Restock
from campus.http.forms import Form, malformed, require_media_type
from campus.http.problems import JSON, ProblemType, Refused

NDJSON = "application/x-ndjson"

ORDER_FORM = Form(Order, thing="order")
RESTOCK_FORM = Form(Restock, thing="restock")
NOTHING_FORM = Form(Nothing, thing="cancellation")
INVALID_BATCH = ProblemType(422, "invalid-batch", "This is no valid batch")

_ONE = (JSON,)
_BATCH = (JSON, NDJSON)
_array: Decoder[list[msgspec.Raw]] = Decoder(list[msgspec.Raw])
_lenient = json.JSONDecoder(parse_int=len)
_OPENING, _COMMA, _CLOSING = (re.compile(rf"[ \t\n\r]*{mark}[ \t\n\r]*") for mark in (r"\[", ",", "]"))

F = TypeVar("F", bound=Struct)


def read(environ: Mapping[str, Any], form: Form[F]) -> F:
    """Raises Refused."""
    _media_type(environ, _ONE)
    return form.read(environ["wsgi.input"].read())


def read_nothing(environ: Mapping[str, Any]) -> None:
    """No body, or an empty object. Raises Refused for anything else."""
    body = environ["wsgi.input"].read()
    if body:
        _media_type(environ, _ONE)
        NOTHING_FORM.read(body)


def read_batch(environ: Mapping[str, Any], orders_max: int) -> list[bytes]:
    """Each order's own JSON, unread. Raises Refused for a batch that cannot be parted into its orders."""
    of_lines = _media_type(environ, _BATCH) == NDJSON
    body = environ["wsgi.input"].read()
    # Not many more than are allowed: to part a body into a million orders would hold up everybody else.
    orders = _lines(body) if of_lines else _elements(body, orders_max)
    if not 1 <= len(orders) <= orders_max:
        raise _no_batch(f"A batch has 1 to {orders_max} orders; this one has {'more' if orders else 'none'}")
    return orders


def _media_type(environ: Mapping[str, Any], allowed: tuple[str, ...]) -> str:
    return require_media_type(
        environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CONTENT_ENCODING", ""), allowed
    )


def _lines(body: bytes) -> list[bytes]:
    """An empty line is no order, as the last one is not."""
    return [line for line in body.split(b"\n") if line.strip()]


def _elements(body: bytes, most: int) -> list[bytes]:
    """No more than one beyond `most`."""
    try:
        return list(map(bytes, _array.decode(body)[: most + 1]))
    except RecursionError:
        raise _no_batch("The body is nested too deeply") from None
    except msgspec.ValidationError:
        raise _no_batch("The body must be an array of orders") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        try:
            return list(islice(_elements_one_by_one(body.decode()), most + 1))
        except (ValueError, RecursionError):
            raise malformed(body, error) from error


def _elements_one_by_one(text: str) -> Iterator[bytes]:
    """As the standard library parts them, which takes more for JSON than the form does: so one order that is
    none does not lose the others. Raises ValueError for what is no array even so."""
    at = _end_of(_OPENING, text, 0)
    while True:
        _, end = _lenient.raw_decode(text, at)
        yield text[at:end].encode()
        if _CLOSING.fullmatch(text, end):
            return
        at = _end_of(_COMMA, text, end)


def _end_of(mark: re.Pattern[str], text: str, at: int) -> int:
    match = mark.match(text, at)
    if match is None:
        raise ValueError(f"not {mark.pattern}")
    return match.end()


def _no_batch(detail: str) -> Refused:
    return INVALID_BATCH.refuses(detail, more={"errors": [{"pointer": "#", "detail": detail}]})
