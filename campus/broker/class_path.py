"""The class path of the embedded Kafka: its jars, from the configured folder or the user's cache.

Every jar is compared with its SHA-256 at every start, before it goes onto the class path.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import platformdirs
from filelock import FileLock, Timeout

from campus.addresses import wait_until
from campus.broker.disk import make_folder, writing
from campus.broker.jars import KAFKA, TOOLS, Jar, JarMissing, JarWrong, sha256_of, wrong_jars
from campus.config.settings import BrokerConfig


def class_path(config: BrokerConfig, *, log: Callable[[str], None], stop: Event) -> tuple[Path, ...]:
    """The jars of Kafka, fetched if need be. Not all may be there if `stop` is set meanwhile."""
    return _jars(config, KAFKA, log, stop)


def tools_jar(config: BrokerConfig, *, log: Callable[[str], None], stop: Event) -> Path:
    """Kafka's own command-line tools: they run with the class path of the broker and this jar."""
    return _jars(config, (TOOLS,), log, stop)[0]


def cache_folder(config: BrokerConfig) -> Path:
    return (config.cache_dir or platformdirs.user_cache_path("campuskafka")) / "jars"


def _jars(
    config: BrokerConfig, wanted: Sequence[Jar], log: Callable[[str], None], stop: Event
) -> tuple[Path, ...]:
    folder = config.jars or cache_folder(config)
    if config.jars is not None:
        _check_own(folder, wanted)
    elif wrong_jars(folder, wanted):
        _fetch_once(folder, wanted, log, stop)
    return tuple((folder / jar.file_name).absolute() for jar in wanted)


def _check_own(folder: Path, wanted: Sequence[Jar]) -> None:
    """A developer's own jars are used as they are or refused: nothing is fetched, nothing is written."""
    missing = [jar for jar in wanted if not (folder / jar.file_name).is_file()]
    if missing:
        raise JarMissing(folder, missing)
    for jar in wrong_jars(folder, wanted):
        raise JarWrong(jar, str(folder), sha256_of(folder / jar.file_name))


def _fetch_once(folder: Path, wanted: Sequence[Jar], log: Callable[[str], None], stop: Event) -> None:
    """One process of a user fetches at a time; the others find the jars there."""
    make_folder(folder, "broker.cache_dir")
    lock = FileLock(folder / "fetching.lock", thread_local=False)
    with writing(folder, "broker.cache_dir"):
        if not _taken(lock):
            log(f"another process is fetching Apache Kafka into {folder}; waiting for it")
            if not wait_until(lambda: _taken(lock), stop, timeout_s=None):
                return
    try:
        missing = wrong_jars(folder, wanted)
        if missing:
            from campus.broker.fetch import fetch  # what it imports costs 0.4 s, and is needed once a user

            fetch(missing, folder, log=log, stop=stop)
    finally:
        lock.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True
