"""A tree of plain values as settings, and a message of one line for every fault in it.

pydantic finds the faults. Here `${NAME}` in texts is replaced, and a fault gets a message that says what is
allowed and never shows a secret. A faulty setting is left at its default, so that the checks across settings
still run and all faults are reported at once.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from campus.config.schema import Schema, in_words, schema_at
from campus.config.settings import Config
from campus.config.stanza import Key, Stanza
from campus.config.strict_yaml import in_one_line, scalar

MASK = str(SecretStr("any"))
ABSENT = object()
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
NAME_CHARACTERS_MAX = 256
BAD_NAME = f"the name is not allowed: 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character"
REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")
KINDS = {dict: "a map", list: "a list", NoneType: "null"}
UNQUOTED = {"boolean": (bool,), "integer": (int,), "number": (int, float)}


class Fault(NamedTuple):
    """`keys`: the settings that it is about, first the one to change; `name`: how to show that one."""

    keys: Sequence[Key]
    name: str
    message: str


class EnvironmentText(str):
    """A text from the environment. The setting decides what it is, and `${` has no meaning in it."""

    __slots__ = ()


class NotAllowed(NamedTuple):
    """Replaces a value that no setting may have. No model accepts it, so it becomes a fault."""

    reason: str = ""


def read_settings(
    model: type[Stanza], tree: dict[str, Any], *, environ: Mapping[str, str], folder: Path
) -> tuple[Any, list[Fault]]:
    """The tree as the model, with relative paths from `folder`, and every fault in the tree."""
    faults: list[Fault] = []
    values = _expanded(tree, environ)
    while True:
        try:
            return model.model_validate(values, context={"folder": folder}), faults
        except ValidationError as error:
            refused = error.errors(include_url=False)
        schema = model.model_json_schema()
        for refusal in refused:
            key = tuple(map(str, refusal["loc"]))
            stanza = value_at(values, key[:-1])
            if _is_number_or_boolean(refusal):
                stanza[key[-1]] = scalar(refusal["input"])  # the next round may refuse it as out of range
            else:
                faults.append(_fault(key, refusal, schema, written=value_at(tree, key)))
                del stanza[key[-1]]


def _is_number_or_boolean(refusal: ErrorDetails) -> bool:
    """Whether a text from the environment is a number or a boolean, and the setting wants one."""
    given, wants_one = refusal["input"], refusal["type"] in ("bool_type", "int_type", "float_type")
    return isinstance(given, EnvironmentText) and wants_one and isinstance(scalar(given), (bool, int, float))


def contradictions(config: Config, faults: Sequence[Fault]) -> Iterator[Fault]:
    """The issues between settings, but not those of a setting in `faults`, which has its default here."""
    faulty = [fault.keys[0] for fault in faults]
    for at, stanza in _stanzas(config, ()):
        for issue in stanza.issues():
            keys = [(*at, *key.split(".")) for key in issue.keys]
            if not any(key[: len(other)] == other[: len(key)] for key in keys for other in faulty):
                faulty.append(keys[0])
                yield Fault(keys, ".".join(keys[0]), issue.message)


def _stanzas(node: Stanza | Mapping[str, Any], at: Key) -> Iterator[tuple[Key, Stanza]]:
    if isinstance(node, Stanza):
        yield at, node
    for key, value in dict(node).items():
        if isinstance(value, (Stanza, dict)):
            yield from _stanzas(value, (*at, key))


def value_at(node: Any, key: Key, default: Any = None) -> Any:
    """The value at this key of a tree or of a model; `default` if there is none."""
    for part in key:
        inside = node if isinstance(node, dict) else vars(node) if isinstance(node, BaseModel) else {}
        if part not in inside:
            return default
        node = inside[part]
    return node


def _expanded(node: Any, environ: Mapping[str, str]) -> Any:
    """A copy with `${NAME}` replaced, and NotAllowed for what no setting may have."""
    if isinstance(node, dict):
        return {
            name: _expanded(value, environ) if _is_name(name) else NotAllowed(BAD_NAME)
            for name, value in node.items()
        }
    if not isinstance(node, str):
        return node
    if "${" in node and not isinstance(node, EnvironmentText):
        for reference in REFERENCE.finditer(node):
            if reference[0] == "${":
                return NotAllowed('a "${" without a NAME and a "}" behind it; write $${ for the characters')
            if reference[1] and reference[1] not in environ:
                return NotAllowed(f"{reference[0]} is not set in the environment; export {reference[1]}")
        node = EnvironmentText(REFERENCE.sub(lambda found: environ[found[1]] if found[1] else "${", node))
    return NotAllowed() if CONTROL_CHARACTER.search(node) else node


def _is_name(text: str) -> bool:
    return 0 < len(text) <= NAME_CHARACTERS_MAX and not CONTROL_CHARACTER.search(text)


# Messages


def _fault(key: Key, refusal: ErrorDetails, schema: Schema, *, written: object) -> Fault:
    name, given = ".".join(key), refusal["input"]
    if refusal["type"] == "extra_forbidden":
        # Only the first word of the key is shown: `{sasl_password:hunter2}` is one key, for want of a space.
        word = re.split(r"[^\w.-]", key[-1], maxsplit=1)[0]
        name = ".".join((*key[:-1], word if word == key[-1] else f"{word}…"))
        return Fault([key], name, _unknown(word, list(schema_at(schema, key[:-1])["properties"])))
    if isinstance(given, NotAllowed) and given.reason:
        return Fault([key], name, given.reason)
    setting = schema_at(schema, key)
    kinds = setting.get("anyOf", [setting])
    allowed = in_words(setting)
    if refusal["type"] == "value_error":  # of our own validators, whose text says what is allowed
        allowed = str(refusal["ctx"]["error"]) + (" or null" if len(kinds) > 1 else "")
    if kinds[0].get("writeOnly"):
        shown = MASK
    elif isinstance(written, (dict, list)) or kinds[0]["type"] == "object":
        shown = KINDS.get(type(written), "a single value")  # not the value: there may be secrets in it
    else:  # as it was written: the variable behind a ${NAME} may be secret under any key
        shown = f'"{in_one_line(written)}"' if isinstance(written, str) else json.dumps(written)
    return Fault([key], name, f"{shown} is not allowed: {allowed}{_hint(given, kinds[0])}")


def _unknown(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word[:64], known, n=1)
    if near:
        return f'unknown key, did you mean "{near[0]}"?'
    return f"unknown key; the keys here are {', '.join(known) or 'none'}"


def _hint(given: object, setting: Schema) -> str:
    if isinstance(given, NotAllowed):
        return ", without control characters"
    kind = setting["type"]
    if kind == "string" and "enum" not in setting and isinstance(given, (bool, int, float)):
        return "; put it in quotes"
    if isinstance(given, str) and kind in UNQUOTED:
        bare = given.replace("_", "")
        if type(scalar(bare)) in UNQUOTED[kind]:
            return "; write it without quotes" if bare == given else f"; write {bare}"
    return ""
