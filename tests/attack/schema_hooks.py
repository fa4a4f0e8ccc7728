"""Loaded by Schemathesis itself: what the description cannot say of a request."""

from itertools import count
from typing import Any

import schemathesis

ROOM = 200  # characters that leave room for the number
numbers = count()


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """JSON Schema's integers take 12.0, and no word of it can say otherwise; the API wants 12."""
    return _written_whole(body)


def _written_whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_written_whole(one) for one in value]
    if isinstance(value, dict):
        return {name: _written_whole(one) for name, one in value.items()}
    return value


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """A key of its own for each request: to use one again for another order is refused, and rightly."""
    key = (case.headers or {}).get("Idempotency-Key")
    if not isinstance(key, str) or not 0 < len(key) < ROOM or key != key.strip():
        return
    if key[0] != '"':
        case.headers["Idempotency-Key"] = f"{key}-{next(numbers)}"
    elif len(key) > 2 and key[-1] == '"':
        case.headers["Idempotency-Key"] = f'{key[:-1]}-{next(numbers)}"'
