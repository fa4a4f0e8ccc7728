"""Attacks inside well-framed requests: bodies, JSON, headers that the API reads, paths and queries."""

import gzip
import json
import zlib

from tests.attack import words
from tests.attack.pen import Pen, ViolationKind


def bad_body(pen: Pen) -> bytes:
    return _closed(pen, pen.post(_with_user(pen, pen.random.choice(words.BODIES))))


def odd_value(pen: Pen) -> bytes:
    order = pen.fields_of_order()
    name = pen.random.choice((*order, "more", ""))
    order[name] = pen.random.choice(words.VALUES)
    if not pen.random.randrange(4):
        del order[pen.random.choice(tuple(order))]
    text = json.dumps(order, ensure_ascii=pen.random.random() < 0.5)
    return _closed(pen, pen.post(text.encode("utf-8", "surrogatepass")))


def deep_or_wide(pen: Pen) -> bytes:
    opening, closing = pen.random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"user_id":', b"}]")))
    depth = pen.random.choice((10, 500, 1100, 8000))
    nested = opening * depth + b"1" + closing * depth
    bodies = (
        nested,
        nested[: len(nested) // 2],
        b'{"user_id":' + nested + b"}",
        b"{" + b",".join(b'"k%d":1' % n for n in range(5000)) + b"}",
        b"[" + b"1," * 20_000 + b"1]",
        b"9" * 60_000,
        b'"' + b"\\u0041" * 9000 + b'"',
        b" " * 65_000 + b"{}",
    )
    body = pen.random.choice(bodies)
    return _closed(pen, pen.post(body, path=pen.word(("/order", "/orders"))))


def too_large(pen: Pen) -> bytes:
    return _closed(
        pen, pen.post(b'{"user_id":"' + b"x" * pen.random.choice((65_536, 200_000, 3_000_000)) + b'"}')
    )


def in_another_charset(pen: Pen) -> bytes:
    text = json.dumps({**pen.fields_of_order(), "item": "crêpe"}, ensure_ascii=False)
    charset = pen.word(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "cp037", "utf-8-sig"))
    return _closed(pen, pen.post(text.encode(charset)))


def compressed(pen: Pen) -> bytes:
    text = json.dumps(pen.fields_of_order()).encode()
    bomb = gzip.compress(b" " * 5_000_000) if not pen.random.randrange(5) else gzip.compress(text)
    body = pen.random.choice((bomb, zlib.compress(text), text))
    return _closed(pen, pen.post(body, ("Content-Encoding", pen.word(words.ENCODINGS))))


def odd_type(pen: Pen) -> bytes:
    body = json.dumps(pen.fields_of_order()).encode()
    fields = [("Content-Type", pen.word(words.TYPES)) for _ in range(pen.random.choice((0, 1, 1, 2)))]
    return _closed(pen, pen.post(body, *fields, typed=False))


def odd_header(pen: Pen) -> bytes:
    odd = {
        "Idempotency-Key": words.KEYS,
        "Prefer": words.PREFERENCES,
        "Accept": words.ACCEPTS,
        "Authorization": words.AUTHORIZATIONS,
    }
    name = pen.word(tuple(odd))
    fields = [
        (name, pen.word(odd[name]).encode().decode("latin-1")) for _ in range(pen.random.choice((1, 1, 1, 2)))
    ]
    path = pen.word(("/order", "/order", "/orders", "/stock/pizza", "/orders/x/cancel"))
    return _closed(pen, pen.order(*fields, path=path))


def same_key(pen: Pen) -> bytes:
    """The same key for the same order, and for another."""
    key = ("Idempotency-Key", f'"k{pen.random.randrange(10**9)}"')
    body = json.dumps(pen.fields_of_order()).encode()
    return _closed(pen, pen.post(body, key), pen.post(body, key), pen.order(key), pen.post(body, key))


def odd_query(pen: Pen) -> bytes:
    path = f"{pen.word(words.PATHS)}?{pen.word(words.QUERIES)}".encode().decode("latin-1")
    return _closed(pen, pen.get(path, method=pen.word(("GET", "GET", "HEAD", "POST"))))


def odd_path(pen: Pen) -> bytes:
    path = (
        pen.word(words.PATTERNS)
        .format(pen.word(words.SEGMENTS))
        .encode()
        .decode("latin-1")
        .replace(" ", "%20")
    )
    method = pen.word(("GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT"))
    body = (
        b""
        if method in ("GET", "HEAD", "OPTIONS")
        else pen.random.choice((b"", b"{}", b'{"quantity":1}', b"null"))
    )
    return _closed(pen, pen.post(body, method=method, path=path))


def batch(pen: Pen) -> bytes:
    """Good and bad orders together: one bad one must not lose, and not let through, another."""
    orders: list[object] = [pen.fields_of_order() for _ in range(pen.random.choice((1, 3, 50)))]
    for _ in range(pen.random.randrange(4)):
        orders.insert(pen.random.randrange(len(orders)), pen.random.choice(words.VALUES))
    if not pen.random.randrange(6):
        orders = orders[:1] * 1001
    lines = [json.dumps(order) for order in orders]
    if pen.random.random() < 0.5:
        body = ("[" + ",".join(lines) + pen.word(("]", "]", "]", "", ",]", "]x"))).encode()
        return _closed(pen, pen.post(body, path="/orders"))
    body = pen.word(("\n", "\n", "\r\n", "\n\n", "\r", "\x1e")).join(lines).encode() + pen.random.choice(
        (b"", b"\n", b"\xff", b"{")
    )
    return _closed(pen, pen.post(body, ("Content-Type", "application/x-ndjson"), path="/orders", typed=False))


def _with_user(pen: Pen, template: bytes) -> bytes:
    return template.replace(b"USER", json.dumps(pen.fields_of_order()["user_id"]).encode())


def _closed(pen: Pen, *requests: bytes) -> bytes:
    return b"".join(requests) + pen.goodbye()


KINDS: tuple[ViolationKind, ...] = (
    bad_body, odd_value, deep_or_wide, too_large, in_another_charset, compressed, odd_type, odd_header,
    odd_header, same_key, odd_query, odd_path, batch,
)  # fmt: skip
