"""The API's description as one HTML page, without scripts, fonts or anything from a network.

All text is escaped first. The content security policy allows its style sheet, by hash, and nothing else.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from campus.api.openapi import DOCUMENT_OBJECT
from campus.api.operations import HTML
from campus.http.problems import Response

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --get: #1a7f37; --post: #0550ae; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2, h3 { line-height: 1.2; }
h2 { border-top: 1px solid var(--line); padding-top: 1.5rem; margin-top: 2rem; }
code, pre { font: .9em ui-monospace, monospace; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }
tr { border-bottom: 1px solid var(--line); }
.method { color: #fff; padding: .1rem .5rem; border-radius: .3rem; background: var(--post); }
.get { background: var(--get); }
nav ul { list-style: none; padding: 0; }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
METHODS_SHOWN = ("get", "post")  # HEAD and OPTIONS exist for every path and need no section
HTML_PAGE = """\
<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head><body>
<h1>{title}: the API</h1><p>{about}</p>
<p>For programs: <a href="/openapi.json">openapi.json</a>.</p>
<nav><ul>{index}</ul></nav>
{operations}
<h2>Responses that any request can get</h2>{shared}
<h2>Objects</h2>{objects}
</body></html>
"""


def page(document: Mapping[str, Any]) -> str:
    document = _escaped(document)
    info, components = document["info"], document["components"]
    operations = [
        (f'<code class="method {method}">{method.upper()}</code> <code>{path}</code>', item[method])
        for path, item in document["paths"].items()
        for method in METHODS_SHOWN
        if method in item
    ]
    index = (
        f'<li><a href="#{operation["operationId"]}">{heading}</a> {operation["summary"]}</li>'
        for heading, operation in operations
    )
    shared = components["responses"]
    return HTML_PAGE.format(
        style=STYLE,
        title=info["title"],
        about=info["description"],
        index="\n".join(index),
        operations="\n".join(part for operation in operations for part in _operation(*operation, shared)),
        shared=_responses({name.removeprefix("Status"): response for name, response in shared.items()}),
        objects="\n".join(_object(name, schema) for name, schema in components["schemas"].items()),
    )


def _escaped(value: Any) -> Any:
    """The document with all its text as HTML; text between backticks is code."""
    if isinstance(value, dict):
        return {escape(name): _escaped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_escaped(inner) for inner in value]
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(str(value)))


def _operation(heading: str, operation: Mapping[str, Any], shared: Mapping[str, Any]) -> Iterator[str]:
    """One section, without the responses that any request can get."""
    yield f'<h2 id="{operation["operationId"]}">{heading}</h2>'
    yield f"<p>{operation['summary']}. {operation['description']}</p>"
    if "security" in operation:
        yield "<p>Needs the header <code>Authorization: Bearer TOKEN</code>.</p>"
    if parameters := operation["parameters"]:
        rows = ((_code(p["name"]), p["in"], _type(p["schema"]), p["description"]) for p in parameters)
        yield _table(("parameter", "in", "type", ""), rows)
    if body := operation.get("requestBody"):
        contents = body["content"].items()
        yield _table(("body", "type"), ((_code(media), _type(c["schema"])) for media, c in contents))
    responses = operation["responses"].items()
    yield _responses({status: response for status, response in responses if response not in shared.values()})


def _responses(responses: Mapping[str, Mapping[str, Any]]) -> str:
    rows = (
        (
            _code(status),
            response["description"],
            "<br>".join(_type(content["schema"]) for content in response.get("content", {}).values()),
            ", ".join(map(_code, response["headers"])),
        )
        for status, response in responses.items()
    )
    return _table(("status", "when", "body", "headers"), rows)


def _object(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    fields = schema["properties"].items()
    rows = ((_code(field), _type(type_), "" if field in required else "optional") for field, type_ in fields)
    about = schema.get("description", "")
    return f'<h3 id="object-{name}">{name}</h3><p>{about}</p>' + _table(("field", "type", ""), rows)


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with a link if it is an object."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#object-{name}">{name}</a>'
    if "allOf" in schema:
        problem, members = schema["allOf"]
        types = "<br>".join(map(_code, members["properties"]["type"]["enum"]))
        return f"{_type(problem)} of type<br>{types}"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(_code, schema["enum"]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    words = [schema.get("type", "anything")]
    if "minimum" in schema:
        words.append(f"{schema['minimum']} to {schema['maximum']}")
    if "minLength" in schema:
        words.append(f"{schema['minLength']} to {schema['maxLength']} characters")
    return ", ".join(words)


def _table(headings: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{heading}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _code(text: str) -> str:
    return f"<code>{text}</code>"


PAGE = Response(
    200,
    (("content-type", f"{HTML}; charset=utf-8"), ("content-security-policy", POLICY)),
    page(DOCUMENT_OBJECT).encode(),
)
