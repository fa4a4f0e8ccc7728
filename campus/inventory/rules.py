"""The rules that stock is decided by: what an owner claims, starts from and has to ask for."""

from collections.abc import Mapping
from dataclasses import dataclass

from campus.domain.events import OwnerClaimed, StockAdded
from campus.domain.partitions import item_partition
from campus.inventory.ledger import StockLedger, openings

RULES_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StockRules:
    partitions: int
    opening_stock: Mapping[str, int]
    window_orders: int

    def fold(self, partition: int) -> StockLedger:
        """The state before anything happened."""
        return StockLedger(partition, self.partitions)

    def fold_of(self, partition: int, state: bytes) -> StockLedger:
        """The state that was written down. Raises ValueError."""
        return StockLedger.from_state(partition, self.partitions, state)

    def claim(self, owner: str) -> OwnerClaimed:
        return OwnerClaimed(owner=owner, rules=RULES_VERSION, window_orders=self.window_orders)

    def missing_inputs(self, ledger: StockLedger) -> list[StockAdded]:
        """The opening stock of the ledger's items that never had theirs."""
        return [
            opening
            for opening in openings(self.opening_stock)
            if item_partition(opening.item, self.partitions) == ledger.partition
            and opening.item not in ledger.opened
        ]
