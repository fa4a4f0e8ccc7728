"""Folders that must take what we write: whatever the disk says against it is one clear line.

Not here: what is written, and by whom.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from campus.broker.errors import NoBroker

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

# Kafka maps an index file of 10 MiB for each log that it opens. Those are sparse: on a full disk it
# is the first touch of a page that fails, and that kills the JVM instead of raising anything.
FREE_BYTES_MIN = 64 * 1024 * 1024


class DiskFull(NoBroker):
    def __init__(self, folder: Path, setting: str) -> None:
        self.folder, self.setting = folder, setting
        super().__init__(
            f"the disk of {folder} is full ({_free_mib(folder)} MiB free, Kafka wants "
            f"{FREE_BYTES_MIN >> 20}). Make room there, or choose another folder with {setting}"
        )


class NotWritable(NoBroker):
    def __init__(self, folder: Path, setting: str, why: str) -> None:
        self.folder, self.setting = folder, setting
        super().__init__(
            f"the folder {folder} cannot be written ({why}). "
            f"Give this user the right to, or choose another folder with {setting}"
        )


@contextmanager
def writing(folder: Path, setting: str) -> Iterator[None]:
    """What the system refuses inside the block is told as a fault of `folder`, which `setting` names."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(folder, setting) from error
        raise NotWritable(folder, setting, error.strerror or str(error)) from error


def make_folder(folder: Path, setting: str) -> None:
    with writing(folder, setting):
        folder.mkdir(parents=True, exist_ok=True)


def is_full(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < FREE_BYTES_MIN


def _free_mib(folder: Path) -> int:
    """Of the disk that the folder is on, or would be."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free >> 20
