"""What an audit has to remember of every id and every side output, in a few machine words each.

An id is its 64-bit hash: a million of them agree by chance once in 40 million audits. A `HashTable` has
room for twice what is in it on average, so an order takes 24 to 48 bytes, and half as much again while the
table grows. A dict would take 110, more where ids repeat over partitions. What an order has reserved takes 8
bytes more (9 while there is room to grow) until its partition is through: it can be released only there.
"""

from array import array
from collections import deque
from collections.abc import Hashable, Iterator
from typing import NamedTuple

UINT64 = (1 << 64) - 1
SLOTS_FIRST = 1024
PARTITION_SHIFT = 48

# A reservation: the number of its item, its quantity, whether it was released, and 1. No reservation is 0.
QUANTITY_BITS = 20
QUANTITY_SHIFT = 2
ITEM_SHIFT = QUANTITY_SHIFT + QUANTITY_BITS
RESERVED, RELEASED = 1, 2


def hashed(name: Hashable) -> int:
    """Never 0. Python's own hash will do: it is the same within one process, and an audit is one."""
    return hash(name) & UINT64 or 1


class HashTable:
    """From hashes to numbers of 64 bits, both unsigned; nothing is ever taken out. Linear probing."""

    def __init__(self) -> None:
        self._count = 0
        self._make_room(SLOTS_FIRST)

    def __len__(self) -> int:
        return self._count

    def get(self, key: int) -> int | None:
        at = self._slot(key)
        return self._values[at] if self._keys[at] else None

    def put(self, key: int, value: int) -> None:
        at = self._slot(key)
        if not self._keys[at]:
            self._count += 1
            self._keys[at] = key
        self._values[at] = value
        if 3 * self._count > 2 * len(self._keys):
            self._grow()

    def _slot(self, key: int) -> int:
        """Where the key stands, or the free slot where it would."""
        keys, mask = self._keys, len(self._keys) - 1
        at = key & mask
        while (there := keys[at]) and there != key:
            at = (at + 1) & mask
        return at

    def _grow(self) -> None:
        keys, values = self._keys, self._values
        self._make_room(2 * len(keys))
        for key, value in zip(keys, values, strict=True):
            if key:
                at = self._slot(key)
                self._keys[at], self._values[at] = key, value

    def _make_room(self, slots: int) -> None:
        self._keys, self._values = array("Q", (0,)) * slots, array("Q", (0,)) * slots


class Past(NamedTuple):
    """Of an id before it is decided now. `remembered`: decided here, within its owner's window."""

    reserved: bool
    remembered: bool
    elsewhere: bool


class Reservation(NamedTuple):
    """What an order has reserved: of which item, by its number, how much, and if it was given back."""

    item: int
    quantity: int
    released: bool = False


class DecidedIds:
    """Every id that one partition has decided, what it reserved, and how far back its owner remembers them.

    The window holds the last so many decisions, and what it has dropped it never takes up again. So
    the decisions that it remembers are those since a certain one, which only moves forward.
    """

    def __init__(self, partition: int, table: HashTable) -> None:
        """`table` is shared by all partitions."""
        self._partition, self._table = partition, table
        self._decisions = 0
        self._window_orders = 0
        self._remembered_times: deque[int] = deque()
        self._reservations = array("Q")  # of each decision
        self.horizon_ms = -1  # the newest time of a decision that was forgotten

    def claim(self, window_orders: int) -> None:
        self._window_orders = window_orders
        self._forget()

    def knows(self, name: Hashable) -> bool:
        return self._look_up(name)[1] is not None

    def decide(self, name: Hashable, *, at_ms: int, reserved: Reservation | None = None) -> Past:
        key, value, elsewhere = self._look_up(name)
        past = Past(False, False, elsewhere)
        if value is not None:
            past = Past(bool(value & 1), self._is_remembered(_decision(value)), False)
        ever_reserved = past.reserved or reserved is not None
        self._table.put(key, self._partition << PARTITION_SHIFT | self._decisions << 1 | ever_reserved)
        self._decisions += 1
        self._remembered_times.append(at_ms)
        self._reservations.append(_packed(reserved) if reserved else 0)
        self._forget()
        return past

    def remembers(self, name: Hashable) -> bool:
        """Whether the id was decided here, within its owner's window."""
        return self._remembered(name) is not None

    def reservation(self, name: Hashable) -> Reservation | None:
        """What an order that is remembered has reserved; None if it failed."""
        decision = self._remembered(name)
        return None if decision is None else _unpacked(self._reservations[decision])

    def release(self, name: Hashable) -> None:
        decision = self._remembered(name)
        if decision is not None:
            self._reservations[decision] |= RELEASED

    def _remembered(self, name: Hashable) -> int | None:
        """The number of the decision about it, if the owner still remembers that."""
        value = self._look_up(name)[1]
        return None if value is None or not self._is_remembered(_decision(value)) else _decision(value)

    def _is_remembered(self, decision: int) -> bool:
        return decision >= self._decisions - len(self._remembered_times)

    def _look_up(self, name: Hashable) -> tuple[int, int | None, bool]:
        """Its key, what the table says of it in this partition, and whether another one has decided it."""
        key = hashed(name)
        value = self._table.get(key)
        if value is None or value >> PARTITION_SHIFT == self._partition:
            return key, value, False
        key = hashed((self._partition, name))
        value = self._table.get(key)
        return key, value, value is None

    def _forget(self) -> None:
        while len(self._remembered_times) > self._window_orders:
            self.horizon_ms = max(self.horizon_ms, self._remembered_times.popleft())


def _decision(value: int) -> int:
    return (value & ((1 << PARTITION_SHIFT) - 1)) >> 1


def _packed(reserved: Reservation) -> int:
    # A quantity that is out of bounds was accused already, for no order can have it: it is only cut here.
    quantity = reserved.quantity & (1 << QUANTITY_BITS) - 1
    return reserved.item << ITEM_SHIFT | quantity << QUANTITY_SHIFT | RESERVED


def _unpacked(packed: int) -> Reservation | None:
    quantity = packed >> QUANTITY_SHIFT & (1 << QUANTITY_BITS) - 1
    return Reservation(packed >> ITEM_SHIFT, quantity, bool(packed & RELEASED)) if packed else None


class SideOutputs:
    """Dead letters and reroutes: what entries say was written, and what stands where it should be."""

    def __init__(self) -> None:
        self._seen = HashTable()
        self._promised_keys = array("Q")
        self._promised_at = array("q")  # partition, offset, seq of each

    def see(self, name: Hashable) -> None:
        key = hashed(name)
        self._seen.put(key, (self._seen.get(key) or 0) + 1)

    def promise(self, name: Hashable, partition: int, offset: int, seq: int) -> None:
        self._promised_keys.append(hashed(name))
        self._promised_at.extend((partition, offset, seq))

    def promised(self) -> Iterator[tuple[int, int, int, int]]:
        """How often each promise was seen; partition, offset and seq of the entry that made it."""
        at = iter(self._promised_at)
        for key, place in zip(self._promised_keys, zip(at, at, at, strict=True), strict=True):
            yield self._seen.get(key) or 0, *place
