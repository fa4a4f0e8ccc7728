"""The table of operations as an OpenAPI 3.1 document, with the schemas of the very types that validate.

Every status that can come is in it: those of the operation, those that any request can get, and HEAD and
OPTIONS, which the table need not name.
"""

import copy
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from campus.api.headers import NOT_ACCEPTABLE
from campus.api.operations import OPERATIONS, PATHS, Answer, Operation, allow_of
from campus.api.parameters import Parameter
from campus.api.problems import (
    BY_SERVER,
    INVALID_PARAMETER,
    LENGTH_REQUIRED,
    METHOD_NOT_ALLOWED,
    NO_SUCH_PATH,
)
from campus.api.types import Problem
from campus.http.problems import JSON, PROBLEM_JSON, ProblemType, Response

VERSION = "1.0.0"
ABOUT = """\
Orders come in here and become events on Kafka; inventory decides them a moment later. A 2xx is only given
for what the broker has. Every problem is `application/problem+json` (RFC 9457) with a stable `type`."""

REF = "#/components/schemas/{name}"

HEADERS = {
    "Location": "Where the order can be looked up, or where to read on.",
    "Preference-Applied": "The preference that was honoured, `wait=N`.",
    "Retry-After": "In so many seconds it is worth another try.",
    "Allow": "The methods that the path takes.",
    "Accept-Post": "The types of body that are taken.",
    "WWW-Authenticate": "How to show the token.",
}
# That a problem of this status always has.
PROBLEM_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    415: ("Accept-Post",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}


def document() -> dict[str, Any]:
    types = [Problem, *_types()]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    for component in components.values():
        component["description"] = inspect.cleandoc(component.get("description", ""))
    schema_of = {id(type_): schema for type_, schema in zip(types, schemas, strict=True)}
    writing = _Writing(schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "CampusKafka", "version": VERSION, "description": ABOUT},
        "paths": {path: writing.path(path) for path in PATHS},
        "components": {
            "schemas": components,
            "responses": writing.of_no_operation(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types() -> Iterator[Any]:
    for operation in OPERATIONS:
        yield from operation.takes.values()
        yield from (parameter.type for parameter in operation.parameters)
        yield from (answer.body for answer in operation.answers)


class _Writing:
    def __init__(self, schema_of: dict[int, Any]) -> None:
        self._schema_of = schema_of

    def of_no_operation(self) -> dict[str, Any]:
        """What is answered on a path that is not here, to a method that it does not take, or to anything."""
        return {
            "Status404": self._problem([NO_SUCH_PATH]),
            "Status405": self._problem([METHOD_NOT_ALLOWED]),
            **{f"Status{status}": told for status, told in self._problems(BY_SERVER).items()},
        }

    def path(self, path: str) -> dict[str, Any]:
        here = {o.method.lower(): self._operation(o) for o in OPERATIONS if o.path == path}
        if "get" in here:
            here["head"] = _without_bodies(here["get"])
        here["options"] = self._options(path)
        return here

    def _operation(self, operation: Operation) -> dict[str, Any]:
        problems = [
            *operation.problems,
            INVALID_PARAMETER,
            NOT_ACCEPTABLE,
            *_by_server(with_body=operation.method == "POST"),
        ]
        written: dict[str, Any] = {
            "operationId": operation.name,
            "summary": operation.summary,
            "description": operation.says,
            "parameters": [self._parameter(parameter) for parameter in operation.parameters],
            "responses": {
                **{str(answer.status): self._answer(answer) for answer in operation.answers},
                **self._problems(problems),
            },
        }
        if operation.takes:
            content = {media: {"schema": self._schema(type_)} for media, type_ in operation.takes.items()}
            written["requestBody"] = {"required": operation.body_required, "content": content}
        if operation.needs_token:
            written["security"] = [{"token": []}]
        return written

    def _options(self, path: str) -> dict[str, Any]:
        # Whatever stands in the path: nobody reads it.
        in_path = [p for o in OPERATIONS if o.path == path for p in o.parameters if p.where == "path"]
        return {
            "operationId": f"options_of_{path.strip('/') or 'index'}",
            "summary": "The methods of this path",
            "parameters": [{**self._parameter(p), "schema": {"type": "string"}} for p in in_path],
            "responses": {
                "204": {"description": f"Allow: {allow_of(path)}", "headers": _headers(("Allow",))},
                **self._problems(_by_server(with_body=False)),
            },
        }

    def _parameter(self, parameter: Parameter) -> dict[str, Any]:
        written = {
            "name": parameter.name,
            "in": parameter.where,
            "required": parameter.required,
            "description": parameter.says,
            "schema": self._schema(parameter.type),
        }
        return written if parameter.example is None else {**written, "example": parameter.example}

    def _answer(self, answer: Answer) -> dict[str, Any]:
        media_type = answer.media_type.partition(";")[0]
        return {
            "description": answer.says,
            "headers": _headers(answer.headers),
            "content": {media_type: {"schema": self._schema(answer.body)}},
        }

    def _problems(self, types: Iterable[ProblemType]) -> dict[str, Any]:
        by_status: dict[int, list[ProblemType]] = {}
        for problem in types:
            by_status.setdefault(problem.status, []).append(problem)
        return {str(status): self._problem(by_status[status]) for status in sorted(by_status)}

    def _problem(self, types: list[ProblemType]) -> dict[str, Any]:
        status = types[0].status
        told = {
            "properties": {
                "type": {"enum": sorted({problem.type for problem in types})},
                "status": {"const": status},
            }
        }
        return {
            "description": "; ".join(dict.fromkeys(problem.title for problem in types)),
            "headers": _headers(PROBLEM_HEADERS.get(status, ())),
            "content": {PROBLEM_JSON: {"schema": {"allOf": [self._schema(Problem), told]}}},
        }

    def _schema(self, type_: Any) -> Any:
        return self._schema_of[id(type_)]


def _by_server(*, with_body: bool) -> Iterator[ProblemType]:
    return (problem for problem in BY_SERVER if with_body or problem.status != LENGTH_REQUIRED)


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {
        name: {"description": HEADERS[name], "required": True, "schema": {"type": "string"}} for name in names
    }


def _without_bodies(operation: dict[str, Any]) -> dict[str, Any]:
    """As HEAD answers: the same, but for the bodies."""
    headers_alone = copy.deepcopy(operation)
    headers_alone["operationId"] = f"head_{operation['operationId'].removeprefix('get_')}"
    for response in headers_alone["responses"].values():
        response.pop("content")
    return headers_alone


DOCUMENT_OBJECT = document()
DOCUMENT = Response(200, (("content-type", JSON),), msgspec.json.encode(DOCUMENT_OBJECT))
