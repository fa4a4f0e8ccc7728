"""The bytes of a snapshot: the state of a fold, and the last journal record that is in it.

A snapshot contains acknowledged, contiguous entries only, so it is valid whoever wrote it and whenever it
arrives. It has a version and a checksum: an unreadable snapshot is ignored, and the journal is read instead.
"""

import zlib

import msgspec
from msgspec import Struct

from campus.domain.journal import JournalRule

SNAPSHOT_VERSION = 2
SNAPSHOT_BYTES_MAX = 8 * 1024 * 1024  # `max.message.bytes` of the snapshot topics
CHECKSUM_BYTES = 4
MAGIC = b"campus-snapshot\n"


class Snapshot(Struct, frozen=True):
    """`owner`, `seq` and `offset` are those of the last journal record that counted."""

    version: int
    owner: str | None
    seq: int
    offset: int
    state: bytes


class SnapshotUnreadable(Exception):
    """The message says why."""


def packed(rule: JournalRule, state: bytes) -> bytes:
    """`state`: of the fold of the entries that the rule has counted."""
    body = msgspec.msgpack.encode(Snapshot(SNAPSHOT_VERSION, rule.owner, rule.seq, rule.offset, state))
    return MAGIC + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big") + body


def unpacked(data: bytes | None) -> Snapshot:
    """Raises SnapshotUnreadable if the bytes are no snapshot, damaged, or of another version."""
    start = len(MAGIC) + CHECKSUM_BYTES
    if not data or data[: len(MAGIC)] != MAGIC:
        raise SnapshotUnreadable("it is no snapshot")
    if zlib.crc32(data[start:]) != int.from_bytes(data[len(MAGIC) : start], "big"):
        raise SnapshotUnreadable("its checksum is wrong")
    try:
        snapshot = msgspec.msgpack.decode(data[start:], type=Snapshot)
    except msgspec.MsgspecError as fault:
        raise SnapshotUnreadable(f"its fields are not those of a snapshot: {fault}") from fault
    if snapshot.version != SNAPSHOT_VERSION:
        raise SnapshotUnreadable(f"its version is {snapshot.version}, this program's {SNAPSHOT_VERSION}")
    return snapshot
