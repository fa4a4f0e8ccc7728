"""Hooks that Schemathesis loads: rules for requests that OpenAPI cannot express."""

from itertools import count
from typing import Any

import schemathesis

KEY_CHARS_MAX = 200  # leaves room for the number
numbers = count()


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """JSON Schema's integers include 12.0, which the API refuses: it wants 12."""
    return _with_integers(body)


def _with_integers(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_integers(one) for one in value]
    if isinstance(value, dict):
        return {name: _with_integers(one) for name, one in value.items()}
    return value


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Make every key unique: the API refuses a key that was used for another order."""
    key = (case.headers or {}).get("Idempotency-Key")
    if not isinstance(key, str) or not 0 < len(key) < KEY_CHARS_MAX or key != key.strip():
        return
    if key[0] != '"':
        case.headers["Idempotency-Key"] = f"{key}-{next(numbers)}"
    elif len(key) > 2 and key[-1] == '"':
        case.headers["Idempotency-Key"] = f'{key[:-1]}-{next(numbers)}"'
