"""The jars of Apache Kafka: the pinned list with the SHA-256 of each, and the check of a file against it.

Not here: where the jars are kept (class_path.py) and how they are downloaded (fetch.py).
"""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from campus.broker.errors import NoBroker

TOOLS_ARTIFACT = "kafka-tools"  # only for tests; the broker does not need it
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Jar:
    group: str
    artifact: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_list(text: str) -> tuple[Jar, ...]:
    """Parse lines of `group:artifact:version sha256:…`; `#` begins a comment."""
    jars = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            coordinates, _, sha256 = line.partition(" sha256:")
            group, artifact, version = coordinates.split(":")
            assert len(sha256) == 64, f"jars.txt: {line!r} has no SHA-256"
            jars.append(Jar(group, artifact, version, sha256))
    return tuple(jars)


LISTED = read_list((files("campus.broker") / "jars.txt").read_text("utf-8"))
KAFKA = tuple(jar for jar in LISTED if jar.artifact != TOOLS_ARTIFACT)
TOOLS = next(jar for jar in LISTED if jar.artifact == TOOLS_ARTIFACT)
KAFKA_VERSION = next(jar.version for jar in KAFKA if jar.artifact == "kafka-server")


class JarMissing(NoBroker):
    def __init__(self, folder: Path, missing: Sequence[Jar]) -> None:
        self.folder, self.missing = folder, tuple(missing)
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        super().__init__(
            f"broker.jars: {folder} has no {missing[0].file_name}{more}. Put every jar of "
            "campus/broker/jars.txt there, or remove broker.jars to have them downloaded"
        )


class JarMismatch(NoBroker):
    def __init__(self, jar: Jar, source: str, sha256: str) -> None:
        self.jar, self.sha256 = jar, sha256
        super().__init__(
            f"{jar} from {source} is not the listed jar: its SHA-256 is {sha256}, not {jar.sha256}. "
            "Probably a mirror or a proxy delivered another file; replace it with the right one"
        )


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def invalid_jars(folder: Path, wanted: Iterable[Jar]) -> list[Jar]:
    """The jars that are missing or differ from the list. Reads all 46 MB, which takes 0.1 s."""

    def is_invalid(jar: Jar) -> bool:
        path = folder / jar.file_name
        return not path.is_file() or sha256_of(path) != jar.sha256

    wanted = list(wanted)
    with ThreadPoolExecutor(4) as pool:
        return [jar for jar, invalid in zip(wanted, pool.map(is_invalid, wanted), strict=True) if invalid]
