"""Load a config.yaml with a given text, or get the faults in it."""

from pathlib import Path

import pytest

from campus.config.config_file import ConfigError, load
from tests.config.kitchen import ROLES


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Loads a config.yaml with this text, from the folder that it is in."""
    monkeypatch.chdir(tmp_path)

    def read_text(text="", *overrides, roles=ROLES, **environ):
        Path("config.yaml").write_text(text, "utf-8")
        return load(Path("config.yaml"), roles=roles, overrides=overrides, environ=environ)

    return read_text


@pytest.fixture
def faults(read):
    def faults_of(text="", *overrides, **environ):
        with pytest.raises(ConfigError) as refused:
            read(text, *overrides, **environ)
        return list(refused.value.faults)

    return faults_of
