"""Compares one entry with its record: the entry has a possible type, and repeats what the record says.

Not here: whether the entry is right, given what was decided before (partition.py).
"""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from campus.audit.findings import ViolationKind
from campus.domain import events
from campus.domain.codec import ConsumerRecord, Undecodable
from campus.domain.partitions import item_partition

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Getter: TypeAlias = Callable[[Any], Any]
Difference: TypeAlias = tuple[ViolationKind, str]

ORDER = attrgetter("order_id", "user_id", "item", "quantity", "placed_at")
STOCK = attrgetter("event_id", "item", "quantity", "reason")
CANCEL = attrgetter("order_id", "item")
REASON = attrgetter("reason")
ORDER_NAME = attrgetter("__class__.__name__", "order_id", "item")
STOCK_NAME = attrgetter("__class__.__name__", "event_id", "item")
REPEATED_NAME = attrgetter("repeated_type", "repeated_id", "item")
REROUTED_NAME = attrgetter("rerouted_type", "rerouted_id", "item")
# The possible types of an event's entry, and which fields of the event equal which fields of the entry.
SAME_FIELDS: dict[tuple[type, type], tuple[Getter, Getter]] = {
    (events.OrderPlaced, events.InventoryReserved): (ORDER, ORDER),
    (events.OrderPlaced, events.InventoryFailed): (ORDER, ORDER),
    (events.OrderPlaced, events.DuplicateIgnored): (ORDER_NAME, REPEATED_NAME),
    (events.OrderPlaced, events.OrderRerouted): (ORDER_NAME, REROUTED_NAME),
    (events.OrderCancelled, events.ReservationReleased): (CANCEL, CANCEL),
    (events.OrderCancelled, events.CancelRejected): (CANCEL, CANCEL),
    (events.OrderCancelled, events.OrderRerouted): (ORDER_NAME, REROUTED_NAME),
    (events.StockAdded, events.StockChanged): (STOCK, STOCK),
    (events.StockAdded, events.DuplicateIgnored): (STOCK_NAME, REPEATED_NAME),
    (events.StockAdded, events.OrderRerouted): (STOCK_NAME, REROUTED_NAME),
    (Undecodable, events.OrderDeadLettered): (REASON, REASON),
}


class SourceRecord(NamedTuple):
    """A record of order-events, decoded. `origin_ms`: when it was first appended, if it was rerouted."""

    record: ConsumerRecord
    event: events.Input | Undecodable
    origin_ms: int | None


def differences(
    entry: events.Entry, source: SourceRecord, partition: int, partitions: int
) -> list[Difference]:
    event = source.event
    found = _difference(entry.decided_at, _iso(source.record.timestamp))
    if not isinstance(event, Undecodable):
        home = item_partition(event.item, partitions)
        if (home != partition) != isinstance(entry, events.OrderRerouted):
            what = f"is {_name(entry)}, but {event.item!r} belongs to partition {home}"
            return [*found, (ViolationKind.WRONG_TYPE, what)]
        if isinstance(entry, events.OrderRerouted):
            found += _difference(entry.to_partition, home)
    if (type(event), type(entry)) not in SAME_FIELDS:
        return [*found, (ViolationKind.WRONG_TYPE, f"is {_name(entry)}, its record {_name(event)}")]
    of_event, of_entry = SAME_FIELDS[type(event), type(entry)]
    return found + _difference(of_entry(entry), of_event(event))


def _difference(found: object, wanted: object) -> list[Difference]:
    if found == wanted:
        return []
    return [(ViolationKind.DIFFERS_FROM_RECORD, f"says {found!r}, its record {wanted!r}")]


def header(record: ConsumerRecord, name: str) -> bytes | None:
    """The first header of that name. Kafka allows several, and headers without a value."""
    return next((value for its_name, value in record.headers if its_name == name), None)


@lru_cache(maxsize=16)  # all records of a batch have the same append time
def _iso(timestamp_ms: int) -> str:
    text = (EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _name(event: events.Entry | events.Input | Undecodable) -> str:
    return "no event" if isinstance(event, Undecodable) else type(event).__name__
