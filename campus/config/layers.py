"""Puts the environment and `--set` on top of the file, and remembers the source of each setting."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel

from campus.config.stanza import DEFAULT, Key, leaves
from campus.config.strict_yaml import YamlFaults, in_one_line, parse
from campus.config.validation import ABSENT, EnvironmentText, value_at

FILE, ENVIRONMENT, OVERRIDES = "file", "environment", "--set"
VARIABLES: dict[str, Key] = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers"),
    "PROCESSING_DELAY": ("roles", "inventory", "processing_delay_s"),
}


class Layers:
    """The tree of the file with the overrides put into it, and the source of each setting."""

    def __init__(self, tree: dict[str, Any], defaults: BaseModel, *, file: str) -> None:
        self.tree = tree
        self.faults: list[str] = []
        self.names = [DEFAULT, file]  # of the sources, by rank: a later one outranks an earlier one
        self._defaults = defaults
        self._ranks: dict[Key, int] = {(): 1}  # of a key, and of the keys below it

    def rank(self, keys: Collection[Key]) -> int:
        """The rank of the strongest source of these settings; 0 if all have their defaults."""
        return max(map(self._rank, keys))

    def sources(self) -> dict[Key, str]:
        """The kind of source of each setting in the tree."""
        kinds = [ENVIRONMENT if name in VARIABLES else name for name in self.names]
        kinds[1] = FILE
        return {key: kinds[self._rank(key)] for key, _ in leaves(self.tree)}

    def put_environment(self, environ: Mapping[str, str]) -> None:
        """Put the variables in that are not empty. One for a role that does not exist is ignored."""
        for variable, key in VARIABLES.items():
            if environ.get(variable) and value_at(self._defaults, key, ABSENT) is not ABSENT:
                self._put(key, EnvironmentText(environ[variable]), variable)

    def put_override(self, override: str) -> None:
        """`roles.producer.port=9000`: a dotted key and a value in YAML; no value is the empty text."""
        dotted, equals, text = override.partition("=")
        key = tuple(dotted.strip().split("."))
        if not equals or not all(key):
            # Only what can be a key is shown: a secret may follow it.
            begin = in_one_line(re.split(r"[^\w.-]", override, maxsplit=1)[0])
            self.faults.append(f'{OVERRIDES}: "{begin}": write KEY=VALUE, such as roles.producer.port=9000')
            return
        try:
            value = parse(text) if text else ""
        except YamlFaults as error:
            self.faults += [f"{OVERRIDES}: {in_one_line(dotted)}: {fault}" for fault in error.faults]
        else:
            self._put(key, value, OVERRIDES)

    def _put(self, key: Key, value: object, source: str) -> None:
        if source not in self.names:
            self.names.append(source)
        rank = self.names.index(source)
        stanza = self.tree
        for depth, part in enumerate(key[:-1], start=1):
            if stanza.get(part) is None:
                stanza[part] = self._default_map(key[:depth])
                self._ranks |= {key[:depth]: rank, **{(*key[:depth], item): 0 for item in stanza[part]}}
            stanza = stanza[part]
            if not isinstance(stanza, dict):
                above, whole = in_one_line(".".join(key[:depth])), in_one_line(".".join(key))
                self.faults.append(f"{source}: {whole}: {above} has no keys under it")
                return
        stanza[key[-1]] = value
        self._ranks = {other: n for other, n in self._ranks.items() if other[: len(key)] != key} | {key: rank}

    def _rank(self, key: Key) -> int:
        if value_at(self.tree, key, ABSENT) is ABSENT:
            return 0
        return next(self._ranks[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self._ranks)

    def _default_map(self, key: Key) -> dict[str, Any]:
        """A copy of the default if it is a map, such as the stock: one more item adds to it."""
        default = value_at(self._defaults, key)
        return dict(default) if isinstance(default, dict) else {}
