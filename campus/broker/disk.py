"""Folders that we write to: errors of the disk become one clear line that names the setting to change."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from campus.broker.errors import NoBroker

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})

# Kafka maps an index file of 10 MiB for each log that it opens. Those files are sparse: on a full disk the
# first write to a page fails, which kills the JVM instead of raising an exception.
FREE_BYTES_MIN = 64 * 1024 * 1024


class DiskFull(NoBroker):
    def __init__(self, folder: Path, setting: str) -> None:
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        super().__init__(
            f"the disk of {folder} is full ({shutil.disk_usage(existing).free >> 20} MiB free, Kafka needs "
            f"{FREE_BYTES_MIN >> 20}). Free some space, or choose another folder with {setting}"
        )


class NotWritable(NoBroker):
    def __init__(self, folder: Path, setting: str, reason: str) -> None:
        super().__init__(
            f"the folder {folder} cannot be written ({reason}). "
            f"Give this user write access, or choose another folder with {setting}"
        )


@contextmanager
def disk_errors(folder: Path, setting: str) -> Iterator[None]:
    """Raises DiskFull or NotWritable for an OSError in the block. `setting`: the config key of `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRNOS:
            raise DiskFull(folder, setting) from error
        raise NotWritable(folder, setting, error.strerror or str(error)) from error


def try_acquire(lock: FileLock) -> bool:
    """Whether we hold the lock now; False, without waiting, if another process holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    return True


def is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < FREE_BYTES_MIN
