"""Attacks inside well-framed requests: bodies, JSON, headers that the API reads, paths and queries."""

import gzip
import json
import zlib

from tests.attack import payloads
from tests.attack.builder import Kind, RequestBuilder


def bad_body(builder: RequestBuilder) -> bytes:
    return _closed(builder, builder.post(_with_user(builder, builder.random.choice(payloads.BODIES))))


def odd_value(builder: RequestBuilder) -> bytes:
    order = builder.fields_of_order()
    name = builder.random.choice((*order, "more", ""))
    order[name] = builder.random.choice(payloads.VALUES)
    if not builder.random.randrange(4):
        del order[builder.random.choice(tuple(order))]
    text = json.dumps(order, ensure_ascii=builder.random.random() < 0.5)
    return _closed(builder, builder.post(text.encode("utf-8", "surrogatepass")))


def deep_or_wide(builder: RequestBuilder) -> bytes:
    opening, closing = builder.random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"user_id":', b"}]")))
    depth = builder.random.choice((10, 500, 1100, 8000))
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
    body = builder.random.choice(bodies)
    return _closed(builder, builder.post(body, path=builder.pick(("/order", "/orders"))))


def too_large(builder: RequestBuilder) -> bytes:
    return _closed(
        builder,
        builder.post(b'{"user_id":"' + b"x" * builder.random.choice((65_536, 200_000, 3_000_000)) + b'"}'),
    )


def in_another_charset(builder: RequestBuilder) -> bytes:
    text = json.dumps({**builder.fields_of_order(), "item": "crêpe"}, ensure_ascii=False)
    charset = builder.pick(("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7", "cp037", "utf-8-sig"))
    return _closed(builder, builder.post(text.encode(charset)))


def compressed(builder: RequestBuilder) -> bytes:
    text = json.dumps(builder.fields_of_order()).encode()
    bomb = (
        gzip.compress(b" " * 5_000_000, mtime=0)
        if not builder.random.randrange(5)
        else gzip.compress(text, mtime=0)
    )
    body = builder.random.choice((bomb, zlib.compress(text), text))
    return _closed(builder, builder.post(body, ("Content-Encoding", builder.pick(payloads.ENCODINGS))))


def odd_type(builder: RequestBuilder) -> bytes:
    body = json.dumps(builder.fields_of_order()).encode()
    fields = [
        ("Content-Type", builder.pick(payloads.TYPES)) for _ in range(builder.random.choice((0, 1, 1, 2)))
    ]
    return _closed(builder, builder.post(body, *fields, typed=False))


def odd_header(builder: RequestBuilder) -> bytes:
    odd = {
        "Idempotency-Key": payloads.KEYS,
        "Prefer": payloads.PREFERENCES,
        "Accept": payloads.ACCEPTS,
        "Authorization": payloads.AUTHORIZATIONS,
    }
    name = builder.pick(tuple(odd))
    fields = [
        (name, builder.pick(odd[name]).encode().decode("latin-1"))
        for _ in range(builder.random.choice((1, 1, 1, 2)))
    ]
    path = builder.pick(("/order", "/order", "/orders", "/stock/pizza", "/orders/x/cancel"))
    return _closed(builder, builder.order(*fields, path=path))


def same_key(builder: RequestBuilder) -> bytes:
    """The same key for the same order and for another one."""
    key = ("Idempotency-Key", f'"k{builder.random.randrange(10**9)}"')
    body = json.dumps(builder.fields_of_order()).encode()
    return _closed(
        builder, builder.post(body, key), builder.post(body, key), builder.order(key), builder.post(body, key)
    )


def odd_query(builder: RequestBuilder) -> bytes:
    path = f"{builder.pick(payloads.PATHS)}?{builder.pick(payloads.QUERIES)}".encode().decode("latin-1")
    return _closed(builder, builder.get(path, method=builder.pick(("GET", "GET", "HEAD", "POST"))))


def odd_path(builder: RequestBuilder) -> bytes:
    path = (
        builder.pick(payloads.PATTERNS)
        .format(builder.pick(payloads.SEGMENTS))
        .encode()
        .decode("latin-1")
        .replace(" ", "%20")
    )
    method = builder.pick(("GET", "HEAD", "POST", "OPTIONS", "DELETE", "PUT"))
    body = (
        b""
        if method in ("GET", "HEAD", "OPTIONS")
        else builder.random.choice((b"", b"{}", b'{"quantity":1}', b"null"))
    )
    return _closed(builder, builder.post(body, method=method, path=path))


def batch(builder: RequestBuilder) -> bytes:
    """Good and bad orders together: a bad one must neither lose nor admit another."""
    orders: list[object] = [builder.fields_of_order() for _ in range(builder.random.choice((1, 3, 50)))]
    for _ in range(builder.random.randrange(4)):
        orders.insert(builder.random.randrange(len(orders)), builder.random.choice(payloads.VALUES))
    if not builder.random.randrange(6):
        orders = orders[:1] * 1001
    lines = [json.dumps(order) for order in orders]
    if builder.random.random() < 0.5:
        body = ("[" + ",".join(lines) + builder.pick(("]", "]", "]", "", ",]", "]x"))).encode()
        return _closed(builder, builder.post(body, path="/orders"))
    body = builder.pick(("\n", "\n", "\r\n", "\n\n", "\r", "\x1e")).join(
        lines
    ).encode() + builder.random.choice((b"", b"\n", b"\xff", b"{"))
    return _closed(
        builder, builder.post(body, ("Content-Type", "application/x-ndjson"), path="/orders", typed=False)
    )


def _with_user(builder: RequestBuilder, template: bytes) -> bytes:
    return template.replace(b"USER", json.dumps(builder.fields_of_order()["user_id"]).encode())


def _closed(builder: RequestBuilder, *requests: bytes) -> bytes:
    return b"".join(requests) + builder.goodbye()


KINDS: tuple[Kind, ...] = (
    bad_body, odd_value, deep_or_wide, too_large, in_another_charset, compressed, odd_type, odd_header,
    odd_header, same_key, odd_query, odd_path, batch,
)  # fmt: skip
