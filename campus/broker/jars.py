"""Which jars are Apache Kafka, where they lie, and that each is the very one that was listed.

jars.txt names every jar with its SHA-256, and nothing goes onto a class path that was not compared
with it in this very start. Not here: how a jar is fetched (fetch.py).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from threading import Event

import platformdirs
from filelock import FileLock, Timeout

from campus.broker.disk import make_folder, writing
from campus.broker.errors import NoBroker
from campus.runtime.addresses import wait_until
from campus.runtime.config import BrokerConfig

TOOLS_ARTIFACT = "kafka-tools"  # for tests only: no part of the broker
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
    """`group:artifact:version sha256:…`, one a line; `#` begins a comment."""
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
            f"broker.jars: {folder} lacks {missing[0].file_name}{more}. Put every jar of "
            "campus/broker/jars.txt there, or leave broker.jars out to have them fetched"
        )


class JarWrong(NoBroker):
    def __init__(self, jar: Jar, where: str, sha256: str) -> None:
        self.jar, self.sha256 = jar, sha256
        super().__init__(
            f"{jar} from {where} is not the jar that is listed: its SHA-256 is {sha256}, not {jar.sha256}. "
            "Probably a mirror or a proxy gave another file; get the right one before you run it"
        )


def class_path(config: BrokerConfig, *, say: Callable[[str], None], stop: Event) -> tuple[Path, ...]:
    """The jars of Kafka, fetched if need be. Not all may be there if `stop` is set meanwhile."""
    return _jars(config, KAFKA, say, stop)


def tools_jar(config: BrokerConfig, *, say: Callable[[str], None], stop: Event) -> Path:
    """Kafka's own command-line tools: they run with the class path of the broker and this jar."""
    return _jars(config, (TOOLS,), say, stop)[0]


def cache_folder(config: BrokerConfig) -> Path:
    return (config.cache_dir or platformdirs.user_cache_path("campuskafka")) / "jars"


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _jars(
    config: BrokerConfig, wanted: Sequence[Jar], say: Callable[[str], None], stop: Event
) -> tuple[Path, ...]:
    folder = config.jars or cache_folder(config)
    if config.jars is not None:
        _check_own(folder, wanted)
    elif _not_right(folder, wanted):
        _fetch_once(folder, wanted, say, stop)
    return tuple((folder / jar.file_name).absolute() for jar in wanted)


def _check_own(folder: Path, wanted: Sequence[Jar]) -> None:
    """A developer's own jars are used as they are or refused: nothing is fetched, nothing is written."""
    missing = [jar for jar in wanted if not (folder / jar.file_name).is_file()]
    if missing:
        raise JarMissing(folder, missing)
    for jar in _not_right(folder, wanted):
        raise JarWrong(jar, str(folder), sha256_of(folder / jar.file_name))


def _fetch_once(folder: Path, wanted: Sequence[Jar], say: Callable[[str], None], stop: Event) -> None:
    """One process of a user fetches at a time; the others find the jars there."""
    make_folder(folder, "broker.cache_dir")
    lock = FileLock(folder / "fetching.lock", thread_local=False)
    with writing(folder, "broker.cache_dir"):
        if not _taken(lock):
            say(f"another process is fetching Apache Kafka into {folder}; waiting for it")
            if not wait_until(lambda: _taken(lock), stop, timeout_s=None):
                return
    try:
        missing = _not_right(folder, wanted)
        if missing:
            from campus.broker.fetch import fetch  # what it imports costs 0.4 s, and is needed once a user

            fetch(missing, folder, say=say, stop=stop)
    finally:
        lock.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _not_right(folder: Path, wanted: Iterable[Jar]) -> list[Jar]:
    """Those that are not there, or are something else. All 46 MB are read, which takes 0.1 s."""

    def is_right(jar: Jar) -> bool:
        path = folder / jar.file_name
        return path.is_file() and sha256_of(path) == jar.sha256

    wanted = list(wanted)
    with ThreadPoolExecutor(4) as pool:
        return [jar for jar, right in zip(wanted, pool.map(is_right, wanted), strict=True) if not right]
