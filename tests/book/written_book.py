"""An order book that a test writes by hand, without logs, one record or journal entry at a time."""

from campus.book.order_book import OrderBook
from campus.book.order_window import OrderWindow, PlacedRecord
from campus.book.stock_levels import StockLevels
from campus.domain.events import (
    CancelRejected,
    DuplicateIgnored,
    InventoryFailed,
    InventoryReserved,
    OrderRerouted,
    ReservationReleased,
    StockChanged,
)

AT = "2026-01-01T12:00:00.100Z"
LATER = "2026-01-01T12:00:09.000Z"
P = 2  # a partition


class WrittenBook:
    """A loaded book and its journal: each method adds one record or entry, with the next seq and offset."""

    def __init__(self, orders_max=10):
        self.book = OrderBook(orders_max=orders_max)
        self.book.load(OrderWindow(orders_max), {P: StockLevels({}, {}, 0), P + 1: StockLevels({}, {}, 0)})
        self.seq = 0

    def places(self, order, offset=0, at=AT, partition=P, misrouted=False):
        self.book.add_placed([PlacedRecord(order, partition, offset, at, misrouted)])

    def journals(self, entry_of, partition=P, **fields):
        self.seq += 1
        entry = entry_of(seq=self.seq, source_offset=self.seq - 1, **fields)
        self.book.apply_journal(partition, [(10 + self.seq, entry)])

    def reserves(self, order_id="o-1", item="pizza", *, user_id="ana", at=AT, partition=P):
        self.journals(
            InventoryReserved,
            partition,
            order_id=order_id,
            user_id=user_id,
            item=item,
            quantity=1,
            remaining=7,
            placed_at=None,
            decided_at=at,
        )

    def fails(self, order_id="o-1", item="pizza", *, at=AT):
        self.journals(
            InventoryFailed,
            order_id=order_id,
            user_id="ana",
            item=item,
            quantity=1,
            remaining=None,
            reason="unknown_item",
            placed_at=None,
            decided_at=at,
        )

    def releases(self, order_id="o-1"):
        self.journals(
            ReservationReleased, order_id=order_id, item="pizza", quantity=1, remaining=8, decided_at=LATER
        )

    def rejects_cancel(self, reason, order_id="o-1"):
        self.journals(
            CancelRejected, order_id=order_id, item="pizza", remaining=7, reason=reason, decided_at=LATER
        )

    def ignores_repeat(self, order_id="o-1", item="pizza"):
        self.journals(
            DuplicateIgnored, repeated_type="OrderPlaced", repeated_id=order_id, item=item, decided_at=LATER
        )

    def reroutes(self, order_id="o-1", item="pizza", to_partition=P + 1):
        self.journals(
            OrderRerouted,
            rerouted_type="OrderPlaced",
            rerouted_id=order_id,
            item=item,
            to_partition=to_partition,
            decided_at=AT,
        )

    def restocks(self, event_id):
        self.journals(
            StockChanged,
            event_id=event_id,
            item="tea",
            quantity=5,
            remaining=5,
            reason="restock",
            decided_at=AT,
        )

    def ids(self, *, limit=10, **filters):
        return [view.order_id for view in self.book.latest(limit=limit, **filters)]
