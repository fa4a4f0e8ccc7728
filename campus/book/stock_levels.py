"""How much of each item is there and how much ever came: a light fold of the journal, for who only looks.

It follows the same entries as a StockLedger of the partition and reads what a ledger has written down, but
remembers no ids, so it can decide nothing. What is reserved and not released is `added` less `remaining`.
"""

import msgspec
from msgspec import Struct

from campus.domain.events import InventoryReserved, JournalEvent, ReservationReleased, StockChanged


class _Levels(Struct):
    """The part of a LedgerState that is of use here; the rest is passed over."""

    stock: dict[str, int]
    added: dict[str, int]


class StockLevels:
    """Both by item, in the order in which the items first had stock."""

    def __init__(self) -> None:
        self.remaining: dict[str, int] = {}
        self.added: dict[str, int] = {}

    def apply(self, event: JournalEvent) -> None:
        if isinstance(event, InventoryReserved | ReservationReleased):
            self.remaining[event.item] = event.remaining
        elif isinstance(event, StockChanged):
            self.remaining[event.item] = event.remaining
            self.added[event.item] = self.added.get(event.item, 0) + event.quantity

    def state(self) -> bytes:
        """Enough for `from_state`; a ledger needs more."""
        return msgspec.msgpack.encode(_Levels(self.remaining, self.added))

    @classmethod
    def from_state(cls, state: bytes) -> "StockLevels":
        """Raises ValueError for what no ledger and no levels have written."""
        try:
            read = msgspec.msgpack.decode(state, type=_Levels)
        except msgspec.MsgspecError as fault:
            raise ValueError(str(fault)) from fault
        levels = cls()
        levels.remaining, levels.added = read.stock, read.added
        return levels
