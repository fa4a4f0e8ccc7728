"""What an owner remembers of the ids it has decided: the last N, by 8 bytes of their hash.

An id within the window is never decided again. Of what fell out of it only one thing is known: it
was decided at or before `horizon`, so an order from after the horizon cannot be a forgotten one.
"""

from collections import deque
from hashlib import blake2b

WINDOW_ORDERS_DEFAULT = 100_000
ID_HASH_BYTES = 8


class DecidedWindow:
    def __init__(self, size_max: int) -> None:
        self.size_max = size_max
        self.horizon = ""  # the newest time that was forgotten; times sort as text
        self._known: set[int] = set()
        self._in_order: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._in_order)

    def has_order(self, order_id: str) -> bool:
        return _hashed(b"order", order_id) in self._known

    def has_restock(self, event_id: str) -> bool:
        return _hashed(b"restock", event_id) in self._known

    def remember_order(self, order_id: str, decided_at: str) -> None:
        self._remember(_hashed(b"order", order_id), decided_at)

    def remember_restock(self, event_id: str, decided_at: str) -> None:
        self._remember(_hashed(b"restock", event_id), decided_at)

    def has_forgotten(self, time: str) -> bool:
        """Whether what was decided at that time may have fallen out of the window."""
        return time <= self.horizon

    def resize(self, size_max: int) -> None:
        self.size_max = size_max
        self._forget_beyond_size()

    def _remember(self, hashed: int, decided_at: str) -> None:
        self._known.add(hashed)
        self._in_order.append((hashed, decided_at))
        self._forget_beyond_size()

    def _forget_beyond_size(self) -> None:
        while len(self._in_order) > self.size_max:
            hashed, decided_at = self._in_order.popleft()
            self._known.discard(hashed)
            self.horizon = max(self.horizon, decided_at)


def _hashed(kind: bytes, text: str) -> int:
    # Not hash(): it differs from process to process, and the window is part of what is restored.
    digest = blake2b(text.encode(), digest_size=ID_HASH_BYTES, person=kind).digest()
    return int.from_bytes(digest, "big")
