"""Header names that are no UTF-8: read with "?" in their place, as other clients do, and not refused.

kafka-python raises in `poll` on such a record, at every poll, so that a foreign producer could stop a
partition for good with one record. Kafka itself allows any bytes there. Importing this module mends it.
"""

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

_read_strictly = DefaultRecordBatch._read_msg


def _read_leniently(batch: Any) -> Any:
    """Read the next record; where a header's name cannot be decoded, blot all such out and read again."""
    start = batch._pos
    try:
        return _read_strictly(batch)
    except UnicodeDecodeError:
        _blot_out_names(batch._buffer, start)
        return _read_strictly(batch)


def _blot_out_names(buffer: bytearray, pos: int) -> None:
    """Of the record there; its layout is told in https://kafka.apache.org/documentation/#recordformat."""
    for _ in range(4):  # length, attributes, time, offset
        _, pos = decode_varint(buffer, pos)
    pos = _behind_bytes(buffer, _behind_bytes(buffer, pos))  # key and value
    count, pos = decode_varint(buffer, pos)
    for _ in range(count):
        length, begin = decode_varint(buffer, pos)
        pos = begin + length
        try:
            buffer[begin:pos].decode()
        except UnicodeDecodeError:
            buffer[begin:pos] = b"?" * length
        pos = _behind_bytes(buffer, pos)


def _behind_bytes(buffer: bytearray, pos: int) -> int:
    length, begin = decode_varint(buffer, pos)
    return int(begin + max(0, length))  # -1 is null


DefaultRecordBatch._read_msg = _read_leniently
