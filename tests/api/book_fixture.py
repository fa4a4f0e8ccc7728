"""An order book fed by real ledgers with the orders that a producer took, without a broker."""

from campus.book.order_book import OrderBook
from campus.book.order_window import OrderWindow, PlacedRecord
from campus.book.stock_levels import StockLevels
from campus.domain.codec import decode_input
from campus.domain.events import Entry, OrderPlaced
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.inventory.ledger import StockLedger
from tests.api.serving import FakeCommit
from tests.builders import APPENDED_AT_MS, PARTITIONS, ARecord, an_opening, encode


class BookFixture:
    """Decides events on demand, and feeds the book as the book role would."""

    def __init__(self, *, orders_max: int = 1000, **stock: int) -> None:
        self.book = OrderBook(orders_max=orders_max)
        self.book.load(OrderWindow(orders_max), {p: StockLevels({}, {}, 0) for p in range(PARTITIONS)})
        self.book.caught_up = True
        self._ledgers = [StockLedger(partition, PARTITIONS) for partition in range(PARTITIONS)]
        self._decided = 0
        for item, quantity in stock.items():
            self.takes(encode(an_opening(item, quantity)), item_partition(item, PARTITIONS))

    def decides(self, commit: FakeCommit) -> list[Entry]:
        """Decide everything submitted since the last call."""
        new, self._decided = commit.taken[self._decided :], len(commit.taken)
        return [self.takes(value, tp.partition) for tp, (_, value, _) in new]

    def takes(self, value: bytes, partition: int) -> Entry:
        ledger = self._ledgers[partition]
        offset = ledger.next_offset
        event = decode_input(value)
        if isinstance(event, OrderPlaced):
            accepted_at = iso_utc(APPENDED_AT_MS)
            self.book.add_placed([PlacedRecord(event, partition, offset, accepted_at, misrouted=False)])
        entry, _ = ledger.decide(ARecord(offset, value))
        ledger.apply(entry)
        self.book.apply_journal(partition, [(offset, entry)])
        return entry
