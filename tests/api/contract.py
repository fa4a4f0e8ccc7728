"""Checks every response that a test gets against the API's own description.

For its method and path, the description must have the status, the headers that it promises, the media type
and the body, in which no undescribed member is allowed.
"""

import copy
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import referencing
from jsonschema import Draft202012Validator
from referencing.jsonschema import DRAFT202012

from campus.api.openapi import DOCUMENT_OBJECT

URI = "urn:campuskafka"


def check(method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raises AssertionError if the response is not as described. `headers`: names in lower case."""
    path = path_of(target)
    responses = _responses(method, path)
    what = f"{method} {target} → {status} {body[:300]!r}"
    assert str(status) in responses, f"{what}: only {', '.join(responses)} are described for {path}"
    where, response = responses[str(status)]
    for name, header in response.get("headers", {}).items():
        assert name.lower() in headers or not header["required"], f"{what}: without {name}"
    if method == "HEAD":
        assert body == b"", what
        return
    content = response.get("content", {})
    if not content:
        assert body == b"", f"{what}: a body that is not described"
        return
    media_type = headers["content-type"].partition(";")[0]
    assert media_type in content, f"{what}: {media_type} is not described"
    if media_type.endswith("json"):
        pointer = f"{where}/content/{_escaped(media_type)}/schema"
        errors = [error.message for error in _validator(pointer).iter_errors(json.loads(body))]
        assert not errors, f"{what}: {errors}"


def path_of(target: str) -> str | None:
    """The described path that a request's target matches, if any."""
    path = urlsplit(target).path if not target.startswith("//") else target.partition("?")[0]
    return next((known for known, pattern in _patterns() if pattern.fullmatch(path)), None)


def _responses(method: str, path: str | None) -> dict[str, tuple[str, Any]]:
    """By status: the response's pointer in the document, and the response."""
    operation = DOCUMENT_OBJECT["paths"].get(path, {}).get(method.lower())
    if operation is not None:
        at = f"#/paths/{_escaped(str(path))}/{method.lower()}/responses"
        return {status: (f"{at}/{status}", response) for status, response in operation["responses"].items()}
    # The server refuses these on any path.
    never = "405" if path is None else "404"
    shared = {
        key.removeprefix("Status"): response
        for key, response in DOCUMENT_OBJECT["components"]["responses"].items()
    }
    return {
        status: (f"#/components/responses/Status{status}", response)
        for status, response in shared.items()
        if status != never
    }


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Paths without parameters first."""
    paths = sorted(DOCUMENT_OBJECT["paths"], key=lambda path: ("{" in path, -len(path)))
    return [(path, re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)))) for path in paths]


@cache
def _validator(pointer: str) -> Draft202012Validator:
    resource = referencing.Resource.from_contents(_strict(), default_specification=DRAFT202012)
    registry = referencing.Registry().with_resource(URI, resource)
    return Draft202012Validator({"$ref": f"{URI}{pointer}"}, registry=registry)


@cache
def _strict() -> Any:
    """The document with additional properties forbidden, so that the tests notice undescribed members."""
    strict = copy.deepcopy(DOCUMENT_OBJECT)
    for schema in strict["components"]["schemas"].values():
        schema["additionalProperties"] = False
    return strict


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
