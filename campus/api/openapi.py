"""The table of operations as an OpenAPI 3.1 document; its schemas are made from the types that validate.

It lists every status that can occur: those of the operation, those that any request can get, and those of
HEAD and OPTIONS, which are not in the table.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from campus.api.operations import OPERATIONS, PATHS, Operation, Success, allow_of, server_problems
from campus.api.parameters import Parameter
from campus.api.problems import METHOD_NOT_ALLOWED, NO_SUCH_PATH
from campus.api.types import Problem
from campus.http.problems import JSON, PROBLEM_JSON, ProblemType, Response
from campus.http.refusals import PROBLEM_TYPES

VERSION = "1.0.0"
ABOUT = """\
Orders become events on Kafka, and inventory decides them a moment later. A write is answered with 2xx only
after the broker has acknowledged it. Every error is `application/problem+json` (RFC 9457) with a stable
`type`."""

REF = "#/components/schemas/{name}"

HEADERS = {
    "Location": "The URL of the order, or of the documentation.",
    "Preference-Applied": "The preference that was applied: `wait=N`.",
    "Retry-After": "Seconds until a retry makes sense.",
    "Allow": "The methods of this path.",
    "Accept-Post": "The accepted media types of the body.",
    "WWW-Authenticate": "The authentication scheme.",
}
# Headers that every problem of this status has.
PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    415: ("Accept-Post",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}

_TYPES: list[Any] = [
    Problem,
    *(type_ for operation in OPERATIONS for type_ in operation.body.values()),
    *(parameter.type for operation in OPERATIONS for parameter in operation.parameters),
    *(response.body for operation in OPERATIONS for response in operation.responses),
]
_SCHEMAS, _COMPONENTS = msgspec.json.schema_components(_TYPES, ref_template=REF)
# By the type's id, because not every type is hashable.
_SCHEMA_OF = {id(type_): schema for type_, schema in zip(_TYPES, _SCHEMAS, strict=True)}


def document() -> dict[str, Any]:
    for component in _COMPONENTS.values():
        component["description"] = inspect.cleandoc(component.get("description", ""))
    return {
        "openapi": "3.1.0",
        "info": {"title": "CampusKafka", "version": VERSION, "description": ABOUT},
        "paths": {path: _path(path) for path in PATHS},
        "components": {
            "schemas": _COMPONENTS,
            "responses": {
                f"Status{status}": response
                for status, response in _problems([NO_SUCH_PATH, METHOD_NOT_ALLOWED, *PROBLEM_TYPES]).items()
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _path(path: str) -> dict[str, Any]:
    operations = [operation for operation in OPERATIONS if operation.path == path]
    item = {operation.method.lower(): _operation(operation) for operation in operations}
    if "get" in item:
        item["head"] = _head_of(item["get"])
    item["options"] = _options(path, operations)
    return item


def _operation(operation: Operation) -> dict[str, Any]:
    item: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {
            **{str(response.status): _success(response) for response in operation.responses},
            **_problems(operation.problem_types()),
        },
    }
    if operation.body:
        item["requestBody"] = {"required": operation.is_body_required, "content": _content(operation.body)}
    if operation.needs_token:
        item["security"] = [{"token": []}]
    return item


def _options(path: str, operations: Iterable[Operation]) -> dict[str, Any]:
    # OPTIONS accepts any text as a path parameter.
    in_path = [p for operation in operations for p in operation.parameters if p.where == "path"]
    return {
        "operationId": f"options_of_{path.strip('/') or 'index'}",
        "summary": "The methods of this path",
        "parameters": [{**_parameter(p), "schema": {"type": "string"}} for p in in_path],
        "responses": {
            "204": {"description": f"Allow: {allow_of(path)}", "headers": _headers(("Allow",))},
            **_problems(server_problems("OPTIONS")),
        },
    }


def _parameter(parameter: Parameter) -> dict[str, Any]:
    item = {
        "name": parameter.name,
        "in": parameter.where,
        "required": parameter.where == "path",
        "description": parameter.description,
        "schema": _SCHEMA_OF[id(parameter.type)],
    }
    return item if parameter.example is None else {**item, "example": parameter.example}


def _success(response: Success) -> dict[str, Any]:
    return {
        "description": response.description,
        "headers": _headers(response.headers),
        "content": _content({response.media_type: response.body}),
    }


def _content(types: Mapping[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": _SCHEMA_OF[id(type_)]} for media_type, type_ in types.items()}


def _problems(types: Iterable[ProblemType]) -> dict[str, Any]:
    """One response for each status, since OpenAPI allows only one."""
    by_status: dict[int, list[ProblemType]] = {}
    for problem in types:
        by_status.setdefault(problem.status, []).append(problem)
    return {str(status): _problem(status, by_status[status]) for status in sorted(by_status)}


def _problem(status: int, types: list[ProblemType]) -> dict[str, Any]:
    members = {
        "type": {"enum": sorted({problem.type for problem in types})},
        "status": {"const": status},
    }
    return {
        "description": "; ".join(dict.fromkeys(problem.title for problem in types)),
        "headers": _headers(PROBLEM_HEADERS.get(status, ())),
        "content": {PROBLEM_JSON: {"schema": {"allOf": [_SCHEMA_OF[id(Problem)], {"properties": members}]}}},
    }


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {
        name: {"description": HEADERS[name], "required": True, "schema": {"type": "string"}} for name in names
    }


def _head_of(get: dict[str, Any]) -> dict[str, Any]:
    """HEAD: as GET, without the bodies."""
    responses = {
        status: {"description": response["description"], "headers": response["headers"]}
        for status, response in get["responses"].items()
    }
    name = f"head_{get['operationId'].removeprefix('get_')}"
    return {**get, "operationId": name, "responses": responses}


DOCUMENT_OBJECT = document()
DOCUMENT = Response(200, (("content-type", JSON),), msgspec.json.encode(DOCUMENT_OBJECT))
