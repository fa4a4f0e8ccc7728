"""Counts of the journal's entries: orders decided, by item, by reason and by minute.

A fold like the ledger: each partition has its own `OrderMetrics`, and their sum is that of all partitions.
The minutes are those of the entries' own times, so folding again gives the same buckets.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from campus.domain.events import InventoryFailed, InventoryReserved, JournalEvent, ReservationReleased

MINUTES_MAX = 24 * 60
MINUTE_CHARS = len("2026-01-01T12:34")


@dataclass(slots=True)
class ItemMetrics:
    """Cancelled orders are among the `reserved`, but their portions are not among the `portions`."""

    reserved: int = 0
    failed: int = 0
    cancelled: int = 0
    portions: int = 0


@dataclass(slots=True)
class OrderMetrics:
    """`minutes` keeps the last MINUTES_MAX buckets that had orders; the totals keep everything.

    Orders of items that were never in stock are counted by reason only, not by item: anyone can invent
    names, and the memory for them must be bounded. A cancelled order stays successful, in its minute.
    """

    successful: int = 0
    failed: int = 0
    cancelled: int = 0
    items: dict[str, ItemMetrics] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)
    minutes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.successful + self.failed

    @property
    def failure_percent(self) -> float:
        return 100 * self.failed / self.total if self.total else 0.0

    def apply(self, event: JournalEvent) -> None:
        if isinstance(event, InventoryReserved):
            self.successful += 1
            item = self._item(event.item)
            item.reserved += 1
            item.portions += event.quantity
            self._count_minute(event.decided_at[:MINUTE_CHARS], 1)
        elif isinstance(event, InventoryFailed):
            self.failed += 1
            self.reasons[event.reason] = self.reasons.get(event.reason, 0) + 1
            if event.remaining is not None:
                self._item(event.item).failed += 1
            self._count_minute(event.decided_at[:MINUTE_CHARS], 1)
        elif isinstance(event, ReservationReleased):
            self.cancelled += 1
            item = self._item(event.item)
            item.cancelled += 1
            item.portions -= event.quantity

    def add(self, other: "OrderMetrics") -> None:
        self.successful += other.successful
        self.failed += other.failed
        self.cancelled += other.cancelled
        for reason, orders in other.reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + orders
        for name, theirs in other.items.items():
            ours = self._item(name)
            ours.reserved += theirs.reserved
            ours.failed += theirs.failed
            ours.cancelled += theirs.cancelled
            ours.portions += theirs.portions
        for minute in sorted(other.minutes):
            self._count_minute(minute, other.minutes[minute])

    def state(self) -> bytes:
        """The metrics as bytes; the same bytes for the same metrics."""
        return msgspec.json.encode(self, order="sorted")

    @classmethod
    def from_state(cls, state: bytes) -> "OrderMetrics":
        """Raises ValueError if the bytes are no metrics."""
        try:
            return msgspec.json.decode(state, type=cls)
        except msgspec.MsgspecError as fault:
            raise ValueError(str(fault)) from fault

    def _item(self, name: str) -> ItemMetrics:
        return self.items.setdefault(name, ItemMetrics())

    def _count_minute(self, minute: str, orders: int) -> None:
        self.minutes[minute] = self.minutes.get(minute, 0) + orders
        if len(self.minutes) > MINUTES_MAX:
            del self.minutes[min(self.minutes)]


def summed(parts: Iterable[OrderMetrics]) -> OrderMetrics:
    total = OrderMetrics()
    for part in parts:
        total.add(part)
    return total
