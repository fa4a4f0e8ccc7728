"""The broker's data folder: whether its data is ours and intact, and which process may run a Kafka on it.

One process at a time holds the `DataFolderLock`, for as long as it runs a broker there. A Kafka whose process
was killed goes on for a moment without a holder; Kafka's own lock file shows that.
"""

import os
import sys
from pathlib import Path

import msgspec
from filelock import FileLock

from campus.addresses import Address
from campus.broker.disk import disk_errors, try_acquire
from campus.broker.errors import NoBroker
from campus.broker.jars import KAFKA_VERSION
from campus.broker.server_settings import LOG_DIR, NODE_ID

if sys.platform != "win32":
    import fcntl

SETTING = "broker.data_dir"


class DataDamaged(NoBroker):
    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"the Kafka data in {folder} is damaged ({reason}). Restore a backup of it, or move {folder} "
            "away to start with an empty log"
        )


class ForeignData(NoBroker):
    def __init__(self, folder: Path, fact: str) -> None:
        super().__init__(
            f"the Kafka data in {folder} {fact}, so it is not touched. Choose another folder with {SETTING}"
        )


class DataInUse(NoBroker):
    def __init__(self, folder: Path, user: object) -> None:
        super().__init__(
            f"{folder} is in use by {user}. Use that Kafka (kafka.bootstrap_servers, broker.mode: auto), "
            f"stop it, or choose another folder with {SETTING}"
        )


class Stamp(msgspec.Struct, frozen=True):
    """The file by which this program knows its own data: the Kafka that formatted it, and its cluster."""

    kafka: str
    cluster_id: str


class DataFolder:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.log_dir = self.root / LOG_DIR
        self.stamp = self.log_dir / "campuskafka.json"

    def is_formatted(self) -> bool:
        """Whether there is data. Raises ForeignData if it is not ours, DataDamaged if it is not intact."""
        if not self.log_dir.exists():
            return False
        stamp = self._read_stamp()
        properties = self._meta_properties()
        if properties.get("node.id") != str(NODE_ID):
            raise DataDamaged(self.log_dir, "meta.properties does not name the node")
        if properties.get("cluster.id") != stamp.cluster_id:
            raise ForeignData(self.log_dir, f"belongs to another cluster, {properties.get('cluster.id')}")
        if _as_numbers(stamp.kafka) > _as_numbers(KAFKA_VERSION):
            raise ForeignData(self.log_dir, f"is of Kafka {stamp.kafka}, newer than this {KAFKA_VERSION}")
        return True

    def write_stamp(self, log_dir: Path, cluster_id: str) -> None:
        stamp = Stamp(kafka=KAFKA_VERSION, cluster_id=cluster_id)
        (log_dir / self.stamp.name).write_bytes(msgspec.json.encode(stamp))

    def was_killed(self) -> bool:
        """Whether the last Kafka here was killed: Kafka writes this file when it stops in order."""
        return self.log_dir.exists() and not (self.log_dir / ".kafka_cleanshutdown").exists()

    def is_in_use(self) -> bool:
        """Whether any Kafka runs on it. Always False on Windows; there Kafka itself fails to start."""
        if sys.platform == "win32":
            return False
        try:
            file = (self.log_dir / ".lock").open("r+b")
        except OSError:
            return False
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def _read_stamp(self) -> Stamp:
        try:
            return msgspec.json.decode(self.stamp.read_bytes(), type=Stamp)
        except FileNotFoundError as error:
            raise ForeignData(self.log_dir, "was not made by this program") from error
        except (OSError, ValueError) as error:
            raise DataDamaged(self.log_dir, f"{self.stamp.name} cannot be read") from error

    def _meta_properties(self) -> dict[str, str]:
        try:
            text = (self.log_dir / "meta.properties").read_text("latin-1")
        except OSError as error:
            raise DataDamaged(self.log_dir, f"meta.properties: {error.strerror}") from error
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
        return {key.strip(): value.strip() for key, value in pairs}


class LockHolder(msgspec.Struct, frozen=True):
    process: int
    address: str

    def __str__(self) -> str:
        return f"the broker of process {self.process}, at {self.address}"


class DataFolderLock:
    """The right to run a Kafka on a data folder. The operating system releases it if the process dies."""

    def __init__(self, root: Path) -> None:
        self._root = root.absolute()
        self._lock = FileLock(self._root / "owner.lock", thread_local=False)
        self._holder_file = self._root / "owner.json"

    def acquire(self, address: Address) -> bool:
        """Whether it is ours now, or was already. `address`: of the Kafka that we will run.

        Creates the folder. Raises DiskFull or NotWritable.
        """
        if self._lock.is_locked:
            return True
        with disk_errors(self._root, SETTING):
            self._root.mkdir(parents=True, exist_ok=True)
            if not try_acquire(self._lock):
                return False
            try:
                holder = LockHolder(os.getpid(), str(address))
                self._holder_file.write_bytes(msgspec.json.encode(holder))
            except OSError:
                self._lock.release()
                raise
        return True

    def holder(self) -> LockHolder | None:
        """The process whose Kafka may be used. None if there is none, or if its Kafka is about to stop."""
        try:
            return msgspec.json.decode(self._holder_file.read_bytes(), type=LockHolder)
        except (OSError, ValueError):
            return None

    def announce_stop(self) -> None:
        """Our Kafka is about to stop: from now on other processes wait for the lock instead of using it."""
        if self._lock.is_locked:
            self._holder_file.unlink(missing_ok=True)

    def release(self) -> None:
        self.announce_stop()
        self._lock.release()


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
