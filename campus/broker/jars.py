"""The jars of Apache Kafka: the pinned list (jars.txt), the class path of them, and their download.

The SHA-256 of every jar is checked at every start, before the jar goes onto the class path. Each download has
its own folder, and moves into the user's cache only after this check. What an interrupted download leaves
behind is never used, and the next one deletes it.
"""

import hashlib
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Event

import platformdirs
from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from campus.addresses import wait_until
from campus.broker.disk import DISK_FULL_ERRNOS, disk_errors, try_acquire
from campus.broker.errors import NoBroker
from campus.config.settings import BrokerConfig

SETTING = "broker.cache_dir"
CONCURRENT_DOWNLOADS = 8
TIMEOUT_S = 10  # to connect, and between two chunks of a file
PAUSES_S = (0.5, 2.0)  # between the attempts for one jar
CHECK_EVERY_S = 0.2


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


LISTED = tuple(
    Jar(*re.split(" sha256:|:", line))
    for line in (files("campus.broker") / "jars.txt").read_text("utf-8").splitlines()
    if not line.startswith("#")
)
TOOLS = next(jar for jar in LISTED if jar.artifact == "kafka-tools")  # only for tests
KAFKA = tuple(jar for jar in LISTED if jar is not TOOLS)
KAFKA_VERSION = next(jar.version for jar in KAFKA if jar.artifact == "kafka-server")


class JarMissing(NoBroker):
    def __init__(self, folder: Path, missing: Sequence[Jar]) -> None:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        super().__init__(
            f"broker.jars: {folder} has no {missing[0].file_name}{more}. Put every jar of "
            "campus/broker/jars.txt there, or remove broker.jars to have them downloaded"
        )


class JarMismatch(NoBroker):
    def __init__(self, jar: Jar, source: str, sha256: str) -> None:
        super().__init__(
            f"{jar} from {source} is not the listed jar: its SHA-256 is {sha256}, not {jar.sha256}. "
            "Probably a mirror or a proxy delivered another file; replace it with the right one"
        )


class JarUnreachable(NoBroker):
    def __init__(self, jar: Jar, reason: str) -> None:
        super().__init__(
            f"{jar} cannot be downloaded ({reason}). Probably there is no network, or a proxy is not set. "
            "Try again (finished downloads are kept), or put the jars of campus/broker/jars.txt into a "
            "folder and set broker.jars to it"
        )


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
    elif _invalid(folder, wanted):
        _fill_cache(folder, wanted, log, stop)
    return tuple((folder / jar.file_name).absolute() for jar in wanted)


def _check_configured(folder: Path, wanted: Sequence[Jar]) -> None:
    """The user's own jars are used as they are or refused; nothing is downloaded or written."""
    missing = [jar for jar in wanted if not (folder / jar.file_name).is_file()]
    if missing:
        raise JarMissing(folder, missing)
    for jar in wanted:
        _verify(jar, folder / jar.file_name, source=str(folder))


def _verify(jar: Jar, path: Path, *, source: str) -> None:
    if (sha256 := _sha256_of(path)) != jar.sha256:
        raise JarMismatch(jar, source, sha256)


def _sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _invalid(folder: Path, wanted: Sequence[Jar]) -> list[Jar]:
    """The jars that are missing or differ from the list. Reads all 46 MB, which takes 0.1 s."""
    paths = {jar: folder / jar.file_name for jar in wanted}
    return [jar for jar, path in paths.items() if not path.is_file() or _sha256_of(path) != jar.sha256]


# The download


def _fill_cache(folder: Path, wanted: Sequence[Jar], log: Callable[[str], None], stop: Event) -> None:
    """One process of a user downloads at a time; the others wait, and then find the jars there."""
    lock = FileLock(folder / "fetching.lock", thread_local=False)
    with disk_errors(folder, SETTING):
        folder.mkdir(parents=True, exist_ok=True)
        if not try_acquire(lock):
            log(f"another process is downloading Apache Kafka into {folder}; waiting for it")
            if not wait_until(lambda: try_acquire(lock), stop, timeout_s=None):
                return
    try:
        if missing := _invalid(folder, wanted):
            log(f"downloading Apache Kafka {KAFKA_VERSION} ({len(missing)} jars, once) into {folder}")
            _Download(folder, missing).run(stop)
    finally:
        lock.release()


class _Download:
    """Downloads jars into the cache, several at a time."""

    def __init__(self, folder: Path, jars: Sequence[Jar]) -> None:
        from jgo.maven import MavenContext, PythonResolver  # takes 0.3 s, and is needed once per user

        self._folder, self._jars, self._fetching = folder, jars, folder / "fetching"
        self._cancelled = Event()
        resolver = PythonResolver(progress_callback=self._on_chunk)
        self._context = partial(MavenContext, resolver=resolver, timeout=TIMEOUT_S)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} jars, {task.fields[mebibytes]:.1f} MiB"),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),  # the download was logged
        )
        self._jars_task = self._progress.add_task("downloading Apache Kafka", total=len(jars), mebibytes=0.0)
        self._bytes_task = self._progress.add_task("", total=None, visible=False)

    def run(self, stop: Event) -> None:
        """Return when all jars are in the folder, or `stop` is set. Raises the first error of a jar."""
        shutil.rmtree(self._fetching, ignore_errors=True)
        pool = ThreadPoolExecutor(CONCURRENT_DOWNLOADS, thread_name_prefix="fetch")
        try:
            with self._progress as progress:
                left = {pool.submit(self._fetch, jar) for jar in self._jars}
                while left and not stop.is_set():
                    done, left = wait(left, timeout=CHECK_EVERY_S, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    mebibytes = progress.tasks[self._bytes_task].completed / 2**20
                    completed = len(self._jars) - len(left)
                    progress.update(self._jars_task, completed=completed, mebibytes=mebibytes)
        finally:
            # Does not wait for the threads: a download notices this only when the next chunk arrives.
            self._cancelled.set()
            pool.shutdown(wait=False, cancel_futures=True)
        if not left:
            shutil.rmtree(self._fetching, ignore_errors=True)

    def _fetch(self, jar: Jar) -> None:
        for pause_s in (*PAUSES_S, None):
            try:
                self._try(jar)
            except (JarUnreachable, JarMismatch):  # a mismatch may be a truncated file
                if pause_s is None or self._cancelled.wait(pause_s):
                    raise
            else:
                return

    def _try(self, jar: Jar) -> None:
        own_folder = self._fetching / jar.file_name
        shutil.rmtree(own_folder, ignore_errors=True)
        component = self._context(repo_cache=own_folder).project(jar.group, jar.artifact)
        try:
            path = component.at_version(jar.version).artifact().resolve()
        # jgo raises RuntimeError "not found" for every HTTP error status. The errors of its HTTP library are
        # OSErrors without errno and filename; those of the disk have one of them.
        except RuntimeError as error:
            raise JarUnreachable(jar, "the repository did not deliver it") from error
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS or error.filename is not None:
                with disk_errors(self._folder, SETTING):
                    raise
            raise JarUnreachable(jar, _innermost_message(error)) from error
        _verify(jar, path, source="the repository")
        with disk_errors(self._folder, SETTING):
            path.replace(self._folder / jar.file_name)

    @contextmanager
    def _on_chunk(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def on_chunk(count: int) -> None:
            if self._cancelled.is_set():
                raise CancelledError  # nobody asks for the result any more
            self._progress.advance(self._bytes_task, count)

        yield on_chunk


def _innermost_message(error: BaseException) -> str:
    """The message of the network error, below the layers that each wrapped it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())[:200] or type(error).__name__
