"""A fold written down: its state, and the last record of the journal that is in it.

A snapshot is of acknowledged, contiguous entries only, so it is true whoever wrote it and whenever it
lands. It carries its version and a checksum: what cannot be read is no snapshot, and the journal is.
"""

import zlib
from typing import Protocol

import msgspec
from msgspec import Struct

from campus.domain.journal import JournalRule

SNAPSHOT_VERSION = 2
SNAPSHOT_BYTES_MAX = 8 * 1024 * 1024  # `max.message.bytes` of the snapshot topics
CHECKSUM_BYTES = 4
MAGIC = b"campus-snapshot\n"


class Foldable(Protocol):
    def state(self) -> bytes: ...


class Snapshot(Struct, frozen=True):
    """`owner`, `seq` and `offset`: of the last record of the journal that counted."""

    version: int
    owner: str | None
    seq: int
    offset: int
    state: bytes


class SnapshotUnreadable(Exception):
    pass


def packed(rule: JournalRule, fold: Foldable) -> bytes:
    body = msgspec.msgpack.encode(Snapshot(SNAPSHOT_VERSION, rule.owner, rule.seq, rule.offset, fold.state()))
    return MAGIC + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body


def unpacked(data: bytes | None) -> Snapshot:
    """Raises SnapshotUnreadable, saying why."""
    start = len(MAGIC) + CHECKSUM_BYTES
    if not data or data[: len(MAGIC)] != MAGIC:
        raise SnapshotUnreadable("it is no snapshot")
    if zlib.crc32(data[start:]) != int.from_bytes(data[len(MAGIC) : start], "big"):
        raise SnapshotUnreadable("its checksum is wrong")
    try:
        snapshot = msgspec.msgpack.decode(data[start:], type=Snapshot)
    except msgspec.MsgspecError as fault:
        raise SnapshotUnreadable(f"it is of another make: {fault}") from fault
    if snapshot.version != SNAPSHOT_VERSION:
        raise SnapshotUnreadable(f"its version is {snapshot.version}, this program's {SNAPSHOT_VERSION}")
    return snapshot
