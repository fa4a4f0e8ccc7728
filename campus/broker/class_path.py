"""The class path of the embedded Kafka: its jars, from the configured folder or from the user's cache.

The SHA-256 of every jar is checked at every start, before the jar goes onto the class path.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import platformdirs
from filelock import FileLock

from campus.addresses import wait_until
from campus.broker.disk import disk_errors, make_folder, try_acquire
from campus.broker.jars import KAFKA, TOOLS, Jar, JarMismatch, JarMissing, invalid_jars, sha256_of
from campus.config.settings import BrokerConfig


def class_path(
    config: BrokerConfig, *, log: Callable[[str], None], stop: Event, with_tools: bool = False
) -> tuple[Path, ...]:
    """The jars of Kafka, downloaded if necessary; incomplete if `stop` is set meanwhile.

    `with_tools` adds Kafka's command-line tools. Raises JarMissing, JarMismatch, JarUnreachable, DiskFull or
    NotWritable.
    """
    wanted = (*KAFKA, TOOLS) if with_tools else KAFKA
    folder = config.jars or (config.cache_dir or platformdirs.user_cache_path("campuskafka")) / "jars"
    if config.jars is not None:
        _check_configured(folder, wanted)
    elif invalid_jars(folder, wanted):
        _download(folder, wanted, log, stop)
    return tuple((folder / jar.file_name).absolute() for jar in wanted)


def _check_configured(folder: Path, wanted: Sequence[Jar]) -> None:
    """The user's own jars are used as they are or refused; nothing is downloaded or written."""
    missing = [jar for jar in wanted if not (folder / jar.file_name).is_file()]
    if missing:
        raise JarMissing(folder, missing)
    for jar in invalid_jars(folder, wanted):
        raise JarMismatch(jar, str(folder), sha256_of(folder / jar.file_name))


def _download(folder: Path, wanted: Sequence[Jar], log: Callable[[str], None], stop: Event) -> None:
    """One process of a user downloads at a time; the others wait, and then find the jars there."""
    make_folder(folder, "broker.cache_dir")
    lock = FileLock(folder / "fetching.lock", thread_local=False)
    with disk_errors(folder, "broker.cache_dir"):
        if not try_acquire(lock):
            log(f"another process is downloading Apache Kafka into {folder}; waiting for it")
            if not wait_until(lambda: try_acquire(lock), stop, timeout_s=None):
                return
    try:
        if missing := invalid_jars(folder, wanted):
            from campus.broker.fetch import fetch  # its imports take 0.4 s, and are needed once per user

            fetch(missing, folder, log=log, stop=stop)
    finally:
        lock.release()
