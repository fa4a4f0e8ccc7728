"""YAML without surprises: a value is what it looks like, or it is refused with its line.

PyYAML's own loader reads `on` as true, `1:30` as 90, `010` as 8, and keeps the last of two equal keys.
Here only `true`, `false`, `null` and decimal numbers are not texts. Every key is a text. A duplicate key,
an anchor, an alias and a tag are refused, so a small file cannot become large in memory or run code.
Messages never repeat a value, since it may be a secret.
"""

import re
from typing import Any

import yaml

DEPTH_MAX = 16
REFUSED_MARKS = {"&": "an anchor", "*": "an alias", "!": "a tag", "%": "a directive"}

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
# 18 digits: Python refuses to read an int of thousands, and no setting needs more than these.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]{0,17})(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")


class YamlFaults(ValueError):
    """Every fault in the text, or in the file it is from, one line each."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def parse(text: str) -> Any:
    """The text as dicts with text keys, lists, texts, numbers, booleans and None. Raises YamlFaults."""
    try:
        root = _PlainLoader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line, character = text.count("\n", 0, error.position) + 1, ord(text[error.position])
        raise YamlFaults(f"line {line}: the character U+{character:04X} is not allowed") from None
    except yaml.MarkedYAMLError as error:
        raise YamlFaults(_message(error)) from None
    faults: list[str] = []
    value = None if root is None else _value(root, "", faults)
    if faults:
        raise YamlFaults(*faults)
    return value


def scalar(text: str) -> bool | int | float | str | None:
    """The meaning of a text without quotes."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def in_one_line(text: str, *, most: int = 80) -> str:
    """The text for a message: cut, and without what could break the line or the terminal."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


class _PlainLoader(yaml.SafeLoader):
    """Composes nodes of bounded depth, without anchors, aliases, tags and directives."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self._refuse(f"nested more than {DEPTH_MAX} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def _refuse_mark(self) -> None:
        mark = self.peek()
        advice = f"put a text that begins with {mark} in quotes"
        self._refuse(f'{REFUSED_MARKS[mark]} ("{mark}") is not allowed; {advice}')

    # Refused at the mark itself, since PyYAML's later messages would repeat what follows it.
    fetch_anchor = fetch_alias = fetch_tag = fetch_directive = _refuse_mark

    def _refuse(self, what: str) -> None:
        raise yaml.composer.ComposerError(None, None, what, self.get_mark())


def _value(node: yaml.Node, path: str, faults: list[str]) -> Any:
    """The node's value; `faults` gets what is wrong with its keys."""
    if isinstance(node, yaml.ScalarNode):
        return scalar(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, f"{path}[{index}]", faults) for index, item in enumerate(node.value)]
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for key_node, value_node in node.value:
        key, line = key_node.value, key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            faults.append(f"line {line}: a key must be a text")
            continue
        dotted = f"{path}.{key}" if path else key
        if key in values:
            fault = f"twice, on line {lines[key]} and on line {line}; keep one"
            faults.append(f"{in_one_line(dotted)}: {fault}")
        values[key] = _value(value_node, dotted, faults)
        lines.setdefault(key, line)
    return values


def _message(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    message = ", ".join(part for part in (error.context, error.problem) if part)
    advice = "; indent with spaces, not with a tab" if "'\\t'" in message else ""
    return f"line {mark.line + 1}: {message}{advice}" if mark else message
