"""The broker's data folder: what is in it, whether it is ours and whole, and who may run a Kafka on it.

Of all processes one at a time holds the `Claim`, for as long as it has a broker there. A Kafka whose
owner was killed goes on for a moment without one, which Kafka's own lock tells. Not here: the process.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from campus.addresses import Address, parse_addresses
from campus.broker.disk import make_folder, writing
from campus.broker.errors import NoBroker
from campus.broker.jars import KAFKA_VERSION
from campus.broker.server_settings import LOG_DIR, NODE_ID

if sys.platform != "win32":
    import fcntl

SETTING = "broker.data_dir"


class DataDamaged(NoBroker):
    def __init__(self, folder: Path, why: str) -> None:
        self.folder = folder
        super().__init__(
            f"the Kafka data in {folder} is damaged ({why}). Put back a copy of it, or move {folder} away "
            "to begin with an empty log"
        )


class DataOfAnother(NoBroker):
    def __init__(self, folder: Path, whose: str) -> None:
        self.folder = folder
        super().__init__(
            f"the Kafka data in {folder} is {whose}, and is left alone. Choose another folder with {SETTING}"
        )


class DataInUse(NoBroker):
    def __init__(self, folder: Path, who: str) -> None:
        self.folder = folder
        super().__init__(
            f"{folder} is in use by {who}. Use that one (kafka.bootstrap_servers, broker.mode: auto), "
            f"stop it, or choose another folder with {SETTING}"
        )


@dataclass(frozen=True, slots=True)
class Owner:
    process: int
    address: Address

    def __str__(self) -> str:
        return f"the broker of process {self.process}, at {self.address}"


class Data:
    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.log_dir = self.root / LOG_DIR
        self.stamp = self.log_dir / "campuskafka.json"

    def make(self) -> None:
        make_folder(self.root, SETTING)

    def is_formatted(self) -> bool:
        """Raises if what is there is not ours to use, or not whole."""
        if not self.log_dir.exists():
            return False
        stamp = self._stamp()
        properties = self._meta_properties()
        if properties.get("node.id") != str(NODE_ID):
            raise DataDamaged(self.log_dir, "meta.properties does not name the node")
        if properties.get("cluster.id") != stamp["cluster_id"]:
            raise DataOfAnother(self.log_dir, f"of another cluster, {properties.get('cluster.id')}")
        if _numbers(stamp["kafka"]) > _numbers(KAFKA_VERSION):
            raise DataOfAnother(self.log_dir, f"of Kafka {stamp['kafka']}, newer than this {KAFKA_VERSION}")
        return True

    def put_stamp(self, log_dir: Path, cluster_id: str) -> None:
        stamp = {"kafka": KAFKA_VERSION, "cluster_id": cluster_id}
        (log_dir / self.stamp.name).write_text(json.dumps(stamp) + "\n", "utf-8")

    def ended_badly(self) -> bool:
        """Whether the last Kafka here was killed: Kafka leaves this file when it stops in order."""
        return self.log_dir.exists() and not (self.log_dir / ".kafka_cleanshutdown").exists()

    def has_a_kafka(self) -> bool:
        """Whether a Kafka runs on it, whoever started it. (Not known on Windows: then Kafka will say it.)"""
        try:
            file = (self.log_dir / ".lock").open("r+b")
        except OSError:
            return False
        with file:
            if sys.platform == "win32":
                return False
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return True
        return False

    def _stamp(self) -> dict[str, str]:
        try:
            stamp = json.loads(self.stamp.read_text("utf-8"))
            return {"kafka": str(stamp["kafka"]), "cluster_id": str(stamp["cluster_id"])}
        except FileNotFoundError as error:
            raise DataOfAnother(self.log_dir, "not of this program") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataDamaged(self.log_dir, f"{self.stamp.name} cannot be read") from error

    def _meta_properties(self) -> dict[str, str]:
        try:
            text = (self.log_dir / "meta.properties").read_text("latin-1")
        except OSError as error:
            raise DataDamaged(self.log_dir, f"meta.properties: {error.strerror}") from error
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and line[0] != "#")
        return {key.strip(): value.strip() for key, value in pairs}


class Claim:
    """The right to run a Kafka on a data folder. It ends with the process, however that ends."""

    def __init__(self, data: Data) -> None:
        self._lock = FileLock(data.root / "owner.lock", thread_local=False)
        self._note = data.root / "owner.json"
        self._root = data.root

    def take(self, address: Address) -> bool:
        """Whether it is ours now, or was already."""
        if self._lock.is_locked:
            return True
        with writing(self._root, SETTING):
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return False
            try:
                note = {"process": os.getpid(), "address": str(address)}
                self._note.write_text(json.dumps(note) + "\n", "utf-8")
            except OSError:
                self._lock.release()
                raise
        return True

    def owner(self) -> Owner | None:
        """Who has it, and a Kafka that will stay: None before that is written down, and once it withdraws."""
        try:
            note = json.loads(self._note.read_text("utf-8"))
            return Owner(int(note["process"]), parse_addresses(note["address"])[0])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def withdraw(self) -> None:
        """The Kafka here is about to end: whoever comes now waits for the claim instead of using it."""
        if self._lock.is_locked:
            self._note.unlink(missing_ok=True)

    def release(self) -> None:
        self.withdraw()
        self._lock.release()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
