"""Loads the configuration: the defaults, then the file, then the environment, then `--set`; later wins.

The result is a Config in which every setting is known, of its type and within its limits. Otherwise one
ConfigError lists all faults, a line each: the source, the key, the value and what is allowed.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from campus.config.schema import file_model
from campus.config.settings import DEFAULT, Config, Key, RoleSettings, leaves
from campus.config.strict_yaml import YamlFaults, in_one_line, parse
from campus.config.validation import ABSENT, EnvironmentText, contradictions, read_settings, value_at
from campus.errors import CampusError

FILE_BYTES_MAX = 1024 * 1024
FAULTS_SHOWN_MAX = 50
FAULT_CHARACTERS_MAX = 400
FILE, ENVIRONMENT, OVERRIDES = "file", "environment", "--set"
VARIABLES: dict[str, Key] = {
    "KAFKA_BOOTSTRAP_SERVERS": ("kafka", "bootstrap_servers"),
    "PROCESSING_DELAY": ("roles", "inventory", "processing_delay_s"),
}


class ConfigError(CampusError):
    """Everything that is wrong with the configuration, one line each."""

    exit_code = 2

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        shown = self.faults[:FAULTS_SHOWN_MAX]
        more = len(self.faults) - len(shown)
        super().__init__("\n".join([*shown, f"and {more} more"] if more else shown))


def load(
    path: Path | None,
    *,
    roles: Mapping[str, type[RoleSettings]],
    overrides: Sequence[str] = (),
    environ: Mapping[str, str],
) -> Config:
    """The whole configuration. Raises ConfigError if anything is wrong with it.

    Without a path there is no file. `roles`: the Settings of each role by its name. Relative paths start at
    the folder of the file, else at the current folder.
    """
    model = file_model(roles)
    layers = _Layers(
        {} if path is None else _tree_of(path), model(), file="" if path is None else _named(path)
    )
    for variable, key in VARIABLES.items():
        if environ.get(variable):
            layers.put_variable(variable, key, environ[variable])
    for override in overrides:
        layers.put_override(override)

    folder = Path.cwd() if path is None else path.absolute().parent
    settings, faults = read_settings(model, layers.tree, environ=environ, folder=folder)
    stanzas = {**dict(settings), "roles": dict(settings.roles)}
    config = Config(**stanzas, folder=folder, sources=layers.sources())
    faults += contradictions(config, faults)
    # sorted: all that is wrong with the file stands together
    faults.sort(key=lambda fault: layers.rank(fault.keys))
    lines = [_line(layers.names[layers.rank(keys)], name, message) for keys, name, message in faults]
    if lines or layers.faults:
        raise ConfigError([*lines, *layers.faults])
    return config


def _line(source: str, name: str, message: str) -> str:
    named = in_one_line(name) or '""'
    return f"{source}: {named}: {in_one_line(message, most=FAULT_CHARACTERS_MAX)}"


def _tree_of(path: Path) -> dict[str, Any]:
    try:
        tree = parse(_text_of(path))
    except YamlFaults as error:
        raise _about(path, *error.faults) from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise _about(path, "the file must be keys with values, such as topics: {…}")
    return tree


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise _about(path, "there is no such file; name another with --config") from None
    except IsADirectoryError:
        raise _about(path, "is a folder; name the file in it") from None
    except OSError as error:
        raise _about(path, f"cannot be read ({error.strerror})") from None
    if len(content) > FILE_BYTES_MAX:
        raise _about(path, f"is larger than {FILE_BYTES_MAX} bytes; is it the right file?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _about(path, f"line {line}: is not UTF-8; save it as UTF-8") from None


def _named(path: Path) -> str:
    return in_one_line(str(path), most=200)


def _about(path: Path, *faults: str) -> ConfigError:
    return ConfigError([f"{_named(path)}: {fault}" for fault in faults])


class _Layers:
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

    def _rank(self, key: Key) -> int:
        if value_at(self.tree, key, ABSENT) is ABSENT:
            return 0
        return next(self._ranks[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self._ranks)

    def sources(self) -> dict[Key, str]:
        """The kind of source of each setting in the tree."""
        kinds = [ENVIRONMENT if name in VARIABLES else name for name in self.names]
        kinds[1] = FILE
        return {key: kinds[self._rank(key)] for key, _ in leaves(self.tree)}

    def put_variable(self, variable: str, key: Key, text: str) -> None:
        """Put the value of an environment variable in, unless no role has this setting."""
        if value_at(self._defaults, key, ABSENT) is not ABSENT:
            self._put(key, EnvironmentText(text), variable)

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
        below = [other for other in self._ranks if other[: len(key)] == key]
        for forgotten in below:
            del self._ranks[forgotten]
        self._ranks[key] = rank

    def _default_map(self, key: Key) -> dict[str, Any]:
        """A copy of the default if it is a map, such as the stock: one more item adds to it."""
        default = value_at(self._defaults, key)
        return dict(default) if isinstance(default, dict) else {}
