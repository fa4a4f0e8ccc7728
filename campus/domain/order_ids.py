"""Ids of orders and restocks: from the time, or from a client's idempotency key.

A keyed id is a function of the key and the request alone. So every process always gives the same id to the
same request, which is therefore decided once. Another request with the same key gets another id, so it is
never taken for the first. The first half of the id depends on the key alone: it shows that a key was reused.
"""

import re
from hashlib import blake2b

import msgspec

NOISE_BYTES = 10
# A UUID of version 8 (RFC 9562) has 122 free bits: 60 before the variant and 62 after it.
KEY_BITS, REQUEST_BITS = 60, 62
KEY_PART_CHARS = 18  # of the UUID as text: KEY_BITS, the version digit and two hyphens
_UUID8 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_order_id(now_ms: int, noise: bytes) -> str:
    """A UUID of version 7 (RFC 9562): later milliseconds sort last. `noise`: NOISE_BYTES random bytes."""
    free = int.from_bytes(noise, "big")
    return _as_uuid((now_ms << 80 | free) & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def keyed_order_id(key: str, *, user_id: str, item: str, quantity: int) -> str:
    return _keyed("order", key, (user_id, item, quantity))


def keyed_restock_id(key: str, *, item: str, quantity: int) -> str:
    return _keyed("restock", key, (item, quantity))


def key_part(order_id: str) -> str | None:
    """The part of a keyed id that depends on the key alone. None if the id is not keyed."""
    if order_id[14:15] != "8" or not _UUID8.fullmatch(order_id):  # the cheap test rejects nearly all
        return None
    return order_id[:KEY_PART_CHARS]


def _keyed(kind: str, key: str, request: tuple[str | int, ...]) -> str:
    # Both hashes are salted by the kind: one key for an order and for a restock does not count as reuse.
    key_hash = _hash(kind, b"key", key.encode()) >> 64 - KEY_BITS
    # As JSON, which is different for different requests. The salt "wish" is part of every id that was given.
    request_hash = _hash(kind, b"wish", msgspec.json.encode(request)) >> 64 - REQUEST_BITS
    head, tail = key_hash >> 12, key_hash & 0xFFF
    return _as_uuid(head << 80 | 0x8 << 76 | tail << 64 | 0x2 << 62 | request_hash)


def _hash(kind: str, part: bytes, data: bytes) -> int:
    digest = blake2b(data, digest_size=8, person=kind.encode(), salt=part).digest()
    return int.from_bytes(digest, "big")


def _as_uuid(value: int) -> str:
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
