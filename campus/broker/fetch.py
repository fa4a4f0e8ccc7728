"""Fetches jars into the user's cache, several at a time, so that a jar in it is whole and the right one.

A download has its own folder until its SHA-256 was compared, and only then takes its name: what an
interruption leaves behind is never used, and is cleared away by the next fetch.
"""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from campus.broker.disk import FULL, writing
from campus.broker.errors import NoBroker
from campus.broker.jars import KAFKA_VERSION, Jar, JarWrong, sha256_of

AT_A_TIME = 8
TIMEOUT_S = 10  # of a connection, and of a silence in the middle of a file
PAUSES_S = (0.5, 2.0)  # between the tries of one jar
LOOK_EVERY_S = 0.2


class JarUnreachable(NoBroker):
    def __init__(self, jar: Jar, why: str) -> None:
        self.jar = jar
        super().__init__(
            f"{jar} cannot be fetched ({why}). Probably there is no network, or a proxy is not set. Try "
            "again (what has arrived is kept), or put the jars of campus/broker/jars.txt into a folder and "
            "set broker.jars to it"
        )


class _CalledOff(Exception):
    """Inside a download: nobody wants it any more."""


def fetch(jars: Sequence[Jar], folder: Path, *, log: Callable[[str], None], stop: Event) -> None:
    """Returns when all are there, or when `stop` is set; raises for the first that cannot be had."""
    log(f"fetching Apache Kafka {KAFKA_VERSION} ({len(jars)} jars, once) into {folder}")
    fetching = folder / "fetching"
    shutil.rmtree(fetching, ignore_errors=True)
    called_off = Event()
    pool = ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="fetch")
    try:
        with _bar(len(jars)) as bar:
            download = _Download(fetching, called_off, bar.got_bytes)
            left = {pool.submit(download.into, folder, jar) for jar in jars}
            while left and not stop.is_set():
                done, left = wait(left, timeout=LOOK_EVERY_S, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    bar.got_jar()
    finally:
        # Not waited for: a download looks at `called_off` only when something arrives.
        called_off.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if not left:
        shutil.rmtree(fetching, ignore_errors=True)


class _Download:
    """One jar at a time, for several threads at once."""

    def __init__(self, fetching: Path, called_off: Event, got_bytes: Callable[[int], None]) -> None:
        self._fetching, self._called_off, self._got_bytes = fetching, called_off, got_bytes

    def into(self, folder: Path, jar: Jar) -> None:
        for pause_s in (*PAUSES_S, None):
            try:
                self._try(folder, jar)
            except _CalledOff:
                return
            except (JarUnreachable, JarWrong):  # a wrong one may be a file cut short
                if pause_s is None or self._called_off.wait(pause_s):
                    raise
            else:
                return

    def _try(self, folder: Path, jar: Jar) -> None:
        own = self._fetching / jar.file_name
        shutil.rmtree(own, ignore_errors=True)
        path = self._resolve(jar, own)
        sha256 = sha256_of(path)
        if sha256 != jar.sha256:
            raise JarWrong(jar, "the repository", sha256)
        with writing(folder, "broker.cache_dir"):
            path.replace(folder / jar.file_name)

    def _resolve(self, jar: Jar, own: Path) -> Path:
        context = MavenContext(
            resolver=PythonResolver(progress_callback=self._progress), repo_cache=own, timeout=TIMEOUT_S
        )
        try:
            path: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        # jgo says "not found" by RuntimeError, for whatever the server answered; the errors of its
        # HTTP library are OSErrors without a number, those of the disk have one.
        except RuntimeError as error:
            raise JarUnreachable(jar, "the repository does not hand it out") from error
        except OSError as error:
            if error.errno in FULL or error.filename is not None:
                with writing(self._fetching.parent, "broker.cache_dir"):
                    raise
            raise JarUnreachable(jar, _root_of(error)) from error
        return path

    @contextmanager
    def _progress(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def got(count: int) -> None:
            if self._called_off.is_set():
                raise _CalledOff
            self._got_bytes(count)

        yield got


def _root_of(error: BaseException) -> str:
    """What the network said, below the layers that each wrapped it."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Bar:
    def __init__(self, progress: Progress, jars: int) -> None:
        self._progress, self._mebibytes = progress, 0.0
        self._task = progress.add_task("fetching Apache Kafka", total=jars, mebibytes=0.0)
        self._lock = threading.Lock()

    def got_jar(self) -> None:
        self._progress.advance(self._task)

    def got_bytes(self, count: int) -> None:
        with self._lock:
            self._mebibytes += count / 2**20
            self._progress.update(self._task, mebibytes=self._mebibytes)


@contextmanager
def _bar(jars: int) -> Iterator[_Bar]:
    """On a terminal; anywhere else the one line that was said is enough."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} jars, {task.fields[mebibytes]:.1f} MiB"),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    with progress:
        yield _Bar(progress, jars)
