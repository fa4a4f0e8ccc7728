"""An entry held against its record: it says what that says, and is an outcome that such a record can have.

Not here: whether it is true, given what was decided before (audit_partition.py).
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, Protocol, TypeAlias

from campus.audit.findings import Kind
from campus.domain.codec import Unfit
from campus.domain.events import (
    CancelRejected,
    DuplicateIgnored,
    Entry,
    Input,
    InventoryFailed,
    InventoryReserved,
    OrderCancelled,
    OrderDeadLettered,
    OrderPlaced,
    OrderRerouted,
    ReservationReleased,
    StockAdded,
    StockChanged,
)
from campus.domain.partitions import item_partition

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Getter: TypeAlias = Callable[[Any], Any]

# Which outcomes an event can have, and what each says of it: the same as the event does.
ORDER = attrgetter("order_id", "user_id", "item", "quantity", "placed_at")
STOCK = attrgetter("event_id", "item", "quantity", "reason")
CANCEL = attrgetter("order_id", "item")
ORDER_NAME = attrgetter("__class__.__name__", "order_id", "item")
STOCK_NAME = attrgetter("__class__.__name__", "event_id", "item")
REPEATED_NAME = attrgetter("repeated_type", "repeated_id", "item")
REROUTED_NAME = attrgetter("rerouted_type", "rerouted_id", "item")
SAID: dict[tuple[type, type], tuple[Getter, Getter]] = {
    (OrderPlaced, InventoryReserved): (ORDER, ORDER),
    (OrderPlaced, InventoryFailed): (ORDER, ORDER),
    (OrderPlaced, DuplicateIgnored): (ORDER_NAME, REPEATED_NAME),
    (OrderPlaced, OrderRerouted): (ORDER_NAME, REROUTED_NAME),
    (OrderCancelled, ReservationReleased): (CANCEL, CANCEL),
    (OrderCancelled, CancelRejected): (CANCEL, CANCEL),
    (OrderCancelled, OrderRerouted): (ORDER_NAME, REROUTED_NAME),
    (StockAdded, StockChanged): (STOCK, STOCK),
    (StockAdded, DuplicateIgnored): (STOCK_NAME, REPEATED_NAME),
    (StockAdded, OrderRerouted): (STOCK_NAME, REROUTED_NAME),
    (Unfit, OrderDeadLettered): (attrgetter("reason"), attrgetter("reason")),
}


class Record(Protocol):
    """A record as a consumer hands it over; `timestamp`: append time in ms."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Source(NamedTuple):
    """A record of order-events and what it is. `origin_ms`: when it was first appended, if rerouted."""

    record: Record
    event: Input | Unfit
    origin_ms: int | None


Difference: TypeAlias = tuple[Kind, str]


def differences(entry: Entry, source: Source, partition: int, partitions: int) -> list[Difference]:
    event = source.event
    found = _difference(entry.decided_at, _iso(source.record.timestamp))
    if not isinstance(event, Unfit):
        home = item_partition(event.item, partitions)
        if (home != partition) != isinstance(entry, OrderRerouted):
            what = f"is {_name(entry)}, but {event.item!r} belongs to partition {home}"
            return [*found, (Kind.WRONG_TYPE, what)]
        if isinstance(entry, OrderRerouted):
            found += _difference(entry.to_partition, home)
    if (type(event), type(entry)) not in SAID:
        return [*found, (Kind.WRONG_TYPE, f"is {_name(entry)}, its record {_name(event)}")]
    of_event, of_entry = SAID[type(event), type(entry)]
    return found + _difference(of_entry(entry), of_event(event))


def _difference(found: object, wanted: object) -> list[Difference]:
    if found == wanted:
        return []
    return [(Kind.DIFFERS_FROM_RECORD, f"says {found!r}, its record {wanted!r}")]


def header(record: Record, name: str) -> bytes | None:
    """The first of that name; Kafka allows several, and one without a value."""
    for its_name, value in record.headers:
        if its_name == name:
            return value
    return None


@lru_cache(maxsize=16)  # all records of a batch have one append time
def _iso(timestamp_ms: int) -> str:
    text = (EPOCH + timedelta(milliseconds=timestamp_ms)).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def _name(event: Entry | Input | Unfit) -> str:
    return "no event" if isinstance(event, Unfit) else type(event).__name__
