"""What an owner remembers of the ids it has decided: the last N, by 8 bytes of their hash.

An id within the window is never decided again. Of what fell out of it only one thing is known: it was
decided at or before `horizon_ms`, so an order from after that cannot be a forgotten one. 16 bytes an id,
in two arrays, so that a state can be written down in one piece.
"""

import sys
import zlib
from array import array
from hashlib import blake2b

from msgspec import Struct

WINDOW_ORDERS_DEFAULT = 100_000
WINDOW_ORDERS_MAX = 400_000
WINDOW_ORDER_BYTES = 16  # 8 of hash, 8 of time; the times are compressed when they are written down
ID_HASH_BYTES = 8


class WindowState(Struct, frozen=True):
    """`hashes`: 8 bytes each, little-endian; `times`: as many of 8 bytes, compressed by zlib."""

    size_max: int
    horizon_ms: int
    hashes: bytes
    times: bytes


class DecidedWindow:
    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.horizon_ms = -1
        self._known: set[int] = set()
        # The oldest stands at `_head`; what is before it is forgotten, and cut off now and then.
        self._hashes, self._times = array("Q"), array("q")
        self._head = 0

    def __len__(self) -> int:
        return len(self._hashes) - self._head

    def has_order(self, order_id: str) -> bool:
        return _hashed(b"order", order_id) in self._known

    def has_restock(self, event_id: str) -> bool:
        return _hashed(b"restock", event_id) in self._known

    def remember_order(self, order_id: str, decided_at_ms: int) -> None:
        self._remember(_hashed(b"order", order_id), decided_at_ms)

    def remember_restock(self, event_id: str, decided_at_ms: int) -> None:
        self._remember(_hashed(b"restock", event_id), decided_at_ms)

    def has_forgotten(self, time_ms: int) -> bool:
        """Whether what was decided at that time may have fallen out of the window."""
        return time_ms <= self.horizon_ms

    def resize(self, size_max: int) -> None:
        self.size_max = size_max
        self._forget_beyond_size()

    def state(self) -> WindowState:
        hashes, times = self._hashes[self._head :], self._times[self._head :]
        return WindowState(
            self.size_max, self.horizon_ms, _to_bytes(hashes), zlib.compress(_to_bytes(times), 1)
        )

    @classmethod
    def from_state(cls, state: WindowState) -> "DecidedWindow":
        """Raises ValueError or zlib.error for what no window has written."""
        window = cls(state.size_max)
        window.horizon_ms = state.horizon_ms
        window._hashes = _from_bytes("Q", state.hashes)
        window._times = _from_bytes("q", zlib.decompress(state.times))
        window._known = set(window._hashes)
        if len(window._hashes) != len(window._times):
            raise ValueError(f"{len(window._hashes)} hashes, {len(window._times)} times")
        return window

    def _remember(self, hashed: int, decided_at_ms: int) -> None:
        self._known.add(hashed)
        self._hashes.append(hashed)
        self._times.append(decided_at_ms)
        self._forget_beyond_size()

    def _forget_beyond_size(self) -> None:
        while len(self) > self.size_max:
            self._known.discard(self._hashes[self._head])
            self.horizon_ms = max(self.horizon_ms, self._times[self._head])
            self._head += 1
        if self._head > self.size_max:
            del self._hashes[: self._head], self._times[: self._head]
            self._head = 0


def _hashed(kind: bytes, text: str) -> int:
    # Not hash(): it differs from process to process, and the window is part of what is restored.
    digest = blake2b(text.encode(), digest_size=ID_HASH_BYTES, person=kind).digest()
    return int.from_bytes(digest, "big")


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
