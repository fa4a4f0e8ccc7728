"""Builders for tests: events, consumer records, ledgers in a known state."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from campus.domain.codec import encode
from campus.domain.events import Entry, Event, Input, OrderCancelled, OrderPlaced, OwnerClaimed, StockAdded
from campus.domain.partitions import item_partition
from campus.inventory.ledger import SideOutput, StockLedger
from campus.inventory.rules import RULES_VERSION

PARTITIONS = 4
APPENDED_AT_MS = 1_763_837_495_123


@dataclass(frozen=True, slots=True)
class ARecord:
    """The fields of kafka-python's ConsumerRecord that this program uses."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = APPENDED_AT_MS
    headers: Sequence[tuple[str, bytes]] = ()


def an_order(order_id: str = "o-1", item: str = "pizza", quantity: int = 1, **fields: Any) -> OrderPlaced:
    fields = {"user_id": "ana", "placed_at": "2026-01-01T12:00:00.000Z", **fields}
    return OrderPlaced(order_id=order_id, item=item, quantity=quantity, **fields)


def a_cancel(order_id: str = "o-1", item: str = "pizza") -> OrderCancelled:
    return OrderCancelled(order_id=order_id, item=item)


def a_restock(event_id: str = "s-1", item: str = "pizza", quantity: int = 10) -> StockAdded:
    return StockAdded(event_id=event_id, item=item, quantity=quantity, reason="restock")


def an_opening(item: str = "pizza", quantity: int = 100) -> StockAdded:
    return StockAdded(event_id="opening", item=item, quantity=quantity, reason="opening")


def a_claim(owner: str = "owner-1", window_orders: int = 100_000) -> OwnerClaimed:
    return OwnerClaimed(owner=owner, rules=RULES_VERSION, window_orders=window_orders)


class ALedger:
    """A ledger of one item's partition that is fed with events and collects its decisions."""

    def __init__(self, item: str = "pizza", **stock: int) -> None:
        self.ledger = StockLedger(item_partition(item, PARTITIONS), PARTITIONS)
        self.entries: list[Entry] = []
        self.side_outputs: list[SideOutput] = []
        for name, quantity in stock.items():
            self.takes(an_opening(name, quantity))

    def takes(self, *inputs: Input | bytes | ARecord | None) -> list[Entry]:
        """Decide and apply each as the next record of the partition. Returns the entries."""
        return [self._take(given) for given in inputs]

    def _take(self, given: Input | bytes | ARecord | None) -> Entry:
        if isinstance(given, ARecord):
            record = given
        else:
            value = encode(given) if isinstance(given, Event) else given
            record = ARecord(self.ledger.next_offset, value)
        entry, side_output = self.ledger.decide(record)
        self.ledger.apply(entry)
        self.entries.append(entry)
        if side_output:
            self.side_outputs.append(side_output)
        return entry


def a_ledger(**stock: int) -> ALedger:
    """With this opening stock by item. All items must be in the partition of the first one."""
    return ALedger(next(iter(stock), "pizza"), **stock)
