"""A tree of plain values as the dataclasses that it is meant for, by their annotations alone.

Nothing is guessed or passed over: a key that no field has, a value of another type or beyond its
limits, and what a stanza complains of, each is a fault. All are gathered, one line each; where there
was one, the default stands in, so that reading goes on. No line ever shows a secret.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from campus.config.setting_types import NAME_ALLOWED, Unfit, Wanted, Words, is_name, taken_apart
from campus.config.settings import MASK, Complaining, ConfigIssue, Secret
from campus.config.strict_yaml import in_one_line

Stanza = TypeVar("Stanza")
Key = tuple[str, ...]

FAULT_CHARACTERS_MAX = 400
_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


class Reading:
    """One pass over a tree. `source` names who gave the settings with these keys."""

    def __init__(
        self, *, environ: Mapping[str, str], folder: Path, source: Callable[[Collection[Key]], str]
    ) -> None:
        self.faults: list[str] = []
        self._faulty: list[Key] = []
        self._environ, self._folder, self._source = environ, folder, source

    def stanza(self, cls: type[Stanza], node: object, at: Key = ()) -> Stanza:
        """Raises Unfit only if `node` is no stanza at all; `None` is one with nothing in it."""
        given = {} if node is None else node
        if not isinstance(given, dict):
            raise Unfit(f"{_kind(given)} is not allowed: keys under it, each with its value")
        hints = get_type_hints(cls, include_extras=True)
        known = {setting.name: setting for setting in fields(cls)}  # type: ignore[arg-type]
        for key in given:
            if key not in known:
                self._fault([(*at, _shown_key(key))], _unknown(key, known))
        values = {
            name: self._field(setting, hints[name], given, (*at, name)) for name, setting in known.items()
        }
        stanza = cls(**values)
        if isinstance(stanza, Complaining):
            for complaint in stanza.complaints():
                self._complain(complaint, at)
        return stanza

    def _field(self, setting: "Field[Any]", hint: Any, given: dict[str, Any], at: Key) -> Any:
        if setting.name in given or is_dataclass(hint):
            with self._faults_of(at):
                return self._value(taken_apart(hint), given.get(setting.name), at)
        return self._default(setting)

    def _default(self, setting: "Field[Any]") -> Any:
        if setting.default_factory is not MISSING:
            return setting.default_factory()
        assert setting.default is not MISSING, f"the setting {setting.name} has no default"
        default = setting.default
        return self._folder / default if isinstance(default, Path) else default

    def _value(self, wanted: Wanted, node: object, at: Key) -> Any:
        if is_dataclass(wanted.base):
            assert isinstance(wanted.base, type)
            return self.stanza(wanted.base, node, at)
        if node is None and wanted.optional:
            return None
        if wanted.items is not None:
            return self._map(wanted.items, node, at)
        return self._single(wanted, node)

    def _map(self, items: Wanted, node: object, at: Key) -> dict[str, Any]:
        if not isinstance(node, dict):
            raise Unfit(f"{_kind(node)} is not allowed: names under it, each with {items.allowed}")
        taken = {}
        for name, value in node.items():
            with self._faults_of((*at, name)):
                if not is_name(name):
                    raise Unfit(f"the name is not allowed: {NAME_ALLOWED}")
                taken[name] = self._value(items, value, (*at, name))
        return taken

    def _single(self, wanted: Wanted, node: object) -> Any:
        value = self._expanded(node)
        try:
            taken = wanted.take(value)
        except Unfit as unfit:
            # As it was written: what a ${NAME} stands for may be secret under any key.
            shown = MASK if wanted.base is Secret else _shown(node)
            raise Unfit(f"{shown} is not allowed: {unfit}") from None
        return self._folder / taken if isinstance(taken, Path) else taken

    def _expanded(self, node: object) -> object:
        if not isinstance(node, str) or isinstance(node, Words) or "${" not in node:
            return node
        return Words(_REFERENCE.sub(self._looked_up, node))

    def _looked_up(self, reference: "re.Match[str]") -> str:
        name = reference[1]
        if reference[0] == "$${":
            return "${"
        if name is None:
            raise Unfit('a "${" without a NAME and a "}" behind it; write $${ for the characters')
        if name not in self._environ:
            raise Unfit(f"${{{name}}} is not set in the environment; export {name}")
        return self._environ[name]

    @contextmanager
    def _faults_of(self, at: Key) -> Iterator[None]:
        try:
            yield
        except Unfit as unfit:
            self._fault([at], str(unfit))

    def _complain(self, complaint: ConfigIssue, at: Key) -> None:
        """Only of settings that are right one by one: of the others, enough has been said."""
        keys = [(*at, *key.split(".")) for key in complaint.keys]
        if not any(_overlap(key, faulty) for key in keys for faulty in self._faulty):
            self._fault(keys, complaint.says)

    def _fault(self, keys: list[Key], says: str) -> None:
        self._faulty.append(keys[0])
        named = in_one_line(".".join(keys[0])) or '""'
        line = in_one_line(says, most=FAULT_CHARACTERS_MAX)
        self.faults.append(f"{self._source(keys)}: {named}: {line}")


def _overlap(one: Key, other: Key) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _kind(value: object) -> str:
    """What it is, and not the value: there may be secrets in it."""
    if isinstance(value, (dict, list)):
        return "a map" if isinstance(value, dict) else "a list"
    return "null" if value is None else "a single value"


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return _kind(value)
    if isinstance(value, str):
        return f'"{in_one_line(value)}"'
    return json.dumps(value)


def _word(key: str) -> str:
    return re.split(r"[^\w.-]", key, maxsplit=1)[0]


def _shown_key(key: str) -> str:
    """All that is shown of an unknown key: `{sasl_password:hunter2}` is one, for want of a space."""
    word = _word(key)
    return word if word == key else f"{word}…"


def _unknown(key: str, known: Collection[str]) -> str:
    near = get_close_matches(_word(key)[:64], known, n=1)
    if near:
        return f'unknown key, did you mean "{near[0]}"?'
    return f"unknown key; the keys here are {', '.join(known) or 'none'}"
