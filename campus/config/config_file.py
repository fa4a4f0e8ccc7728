"""Loads the configuration: the defaults, then the file, then the environment, then `--set`; later wins.

The result is a Config in which every setting is known, of its type and within its limits. Otherwise one
ConfigError lists all faults, a line each: the source, the key, the value and what is allowed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from campus.config.layers import Layers
from campus.config.schema import file_model
from campus.config.settings import Config, RoleSettings
from campus.config.strict_yaml import YamlFaults, in_one_line, parse
from campus.config.validation import contradictions, read_settings
from campus.errors import CampusError

FILE_BYTES_MAX = 1024 * 1024
FAULTS_SHOWN_MAX = 50
FAULT_CHARACTERS_MAX = 400


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
    tree, name = ({}, "") if path is None else (_tree_of(path), _named(path))
    layers = Layers(tree, model(), file=name)
    layers.put_environment(environ)
    for override in overrides:
        layers.put_override(override)
    folder = Path.cwd() if path is None else path.absolute().parent
    settings, faults = read_settings(model, layers.tree, environ=environ, folder=folder)
    stanzas = {**dict(settings), "roles": dict(settings.roles)}
    config = Config(**stanzas, folder=folder, sources=layers.sources())
    faults += contradictions(config, faults)
    faults.sort(key=lambda fault: layers.rank(fault.keys))  # all that is wrong with the file stands together
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
