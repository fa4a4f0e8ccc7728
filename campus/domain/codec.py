"""Bytes to events and back. The same event always gives the same bytes.

These rules hold for every reader of `order-events`: numbers are whole and within their limits, and never
strings; text is UTF-8; the last of two equal keys wins; unknown keys are ignored. Anything else is
`Undecodable`, with one of a few reasons.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from campus.domain.events import DeadLetterReason, Event, Input, JournalEvent

INPUT_BYTES_MAX = 64 * 1024
# The decoder recurses over unknown values, as deep as the interpreter's stack allows at that moment. This
# limit is far below that, so the result is the same on every run.
BRACKETS_MAX = 400
INPUT_TYPES = ("OrderPlaced", "StockAdded", "OrderCancelled")


class ConsumerRecord(Protocol):
    """A record as kafka-python's consumer returns it. `timestamp`: its append time in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class Undecodable(Exception):
    """A record of order-events that is no event. `detail` is for people."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


class _Tagged(Struct):
    event_type: Any = None


_encoder = Encoder()
_inputs: Decoder[Input] = Decoder(Input)
_journal: Decoder[JournalEvent] = Decoder(JournalEvent)
_tags: Decoder[_Tagged] = Decoder(_Tagged)


def encode(event: Event) -> bytes:
    return _encoder.encode(event)


def keyed_record(event: Input) -> tuple[bytes, bytes, tuple[()]]:
    """Key, value and headers of an event in order-events. The key is the item."""
    return event.item.encode(), encode(event), ()


def decode_input(value: bytes | None) -> Input:
    """Decode the value of a record of order-events. Raises Undecodable."""
    if not value:
        raise Undecodable("empty", "the record has no value")
    if len(value) > INPUT_BYTES_MAX:
        raise Undecodable("too_large", f"{len(value)} bytes, at most {INPUT_BYTES_MAX}")
    if value.count(b"{") + value.count(b"[") > BRACKETS_MAX:
        raise Undecodable("wrong_shape", f"more than {BRACKETS_MAX} brackets")
    try:
        return _inputs.decode(value)
    except ValidationError as fault:
        reason: DeadLetterReason = "wrong_shape" if _has_known_type(value) else "unknown_type"
        raise Undecodable(reason, str(fault)) from fault
    except (DecodeError, UnicodeDecodeError) as fault:
        raise Undecodable("not_json", str(fault)) from fault


def _has_known_type(value: bytes) -> bool:
    """Whether an invalid value has a known event_type, or none at all."""
    try:
        event_type = _tags.decode(value).event_type
    except (DecodeError, UnicodeDecodeError):
        return True  # not even an object
    return event_type is None or event_type in INPUT_TYPES


def decode_journal(value: bytes | None) -> JournalEvent | None:
    """Decode the value of a record of inventory-events. None if no owner can have written it."""
    try:
        return _journal.decode(value or b"")
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
