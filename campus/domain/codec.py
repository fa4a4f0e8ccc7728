"""Bytes to events and back: strict in what comes in, and the same bytes for the same event, always.

Decided here, once, for everyone who reads `order-events`: numbers must be whole, in range and in
number form; of a key that stands twice the last counts; keys that are not known are passed over;
text must be UTF-8. What does not fit is `Unfit`, for one of a few reasons.
"""

from typing import Any

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from campus.domain.events import Event, Input, JournalEvent, UnfitReason

INPUT_BYTES_MAX = 64 * 1024
# The decoder recurses over what it passes over, as deep as the interpreter happens to allow at that
# moment. This bound, far below that, makes the answer the same on every run.
BRACKETS_MAX = 400

_encoder = Encoder()
_inputs: Decoder[Input] = Decoder(Input)
_journal: Decoder[JournalEvent] = Decoder(JournalEvent)


INPUT_TYPES = ("OrderPlaced", "StockAdded", "OrderCancelled")


class _Tagged(Struct):
    event_type: Any = None


_tags: Decoder[_Tagged] = Decoder(_Tagged)


class Unfit(Exception):
    """A record that is no event: `reason` is one of a few words, `detail` is for people."""

    def __init__(self, reason: UnfitReason, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


def encode(event: Event) -> bytes:
    return _encoder.encode(event)


def keyed_record(event: Input) -> tuple[bytes, bytes, tuple[()]]:
    """An event of order-events as key, value and headers: its key is its item."""
    return event.item.encode(), encode(event), ()


def decode_input(value: bytes | None) -> Input:
    """A record of order-events as an event. Raises Unfit."""
    if not value:
        raise Unfit("empty", "the record has no value")
    if len(value) > INPUT_BYTES_MAX:
        raise Unfit("too_large", f"{len(value)} bytes, at most {INPUT_BYTES_MAX}")
    if value.count(b"{") + value.count(b"[") > BRACKETS_MAX:
        raise Unfit("wrong_shape", f"more than {BRACKETS_MAX} brackets")
    try:
        return _inputs.decode(value)
    except ValidationError as fault:
        raise Unfit("wrong_shape" if _names_an_input(value) else "unknown_type", str(fault)) from fault
    except (DecodeError, UnicodeDecodeError) as fault:
        raise Unfit("not_json", str(fault)) from fault


def _names_an_input(value: bytes) -> bool:
    """Whether a value of the wrong shape has an event_type that we know, or none at all."""
    try:
        named = _tags.decode(value).event_type
    except (DecodeError, UnicodeDecodeError):
        return True  # no object at all
    return named is None or named in INPUT_TYPES


def decode_journal(value: bytes | None) -> JournalEvent | None:
    """A record of inventory-events as an event; None for what no owner can have written."""
    try:
        return _journal.decode(value or b"")
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return None
