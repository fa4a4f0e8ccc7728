"""What the audit remembers of every id and every side output.

Ids and side outputs are kept as Python's own 64-bit hashes, which are stable within one process: among a
million ids, two have the same hash once in 40 million audits. Measured on 10 million orders in one partition:
1.2 GB at the peak and 2.9 µs an order (0.95 GB in three partitions). An open-addressing table of two arrays
took 0.43 GB and 4.1 µs.
"""

from array import array
from collections import Counter, deque
from collections.abc import Hashable, Iterator, Set
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Decision:
    """The newest decision about an id. `item` is None if nothing was reserved."""

    key: int
    at_ms: int
    item: str | None
    quantity: int
    is_released: bool = False


class IdHistory(NamedTuple):
    """An id before its decision. `was_reserved`: in this partition, at any time. `is_remembered`: decided in
    this partition, within the owner's window. `is_shared`: decided before, but only in other partitions."""

    was_reserved: bool
    is_remembered: bool
    is_shared: bool


class DecidedIds:
    """The ids that one partition has decided, and which of them its owner still remembers.

    The owner's window holds the last `window_orders` decisions. A forgotten decision stays forgotten, even if
    a later owner has a larger window.
    """

    def __init__(self, elsewhere: Set[int]) -> None:
        """`elsewhere`: the hashes of the ids that other partitions have decided."""
        self._elsewhere = elsewhere
        self._reserved: dict[int, bool] = {}  # every id decided here, and whether it was ever reserved
        self._window: deque[Decision] = deque()  # the oldest first
        self._remembered: dict[int, Decision] = {}  # of each id in the window its newest decision
        self._window_orders = 0
        self.horizon_ms = -1  # the newest time of a decision that was forgotten

    @property
    def hashes(self) -> Set[int]:
        return self._reserved.keys()

    def claim(self, window_orders: int) -> None:
        self._window_orders = window_orders
        self._forget()

    def is_decided(self, name: Hashable) -> bool:
        """Whether this partition has ever decided the id."""
        return hash(name) in self._reserved

    def decide(self, name: Hashable, *, at_ms: int, item: str | None = None, quantity: int = 0) -> IdHistory:
        """Note a decision, `item` and `quantity` being what it reserved; returns what was known before it."""
        key = hash(name)
        was_reserved = self._reserved.get(key)
        is_shared = was_reserved is None and key in self._elsewhere
        history = IdHistory(was_reserved or False, key in self._remembered, is_shared)
        self._reserved[key] = history.was_reserved or item is not None
        decision = self._remembered[key] = Decision(key, at_ms, item, quantity)
        self._window.append(decision)
        self._forget()
        return history

    def remembered(self, name: Hashable) -> Decision | None:
        """The newest decision about the id, if its owner still remembers it."""
        return self._remembered.get(hash(name))

    def _forget(self) -> None:
        while len(self._window) > self._window_orders:
            oldest = self._window.popleft()
            self.horizon_ms = max(self.horizon_ms, oldest.at_ms)
            if self._remembered[oldest.key] is oldest:
                del self._remembered[oldest.key]


class SideOutputs:
    """Dead letters or reroutes: those that entries promise, and those that are in the topic."""

    def __init__(self) -> None:
        self._there: Counter[int] = Counter()
        self._promised = array("q")  # of each promise its hash, partition, offset and seq

    def add(self, name: Hashable) -> None:
        self._there[hash(name)] += 1

    def promise(self, name: Hashable, partition: int, offset: int, seq: int) -> None:
        self._promised.extend((hash(name), partition, offset, seq))

    def promised(self) -> Iterator[tuple[int, int, int, int]]:
        """For each promise: how often it is there, and its entry's partition, offset and seq."""
        numbers = iter(self._promised)
        for key, partition, offset, seq in zip(numbers, numbers, numbers, numbers, strict=True):
            yield self._there[key], partition, offset, seq
