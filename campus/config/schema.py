"""The JSON Schema of config.yaml, made from the models: for editors, and for the words of error messages."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, create_model

from campus.config.settings import Config, RoleSettings
from campus.config.stanza import Key, Stanza

Schema = dict[str, Any]
# Any setting may be given by the environment, whatever its type.
REFERENCE = {"type": "string", "pattern": r"\$\{"}
ABOUT = ("description", "default", "examples")


def file_model(roles: Mapping[str, type[RoleSettings]]) -> type[Any]:
    """What config.yaml may hold, as a model: the stanzas of `Config`, and one for each role that exists."""
    stanzas = {name: field.annotation for name, field in Config.model_fields.items() if not field.exclude}
    return _model("ConfigFile", {**stanzas, "roles": _model("Roles", roles)})


def _model(name: str, stanzas: Mapping[str, Any]) -> type[Stanza]:
    # An absent stanza is read as {}, not taken from a default, since its paths need the file's folder.
    fields: dict[str, Any] = {key: (cls, Field(default_factory=dict)) for key, cls in stanzas.items()}
    return create_model(name, __base__=Stanza, **fields)


def editor_schema(roles: Mapping[str, type[RoleSettings]]) -> Schema:
    """What an editor needs to complete and check config.yaml. It cannot tell settings that contradict."""
    schema = file_model(roles).model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_with_references(schema),
        "title": "config.yaml of CampusKafka",
        "$defs": {name: _with_references(stanza) for name, stanza in schema["$defs"].items()},
    }


def _with_references(node: Schema) -> Schema:
    """The same, but a stanza may be null, and a value may be a text with `${NAME}`."""
    node = {key: part for key, part in node.items() if key != "title"}  # it only repeats the key
    if "$ref" in node:
        return node
    if "properties" in node:
        stanza = {key: _with_references(value) for key, value in node["properties"].items()}
        return {**node, "type": ["object", "null"], "properties": stanza}
    if "additionalProperties" in node:
        return {**node, "additionalProperties": _with_references(node["additionalProperties"])}
    value = {key: part for key, part in node.items() if key not in ABOUT}
    options = value.get("anyOf", [value])
    if any(option["type"] == "string" and not option.keys() & {"enum", "pattern"} for option in options):
        return node  # any text will do
    about = {key: node[key] for key in ABOUT if key in node}
    return {**about, "anyOf": [*options, REFERENCE]}


def schema_at(schema: Schema, key: Key) -> Schema:
    """The part of the schema for this key. Raises KeyError if the key is not allowed."""
    node = schema
    for part in key:
        node = node["properties"][part] if "properties" in node else node["additionalProperties"]
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
    return node


def in_words(node: Schema) -> str:
    """What the schema of a setting allows: "a whole number from 1 to 9 or null"."""
    return " or ".join(map(_option_in_words, node.get("anyOf", [node])))


def _option_in_words(node: Schema) -> str:
    kind = node.get("type", "string")
    if "enum" in node:
        return "one of " + ", ".join(node["enum"])
    if kind == "object":
        if "properties" in node:
            return "keys under it, each with its value"
        return f"names under it, each with {in_words(node['additionalProperties'])}"
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(node)
    if kind == "string":
        return _text_in_words(node)
    return {"boolean": "true or false", "null": "null"}[kind]


def _range(node: Schema) -> str:
    least, most = (None if key not in node else f"{node[key]:.15g}" for key in ("minimum", "maximum"))
    if least and most:
        return f" from {least} to {most}"
    return f", at least {least}" if least else f", at most {most}" if most else ""


def _text_in_words(node: Schema) -> str:
    if "examples" in node:
        return "a text such as " + " or ".join(f'"{example}"' for example in node["examples"])
    if node.get("format") == "path":
        return "a path"
    if "maxLength" in node:
        return f"a text of {node.get('minLength', 0)} to {node['maxLength']} characters"
    return "a text that is not empty" if node.get("minLength") else "a text"
