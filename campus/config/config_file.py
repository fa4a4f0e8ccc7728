"""Reading the configuration: defaults < the file < the environment < `--set`, and then no doubt left.

Either every setting is known, of its type and within its limits, or there is one ConfigError with all
that is wrong, a line each: who said it, the key, the value, and what is allowed.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Any

from campus.config.setting_types import Words
from campus.config.settings import (
    BrokerConfig,
    Config,
    KafkaConfig,
    LoggingConfig,
    SupervisorConfig,
    TopicsConfig,
)
from campus.config.strict_yaml import YamlFaults, in_one_line, parse
from campus.config.typed import Key, Reading
from campus.errors import CampusError

FILE_BYTES_MAX = 1024 * 1024
FAULTS_SHOWN_MAX = 50
OVERRIDES = "--set"
ENVIRONMENT: dict[str, Key] = {
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
    roles: Mapping[str, type],
    overrides: Sequence[str] = (),
    environ: Mapping[str, str],
) -> Config:
    """The whole configuration; without a path, the defaults and what overrides them. Raises ConfigError.

    `roles`: the Settings of each role by its name. Relative paths start at the file's folder.
    """
    schema = _schema(roles)
    source = "the defaults" if path is None else _named(path)
    layers = _Layers(_tree_of(path), schema(), source=source)
    for variable, key in ENVIRONMENT.items():
        if environ.get(variable) and _has(schema(), key):
            layers.put(key, Words(environ[variable]), source=variable)
    for override in overrides:
        layers.put_override(override)

    folder = Path.cwd() if path is None else path.absolute().parent
    reading = Reading(environ=environ, folder=folder, source=layers.source_of)
    settings = reading.stanza(schema, layers.tree)
    if faults := [*reading.faults, *layers.faults]:
        raise ConfigError(faults)
    return Config(
        kafka=settings.kafka,
        broker=settings.broker,
        topics=settings.topics,
        roles={name: getattr(settings.roles, name) for name in roles},
        supervisor=settings.supervisor,
        logging=settings.logging,
        folder=folder,
    )


def _schema(roles: Mapping[str, type]) -> Any:
    """The file as a dataclass, with a stanza for each role that there is."""
    role_stanzas = _dataclass("Roles", dict(roles))
    return _dataclass(
        "ConfigFile",
        {
            "kafka": KafkaConfig,
            "broker": BrokerConfig,
            "topics": TopicsConfig,
            "roles": role_stanzas,
            "supervisor": SupervisorConfig,
            "logging": LoggingConfig,
        },
    )


def _dataclass(name: str, stanzas: Mapping[str, type]) -> type:
    return make_dataclass(
        name, [(key, cls, field(default_factory=cls)) for key, cls in stanzas.items()], frozen=True
    )


def _tree_of(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
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
    """The tree of the file with what overrides it put in, and who said what."""

    def __init__(self, tree: dict[str, Any], defaults: Any, *, source: str) -> None:
        self.tree = tree
        self.faults: list[str] = []
        self._defaults = defaults
        self._sources = [source]  # later ones outrank earlier ones
        self._said_by: dict[Key, int] = {(): 0}

    def put_override(self, override: str) -> None:
        """`roles.producer.port=9000`: a dotted key and a value in YAML; none at all is the empty text."""
        dotted, equals, text = override.partition("=")
        key = tuple(dotted.strip().split("."))
        if not equals or not all(key):
            # Only what can be a key is shown: behind it may stand a secret.
            begin = in_one_line(re.split(r"[^\w.-]", override, maxsplit=1)[0])
            self.faults.append(f'{OVERRIDES}: "{begin}": write KEY=VALUE, such as roles.producer.port=9000')
            return
        try:
            value = parse(text) if text else ""
        except YamlFaults as error:
            name = in_one_line(dotted)
            self.faults += [f"{OVERRIDES}: {name}: {fault}" for fault in error.faults]
            return
        self.put(key, value, source=OVERRIDES)

    def put(self, key: Key, value: object, *, source: str) -> None:
        if source not in self._sources:
            self._sources.append(source)
        stanza = self.tree
        for depth, part in enumerate(key[:-1], start=1):
            if stanza.get(part) is None:
                stanza[part] = _default_map(self._defaults, key[:depth])
                self._said(key[:depth], source)
            stanza = stanza[part]
            if not isinstance(stanza, dict):
                above, whole = in_one_line(".".join(key[:depth])), in_one_line(".".join(key))
                self.faults.append(f"{source}: {whole}: {above} has no keys under it")
                return
        stanza[key[-1]] = value
        self._said(key, source)

    def source_of(self, keys: Collection[Key]) -> str:
        return self._sources[max(map(self._rank, keys))]

    def _said(self, key: Key, source: str) -> None:
        self._said_by = {k: v for k, v in self._said_by.items() if k[: len(key)] != key}
        self._said_by[key] = self._sources.index(source)

    def _rank(self, key: Key) -> int:
        return next(self._said_by[key[:n]] for n in range(len(key), -1, -1) if key[:n] in self._said_by)


def _has(defaults: Any, key: Key) -> bool:
    for part in key:
        if not is_dataclass(defaults) or part not in {setting.name for setting in fields(defaults)}:
            return False
        defaults = getattr(defaults, part)
    return True


def _default_map(defaults: Any, key: Key) -> dict[str, Any]:
    """A copy of the default if it is a map, such as the stock: one more item adds to it."""
    if not _has(defaults, key):
        return {}
    for part in key:
        defaults = getattr(defaults, part)
    return dict(defaults) if isinstance(defaults, dict) else {}
