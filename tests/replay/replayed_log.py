"""The two logs of one partition, written as an owner would, and the findings of their replay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec

from campus.analytics.metrics import OrderMetrics
from campus.domain.codec import encode
from campus.domain.events import Event, Input, OwnerClaimed
from campus.domain.journal import OWNER_HEADER
from campus.domain.partitions import item_partition
from campus.inventory.ledger import StockLedger
from campus.inventory.rules import RULES_VERSION
from campus.replay.findings import ReplayFindings
from campus.replay.replayer import Replayer
from tests.builders import APPENDED_AT_MS, PARTITIONS, ARecord

PIZZA = item_partition("pizza", PARTITIONS)


class ALog:
    """The logs of pizza's partition. `analytics` has counted what the owners decided."""

    def __init__(
        self, *inputs: Input | bytes | None, ledger: Callable[..., StockLedger] = StockLedger
    ) -> None:
        self.ledger = ledger(PIZZA, PARTITIONS)
        self.orders: list[ARecord] = []
        self.journal: list[ARecord] = []
        self.analytics = OrderMetrics()
        self._owner = "nobody"
        self.claimed("owner-1").took(*inputs)

    def claimed(self, owner: str, *, rules: int = RULES_VERSION, window_orders: int = 100) -> "ALog":
        claim = OwnerClaimed(owner=owner, rules=rules, window_orders=window_orders)
        self.ledger.apply(claim)
        self._owner = owner
        return self.wrote(encode(claim), owner=None)

    def took(self, *inputs: Input | bytes | None, headers: Any = ()) -> "ALog":
        """Append to order-events, decide, and write the entries."""
        for one in inputs:
            self.ordered(one, headers=headers)
            entry, _ = self.ledger.decide(self.orders[-1])
            self.ledger.apply(entry)
            self.analytics.apply(entry)
            self.wrote(encode(entry), owner=self._owner)
        return self

    def ordered(self, *inputs: Input | bytes | None, headers: Any = ()) -> "ALog":
        """Append to order-events only."""
        for one in inputs:
            offset, value = len(self.orders), encode(one) if isinstance(one, Event) else one
            self.orders.append(ARecord(offset, value, None, APPENDED_AT_MS + offset, headers))
        return self

    def wrote(self, value: bytes | None, *, owner: str | None) -> "ALog":
        headers = ((OWNER_HEADER, owner.encode()),) if owner else ()
        self.journal.append(ARecord(len(self.journal), value, headers=headers))
        return self

    def entry(self, index: int) -> dict[str, Any]:
        """The journal's record at that index, as JSON."""
        return msgspec.json.decode(self.journal[index].value or b"")

    def changed(self, index: int, **fields: Any) -> "ALog":
        return self.rewritten(index, msgspec.json.encode(self.entry(index) | fields))

    def rewritten(self, index: int, value: bytes) -> "ALog":
        self.journal[index] = replace(self.journal[index], value=value)
        return self

    def replayed(self, *, inputs_end: int | None = None, **settings: Any) -> ReplayFindings:
        replayer = Replayer(PARTITIONS, **settings)
        end = len(self.orders) if inputs_end is None else inputs_end
        replayer.partition(PIZZA, self.journal, self.orders, inputs_end=end, analytics=self.analytics)
        return replayer.finish()
