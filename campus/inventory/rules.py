"""What the owner of a partition needs to know of stock: its claim, its ledger, the opening stock to place.

`RULES_VERSION` changes with every change of what the ledger decides: the replay compares only decisions that
were made by its own version.
"""

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
        """An empty ledger."""
        return StockLedger(partition, self.partitions)

    def fold_of(self, partition: int, state: bytes) -> StockLedger:
        """The ledger of a snapshot. Raises ValueError if no such ledger has written the state."""
        return StockLedger.from_state(partition, self.partitions, state)

    def claim(self, owner: str) -> OwnerClaimed:
        return OwnerClaimed(owner=owner, rules=RULES_VERSION, window_orders=self.window_orders)

    def missing_inputs(self, ledger: StockLedger) -> list[StockAdded]:
        """The opening stock of this partition's items that the ledger has not seen yet."""
        return [
            opening
            for opening in openings(self.opening_stock)
            if item_partition(opening.item, self.partitions) == ledger.partition
            and opening.item not in ledger.opened
        ]
