"""Header names that are no UTF-8: read with "?" in their place, as other clients do, and not refused.

kafka-python raises in `poll` on such a record, at every poll, so that a foreign producer could stop a
partition for good with one record. Kafka itself allows any bytes there. Importing this module mends it.
"""

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

_read_strictly = DefaultRecordBatch._read_msg


def _read_leniently(batch: Any) -> Any:
    """Read the next record; where a header's name cannot be decoded, blot it out and read again."""
    start = batch._pos
    while True:
        try:
            return _read_strictly(batch)
        except UnicodeDecodeError as fault:
            batch._buffer = _blotted(batch._buffer, start, bytes(fault.object))


def _blotted(buffer: Any, start: int, name: bytes) -> bytes:
    """The names stand last in a record, so the last place where those bytes stand is no part of its value."""
    length, begin = decode_varint(buffer, start)
    blotted = bytearray(buffer)
    at = blotted.rindex(name, begin, begin + length)
    blotted[at : at + len(name)] = b"?" * len(name)
    return bytes(blotted)


DefaultRecordBatch._read_msg = _read_leniently
