"""The stock of one partition, as the order book shows it: a fold of the journal that decides nothing.

It applies the same entries as the partition's StockLedger and reads a ledger's snapshots, but remembers no
order ids. What is reserved and not released is `added` less `remaining`.
"""

import msgspec
from msgspec import Struct

from campus.domain.events import (
    InventoryReserved,
    JournalEvent,
    OwnerClaimed,
    ReservationReleased,
    StockChanged,
)


class _State(Struct):
    """The part of a LedgerState that is used here; msgspec ignores the rest."""

    stock: dict[str, int]
    added: dict[str, int]
    next_offset: int


class StockLevels:
    """`remaining` and `added`: by item, in the order in which the items first had stock.

    `next_offset`: of the order-events record that is decided next. `offset`, `seq`: of the last journal
    entry.
    """

    def __init__(self) -> None:
        self.remaining: dict[str, int] = {}
        self.added: dict[str, int] = {}
        self.next_offset, self.offset, self.seq = 0, -1, 0

    def apply(self, event: JournalEvent) -> None:
        if isinstance(event, OwnerClaimed):
            return
        if isinstance(event, InventoryReserved | ReservationReleased | StockChanged):
            self.remaining[event.item] = event.remaining
        if isinstance(event, StockChanged):
            self.added[event.item] = self.added.get(event.item, 0) + event.quantity
        self.next_offset, self.seq = event.source_offset + 1, event.seq

    def state(self) -> bytes:
        """Enough for `from_state`; a ledger needs more."""
        return msgspec.msgpack.encode(_State(self.remaining, self.added, self.next_offset))

    @classmethod
    def from_state(cls, state: bytes) -> "StockLevels":
        """From the state of a ledger or of levels. Raises ValueError if it is neither."""
        try:
            read = msgspec.msgpack.decode(state, type=_State)
        except msgspec.MsgspecError as error:
            raise ValueError(str(error)) from error
        levels = cls()
        levels.remaining, levels.added, levels.next_offset = read.stock, read.added, read.next_offset
        return levels
