"""YAML without surprises: what is written is what is meant, or it is refused with its line.

PyYAML's own loader takes `on` for true, `1:30` for 90, `010` for 8 and the last of two equal keys.
Here only `true`, `false`, `null`, decimal numbers and texts are told apart; every key is a text; a key
twice, an anchor, an alias and a tag are refused, so that a file is as small in memory as it is on disk.
Messages never repeat a value, since it may be a secret.
"""

import re
from typing import Any

import yaml

DEPTH_MAX = 16

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
# 18 digits: Python refuses to read an int of thousands, and no setting has more than these.
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]{0,17})(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,3})?")


class YamlFaults(ValueError):
    """Every fault that was found in the text, one line each."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


def parse(text: str) -> Any:
    """The text as dicts with text keys, lists, texts, numbers, booleans and None. Raises YamlFaults."""
    loader = _PlainLoader(text)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise YamlFaults(_told(error)) from None
    finally:
        loader.dispose()
    tree = _Tree()
    plain = None if root is None else tree.of(root, "")
    if tree.faults:
        raise YamlFaults(*tree.faults)
    return plain


def scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted word means."""
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text.lower() == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


class _PlainLoader(yaml.SafeLoader):
    """Composes nodes, of bounded depth and with nothing in them that is not written out."""

    depth = 0

    def __init__(self, text: str) -> None:
        try:
            super().__init__(text)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise YamlFaults(
                f"line {line}: the character U+{ord(text[error.position]):04X} is not allowed"
            ) from None

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            self._refuse(f"nested more than {DEPTH_MAX} deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    # Refused where the mark is seen, since later messages of PyYAML would repeat what follows it.
    def fetch_anchor(self) -> None:
        self._refuse('an anchor ("&") is not allowed; put a text that begins with & in quotes')

    def fetch_alias(self) -> None:
        self._refuse('an alias ("*") is not allowed; put a text that begins with * in quotes')

    def fetch_tag(self) -> None:
        self._refuse('a tag ("!") is not allowed; put a text that begins with ! in quotes')

    def fetch_directive(self) -> None:
        self._refuse('a directive ("%") is not allowed; put a text that begins with % in quotes')

    def _refuse(self, what: str) -> None:
        raise yaml.composer.ComposerError(None, None, what, self.get_mark())


class _Tree:
    """Builds plain values of nodes, and gathers every fault on the way."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def of(self, node: yaml.Node, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.of(item, f"{path}[{at}]") for at, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode), node
        return scalar(node.value) if node.style is None else node.value

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.append(f"line {line}: a key must be a text")
                continue
            key = key_node.value
            dotted = f"{path}.{key}" if path else key
            value = self.of(value_node, dotted)
            if key in plain:
                self.faults.append(
                    f"{in_one_line(dotted)}: twice, on line {lines[key]} and on line {line}; keep one"
                )
            plain[key] = value
            lines.setdefault(key, line)
        return plain


def in_one_line(text: str, *, most: int = 80) -> str:
    """The text for a message: cut, and with nothing in it that could break the line or the terminal."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def _told(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    told = ", ".join(part for part in (error.context, error.problem) if part)
    advice = "; indent with spaces, not with a tab" if "'\\t'" in told else ""
    return f"line {mark.line + 1}: {told}{advice}" if mark else told
