"""The stock of one partition, as the order book shows it: a fold of the journal that decides nothing.

It applies the same entries as the partition's StockLedger and reads a ledger's snapshots, but remembers no
order ids. What is reserved and not released is `added` less `remaining`.
"""

import msgspec

from campus.domain.events import (
    InventoryReserved,
    JournalEvent,
    OwnerClaimed,
    ReservationReleased,
    StockChanged,
)


class StockLevels(msgspec.Struct):
    """`remaining` and `added`: by item, in the order in which the items first had stock.

    `next_offset`: of the order-events record that is decided next. `seq`, `offset`: of the last journal
    entry. All but `offset`, which the caller sets, are fields of a LedgerState, too.
    """

    remaining: dict[str, int] = msgspec.field(name="stock")
    added: dict[str, int]
    next_offset: int
    seq: int = 0
    offset: int = -1

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
        return msgspec.msgpack.encode(self)

    @classmethod
    def from_state(cls, state: bytes) -> "StockLevels":
        """From the state of a ledger or of levels. Raises ValueError if it is neither."""
        return msgspec.msgpack.decode(state, type=cls)
