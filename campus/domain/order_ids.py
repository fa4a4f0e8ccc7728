"""The ids that orders and restocks are given: by time, or by a client's key, and then always the same.

A keyed id is made of the key and of what is asked, and of nothing else. So any process at any time gives the
same id to the same wish, which is decided once; another wish under the same key gets another id, so that it
never passes for the first; and the half that only the key makes betrays that the key was used twice.
"""

import re
from hashlib import blake2b
from typing import Literal, TypeAlias

import msgspec

NOISE_BYTES = 10
# Of a UUID of version 8 (RFC 9562) 122 bits are free: 60 before the variant, 62 behind it.
KEY_BITS, WISH_BITS = 60, 62
KEY_PART_CHARS = 18  # as they are written, the version and two hyphens among them
_UUID8 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# What a key is for: the same key for an order and for a restock is no key that was used twice.
Kind: TypeAlias = Literal["order", "restock"]


def new_order_id(now_ms: int, noise: bytes) -> str:
    """A UUID of version 7 (RFC 9562): ids of later milliseconds sort after those of earlier ones."""
    free = int.from_bytes(noise, "big")
    return _written((now_ms << 80 | free) & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)


def keyed_order_id(key: str, *, user_id: str, item: str, quantity: int) -> str:
    return _keyed("order", key, (user_id, item, quantity))


def keyed_restock_id(key: str, *, item: str, quantity: int) -> str:
    return _keyed("restock", key, (item, quantity))


def key_part(order_id: str) -> str | None:
    """What only the key has made of it; None for an id that no key has made."""
    if order_id[14:15] != "8" or not _UUID8.fullmatch(order_id):  # nearly all end at the first
        return None
    return order_id[:KEY_PART_CHARS]


def _keyed(kind: Kind, key: str, wish: tuple[str | int, ...]) -> str:
    # As JSON, in which no two different wishes look the same.
    of_key = _hashed(kind, b"key", key.encode()) >> 64 - KEY_BITS
    of_wish = _hashed(kind, b"wish", msgspec.json.encode(wish)) >> 64 - WISH_BITS
    head, tail = of_key >> 12, of_key & 0xFFF
    return _written(head << 80 | 0x8 << 76 | tail << 64 | 0x2 << 62 | of_wish)


def _hashed(kind: Kind, part: bytes, data: bytes) -> int:
    digest = blake2b(data, digest_size=8, person=kind.encode(), salt=part).digest()
    return int.from_bytes(digest, "big")


def _written(value: int) -> str:
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
