"""Downloads jars into the user's cache, several at a time. A jar in the cache is complete and verified.

Each download has its own folder and moves into the cache only after its SHA-256 was verified. What an
interrupted download leaves behind is never used, and the next one deletes it.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event

from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from campus.broker.disk import DISK_FULL_ERRNOS, disk_errors
from campus.broker.errors import NoBroker
from campus.broker.jars import KAFKA_VERSION, Jar, JarMismatch, sha256_of

CONCURRENT_DOWNLOADS = 8
TIMEOUT_S = 10  # to connect, and between two chunks of a file
PAUSES_S = (0.5, 2.0)  # between the attempts for one jar
CHECK_EVERY_S = 0.2


class JarUnreachable(NoBroker):
    def __init__(self, jar: Jar, reason: str) -> None:
        self.jar = jar
        super().__init__(
            f"{jar} cannot be downloaded ({reason}). Probably there is no network, or a proxy is not set. "
            "Try again (finished downloads are kept), or put the jars of campus/broker/jars.txt into a "
            "folder and set broker.jars to it"
        )


class _Cancelled(Exception):
    """Ends a download that is no longer wanted."""


def fetch(jars: Sequence[Jar], folder: Path, *, log: Callable[[str], None], stop: Event) -> None:
    """Return when all jars are in `folder`, or when `stop` is set.

    Raises JarUnreachable, JarMismatch, DiskFull or NotWritable for the first jar that fails.
    """
    log(f"downloading Apache Kafka {KAFKA_VERSION} ({len(jars)} jars, once) into {folder}")
    fetching = folder / "fetching"
    shutil.rmtree(fetching, ignore_errors=True)
    cancelled = Event()
    pool = ThreadPoolExecutor(CONCURRENT_DOWNLOADS, thread_name_prefix="fetch")
    try:
        with _progress() as progress:
            jars_task = progress.add_task("downloading Apache Kafka", total=len(jars), mebibytes=0.0)
            bytes_task = progress.add_task("", total=None, visible=False)
            download = _Download(fetching, cancelled, on_bytes=partial(progress.advance, bytes_task))
            left = {pool.submit(download.into, folder, jar) for jar in jars}
            while left and not stop.is_set():
                done, left = wait(left, timeout=CHECK_EVERY_S, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                mebibytes = progress.tasks[bytes_task].completed / 2**20
                progress.update(jars_task, completed=len(jars) - len(left), mebibytes=mebibytes)
    finally:
        # Does not wait for the threads: a download notices `cancelled` only when the next chunk arrives.
        cancelled.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if not left:
        shutil.rmtree(fetching, ignore_errors=True)


class _Download:
    """Downloads one jar per call; used by several threads at once. `on_bytes(count)` reports progress."""

    def __init__(self, fetching: Path, cancelled: Event, on_bytes: Callable[[int], None]) -> None:
        self._fetching, self._cancelled, self._on_bytes = fetching, cancelled, on_bytes

    def into(self, folder: Path, jar: Jar) -> None:
        for pause_s in (*PAUSES_S, None):
            try:
                self._try(folder, jar)
            except _Cancelled:
                return
            except (JarUnreachable, JarMismatch):  # a mismatch may be a truncated file
                if pause_s is None or self._cancelled.wait(pause_s):
                    raise
            else:
                return

    def _try(self, folder: Path, jar: Jar) -> None:
        own_folder = self._fetching / jar.file_name
        shutil.rmtree(own_folder, ignore_errors=True)
        path = self._resolve(jar, own_folder)
        sha256 = sha256_of(path)
        if sha256 != jar.sha256:
            raise JarMismatch(jar, "the repository", sha256)
        with disk_errors(folder, "broker.cache_dir"):
            path.replace(folder / jar.file_name)

    def _resolve(self, jar: Jar, own_folder: Path) -> Path:
        resolver = PythonResolver(progress_callback=self._on_chunk)
        context = MavenContext(resolver=resolver, repo_cache=own_folder, timeout=TIMEOUT_S)
        try:
            path: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        # jgo raises RuntimeError "not found" for every HTTP error status. The errors of its HTTP library are
        # OSErrors without errno and filename; those of the disk have one of them.
        except RuntimeError as error:
            raise JarUnreachable(jar, "the repository did not deliver it") from error
        except OSError as error:
            if error.errno in DISK_FULL_ERRNOS or error.filename is not None:
                with disk_errors(self._fetching.parent, "broker.cache_dir"):
                    raise
            raise JarUnreachable(jar, _innermost_message(error)) from error
        return path

    @contextmanager
    def _on_chunk(self, _name: str, _size: int) -> Iterator[Callable[[int], None]]:
        def on_chunk(count: int) -> None:
            if self._cancelled.is_set():
                raise _Cancelled
            self._on_bytes(count)

        yield on_chunk


def _innermost_message(error: BaseException) -> str:
    """The message of the network error, below the layers that each wrapped it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return " ".join(str(error).split())[:200] or type(error).__name__


def _progress() -> Progress:
    """A progress bar on a terminal; elsewhere nothing, since the download was logged."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} jars, {task.fields[mebibytes]:.1f} MiB"),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
