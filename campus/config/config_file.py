"""Loads the configuration: the defaults, then the file, then the environment, then `--set`; later wins.

The result is a Config in which every setting is known, of its type and within its limits. Otherwise one
ConfigError lists all faults, a line each: the source, the key, the value and what is allowed.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from campus.config.schema import file_model
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import DEFAULT, Key, Stanza, leaves
from campus.config.strict_yaml import YamlFaults, in_one_line, parse
from campus.config.validation import ABSENT, EnvironmentText, contradictions, read_settings, value_at
from campus.errors import CampusError

FILE_BYTES_MAX = 1024 * 1024
FAULTS_SHOWN_MAX = 50
FAULT_CHARACTERS_MAX = 400
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
    path: Path,
    *,
    roles: Mapping[str, type[RoleSettings]],
    overrides: Sequence[str] = (),
    environ: Mapping[str, str],
) -> Config:
    """The whole configuration. Raises ConfigError if anything is wrong with it.

    `roles`: the Settings of each role by its name. Relative paths start at the folder of the file.
    """
    model, file = file_model(roles), in_one_line(str(path), most=200)
    try:
        layers = _Layers(_tree_of(path), Source(1, "file", file), defaults=model())
    except YamlFaults as error:
        raise ConfigError([f"{file}: {fault}" for fault in error.faults]) from None
    layers.put_environment(environ)
    for override in overrides:
        layers.put_override(override)
    folder = path.absolute().parent
    settings, faults = read_settings(model, layers.tree, environ=environ, folder=folder)
    stanzas = {**dict(settings), "roles": dict(settings.roles)}
    config = Config(**stanzas, sources={key: layers.source(key).kind for key, _ in leaves(layers.tree)})
    faults += contradictions(config, faults)
    # All that is wrong with the file stands together, then what is wrong with the environment, then --set.
    faults.sort(key=lambda fault: layers.source(*fault.keys))
    lines = [_line(layers.source(*keys).name, name, message) for keys, name, message in faults]
    if lines or layers.faults:
        raise ConfigError([*lines, *layers.faults])
    return config


def _line(source: str, name: str, message: str) -> str:
    named = in_one_line(name) or '""'
    return f"{source}: {named}: {in_one_line(message, most=FAULT_CHARACTERS_MAX)}"


# The file


def _tree_of(path: Path) -> dict[str, Any]:
    """Raises YamlFaults, also if the file cannot be read."""
    tree = parse(_text_of(path))
    if not isinstance(tree, dict | None):
        raise YamlFaults("the file must be keys with values, such as topics: {…}")
    return tree or {}


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise YamlFaults("there is no such file; name another with --config") from None
    except IsADirectoryError:
        raise YamlFaults("is a folder; name the file in it") from None
    except OSError as error:
        raise YamlFaults(f"cannot be read ({error.strerror})") from None
    if len(content) > FILE_BYTES_MAX:
        raise YamlFaults(f"is larger than {FILE_BYTES_MAX} bytes; is it the right file?")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlFaults(f"line {line}: is not UTF-8; save it as UTF-8") from None


# The environment and --set on top of it


class Source(NamedTuple):
    """Where a setting comes from. One of a higher rank wins. `name`: the file, the variable or --set."""

    rank: int
    kind: str
    name: str


DEFAULTS = Source(0, DEFAULT, DEFAULT)


class _Layers:
    """The tree of the file with the overrides put into it, and the source of each setting."""

    def __init__(self, tree: dict[str, Any], file: Source, *, defaults: Stanza) -> None:
        self.tree = tree
        self.faults: list[str] = []
        self._defaults = defaults
        self._sources: dict[Key, Source] = {(): file}  # of a key, and of the keys below it

    def source(self, *keys: Key) -> Source:
        """The strongest source of these settings; that of one that is not in the tree is its default."""
        return max(map(self._source, keys))

    def put_environment(self, environ: Mapping[str, str]) -> None:
        """Put the variables in that are not empty. One for a role that does not exist is ignored."""
        for variable, key in VARIABLES.items():
            if environ.get(variable) and value_at(self._defaults, key, ABSENT) is not ABSENT:
                self._put(key, EnvironmentText(environ[variable]), Source(2, "environment", variable))

    def put_override(self, override: str) -> None:
        """`roles.producer.port=9000`: a dotted key and a value in YAML; no value is the empty text."""
        dotted, equals, text = override.partition("=")
        key = tuple(dotted.strip().split("."))
        if not equals or not all(key):
            # Only what can be a key is shown: a secret may follow it.
            begin = in_one_line(re.split(r"[^\w.-]", override, maxsplit=1)[0])
            self.faults.append(f'--set: "{begin}": write KEY=VALUE, such as roles.producer.port=9000')
            return
        try:
            value = parse(text) if text else ""
        except YamlFaults as error:
            self.faults += [f"--set: {in_one_line(dotted)}: {fault}" for fault in error.faults]
        else:
            self._put(key, value, Source(3, "--set", "--set"))

    def _put(self, key: Key, value: object, source: Source) -> None:
        stanza = self.tree
        for depth, part in enumerate(key[:-1], start=1):
            above = key[:depth]
            if stanza.get(part) is None:
                # A default map, such as the stock, is copied: one more item adds to it.
                default = value_at(self._defaults, above)
                stanza[part] = dict(default) if isinstance(default, dict) else {}
                self._sources |= {above: source, **{(*above, item): DEFAULTS for item in stanza[part]}}
            stanza = stanza[part]
            if not isinstance(stanza, dict):
                shown, whole = in_one_line(".".join(above)), in_one_line(".".join(key))
                self.faults.append(f"{source.name}: {whole}: {shown} has no keys under it")
                return
        stanza[key[-1]] = value
        kept = {other: its for other, its in self._sources.items() if other[: len(key)] != key}
        self._sources = {**kept, key: source}

    def _source(self, key: Key) -> Source:
        if value_at(self.tree, key, ABSENT) is ABSENT:
            return DEFAULTS
        return next(self._sources[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self._sources)
