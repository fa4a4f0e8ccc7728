"""The last N ids that a partition has decided, as 8-byte hashes, each with what became of it (its fate).

An id in the window is never decided again, and its reservation can be released, once. Ids that fell out of
the window were decided at or before `horizon_ms`, so a later order cannot be one of them. A reservation names
its item by number, not by a hash of the name: two names could share a hash, and a release would add stock to
the wrong item.
"""

import sys
import zlib
from array import array
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from msgspec import Struct

from campus.domain.events import QUANTITY_MAX

WINDOW_ORDERS_DEFAULT = 100_000
WINDOW_ORDERS_MAX = 300_000
# The most an id takes in a snapshot: 8 for its hash, 8 for its time, 8 for its fate. Times and fates are
# compressed, usually to less than 1 byte. In memory an id takes 160 to 200 bytes: the arrays, its dict entry
# and the two ints of that.
WINDOW_ORDER_BYTES = 24
ID_HASH_BYTES = 8

# A fate is an int: the number of the item, the quantity, and in the lowest bits one of these outcomes.
NOTHING_RESERVED, RESERVED, CANCELLED = range(3)
OUTCOME_BITS, QUANTITY_BITS = 2, 20
assert QUANTITY_MAX < 1 << QUANTITY_BITS


class Reservation(NamedTuple):
    """What an order reserved. If it `is_cancelled`, the quantity was released."""

    item_number: int
    quantity: int
    is_cancelled: bool


class WindowState(Struct, frozen=True):
    """The window in a snapshot; a record format. Of equal length, 8 bytes each, little-endian; `times` and
    `fates` are compressed by zlib."""

    size_max: int
    horizon_ms: int
    hashes: bytes
    times: bytes
    fates: bytes


class DedupeWindow:
    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.horizon_ms = -1
        self._fates: dict[int, int] = {}  # by hash, in the order of `_hashes` from `_head` on
        # The oldest id is at `_head`. Those before it are forgotten, and removed now and then.
        self._hashes, self._times = array("Q"), array("q")
        self._head = 0

    def __len__(self) -> int:
        return len(self._hashes) - self._head

    def has_order(self, order_id: str) -> bool:
        return _hashed(b"order", order_id) in self._fates

    def has_restock(self, event_id: str) -> bool:
        return _hashed(b"restock", event_id) in self._fates

    def reservation(self, order_id: str) -> Reservation | None:
        """What the order reserved, even if released since. None if it failed or is not in the window."""
        fate = self._fates.get(_hashed(b"order", order_id), NOTHING_RESERVED)
        if fate == NOTHING_RESERVED:
            return None
        quantity = fate >> OUTCOME_BITS & (1 << QUANTITY_BITS) - 1
        return Reservation(fate >> OUTCOME_BITS + QUANTITY_BITS, quantity, _outcome(fate) == CANCELLED)

    def remember_reserved(self, order_id: str, decided_at_ms: int, item_number: int, quantity: int) -> None:
        fate = (item_number << QUANTITY_BITS | quantity) << OUTCOME_BITS | RESERVED
        self._remember(_hashed(b"order", order_id), decided_at_ms, fate)

    def remember_failed(self, order_id: str, decided_at_ms: int) -> None:
        self._remember(_hashed(b"order", order_id), decided_at_ms, NOTHING_RESERVED)

    def remember_restock(self, event_id: str, decided_at_ms: int) -> None:
        self._remember(_hashed(b"restock", event_id), decided_at_ms, NOTHING_RESERVED)

    def remember_cancelled(self, order_id: str) -> None:
        """The order keeps its place in the window, so a cancel does not make it remembered for longer."""
        hashed = _hashed(b"order", order_id)
        fate = self._fates.get(hashed, NOTHING_RESERVED)
        if _outcome(fate) == RESERVED:
            self._fates[hashed] = fate - RESERVED + CANCELLED

    def has_forgotten(self, time_ms: int) -> bool:
        """Whether an id that was decided at that time may have fallen out of the window."""
        return time_ms <= self.horizon_ms

    def resize(self, size_max: int) -> None:
        self.size_max = size_max
        self._forget_beyond_size()

    def state(self) -> WindowState:
        hashes, times = self._hashes[self._head :], self._times[self._head :]
        fates = array("Q", self._fates.values())
        return WindowState(self.size_max, self.horizon_ms, _to_bytes(hashes), _packed(times), _packed(fates))

    @classmethod
    def from_state(cls, state: WindowState) -> "DedupeWindow":
        """Raises ValueError or zlib.error if no window has written the state."""
        window = cls(state.size_max)
        window.horizon_ms = state.horizon_ms
        window._hashes = _from_bytes("Q", state.hashes)
        window._times = _from_bytes("q", zlib.decompress(state.times))
        fates = _from_bytes("Q", zlib.decompress(state.fates))
        if not len(window._hashes) == len(window._times) == len(fates):
            raise ValueError(f"{len(window._hashes)} hashes, {len(window._times)} times, {len(fates)} fates")
        window._fates = dict(zip(window._hashes, fates, strict=True))
        if len(window._fates) != len(fates):
            raise ValueError("an id is in it twice")
        return window

    def _remember(self, hashed: int, decided_at_ms: int, fate: int) -> None:
        if hashed not in self._fates:  # else other rules decided it twice: it keeps its place
            self._hashes.append(hashed)
            self._times.append(decided_at_ms)
        self._fates[hashed] = fate
        self._forget_beyond_size()

    def _forget_beyond_size(self) -> None:
        while len(self._hashes) - self._head > self.size_max:
            del self._fates[self._hashes[self._head]]
            self.horizon_ms = max(self.horizon_ms, self._times[self._head])
            self._head += 1
        if self._head > self.size_max:
            del self._hashes[: self._head], self._times[: self._head]
            self._head = 0


def _outcome(fate: int) -> int:
    return fate & (1 << OUTCOME_BITS) - 1


@lru_cache(maxsize=4)  # an id is looked up and then remembered
def _hashed(kind: bytes, text: str) -> int:
    # Not hash(): it differs between processes, and the window is part of snapshots.
    digest = blake2b(text.encode(), digest_size=ID_HASH_BYTES, person=kind).digest()
    return int.from_bytes(digest, "big")


def _packed(numbers: "array[int]") -> bytes:
    return zlib.compress(_to_bytes(numbers), 1)


def _to_bytes(numbers: "array[int]") -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _from_bytes(typecode: str, data: bytes) -> "array[int]":
    numbers = array(typecode)
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
