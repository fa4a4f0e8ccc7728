"""The API's description as one HTML page, without scripts, fonts or anything from a network.

All text is escaped. The content security policy allows its style sheet, by hash, and nothing else.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    info, components = document["info"], document["components"]
    operations = [
        (method, path, item[method])
        for path, item in document["paths"].items()
        for method in METHODS_SHOWN
        if method in item
    ]
    shared = components["responses"]
    return HTML_PAGE.format(
        style=STYLE,
        title=escape(info["title"]),
        about=_prose(info["description"]),
        index="\n".join(
            f'<li>{_method(method)} <a href="#{escape(operation["operationId"])}">{_code(path)}</a> '
            f"{escape(operation['summary'])}</li>"
            for method, path, operation in operations
        ),
        operations="\n".join(part for operation in operations for part in _operation(*operation, shared)),
        shared=_responses({name.removeprefix("Status"): response for name, response in shared.items()}),
        objects="\n".join(part for item in components["schemas"].items() for part in _object(*item)),
    )


def _operation(
    method: str, path: str, operation: Mapping[str, Any], shared: Mapping[str, Any]
) -> Iterator[str]:
    """One section, without the responses that any request can get."""
    yield f'<h2 id="{escape(operation["operationId"])}">{_method(method)} {_code(path)}</h2>'
    yield f"<p>{_prose(operation['summary'])}. {_prose(operation['description'])}</p>"
    if "security" in operation:
        yield "<p>Needs the header <code>Authorization: Bearer TOKEN</code>.</p>"
    if parameters := operation["parameters"]:
        yield _table(
            ("parameter", "in", "type", ""),
            (
                (_code(p["name"]), escape(p["in"]), _type(p["schema"]), _prose(p["description"]))
                for p in parameters
            ),
        )
    if body := operation.get("requestBody"):
        contents = body["content"].items()
        yield _table(("body", "type"), ((_code(media), _type(c["schema"])) for media, c in contents))
    responses = operation["responses"].items()
    yield _responses({status: response for status, response in responses if response not in shared.values()})


def _responses(responses: Mapping[str, Mapping[str, Any]]) -> str:
    rows = (
        (
            _code(status),
            _prose(response["description"]),
            "<br>".join(_type(content["schema"]) for content in response.get("content", {}).values()),
            ", ".join(map(_code, response["headers"])),
        )
        for status, response in responses.items()
    )
    return _table(("status", "when", "body", "headers"), rows)


def _object(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f'<h3 id="object-{escape(name)}">{escape(name)}</h3><p>{_prose(schema.get("description", ""))}</p>'
    required = schema.get("required", ())
    fields = schema["properties"].items()
    yield _table(
        ("field", "type", ""),
        ((_code(field), _type(type_), "" if field in required else "optional") for field, type_ in fields),
    )


def _type(schema: Mapping[str, Any]) -> str:
    """A schema in a few words, with a link if it is an object."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#object-{escape(name)}">{escape(name)}</a>'
    if "allOf" in schema:
        problem, members = schema["allOf"]
        types = "<br>".join(map(_code, members["properties"]["type"]["enum"]))
        return f"{_type(problem)} of type<br>{types}"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(_code(str(value)) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    words = [escape(schema.get("type", "anything"))]
    if "minimum" in schema:
        words.append(f"{schema['minimum']} to {schema['maximum']}")
    if "minLength" in schema:
        words.append(f"{schema['minLength']} to {schema['maxLength']} characters")
    return ", ".join(words)


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The cells of `rows` are HTML already."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def _method(method: str) -> str:
    return f'<code class="method {escape(method)}">{escape(method.upper())}</code>'


def _prose(text: str) -> str:
    """Escaped, with text between backticks as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


PAGE = Response(
    200,
    (("content-type", f"{HTML}; charset=utf-8"), ("content-security-policy", POLICY)),
    page(DOCUMENT_OBJECT).encode(),
)
