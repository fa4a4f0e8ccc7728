"""Attacks on where a request begins and ends: request lines, lengths, chunks, line ends, floods."""

import json

from tests.attack import payloads
from tests.attack.builder import CANARY, HOST, JSON_TYPE, Kind, RequestBuilder, chunked, request


def bad_method(builder: RequestBuilder) -> bytes:
    return builder.order(method=builder.pick(payloads.METHODS)) + builder.goodbye()


def bad_target(builder: RequestBuilder) -> bytes:
    method = builder.pick(("POST", "GET", "HEAD", "OPTIONS", "CONNECT"))
    return builder.order(method=method, path=builder.pick(payloads.TARGETS)) + builder.goodbye()


def bad_version(builder: RequestBuilder) -> bytes:
    return request(f"GET / {builder.pick(payloads.VERSIONS)}", [HOST]) + builder.goodbye()


def bad_length(builder: RequestBuilder) -> bytes:
    fields = [HOST, JSON_TYPE, ("Content-Length", builder.pick(payloads.LENGTHS).encode().decode("latin-1"))]
    return request("POST /order HTTP/1.1", fields) + builder.hidden() + builder.hidden(ends=True)


def several_lengths(builder: RequestBuilder) -> bytes:
    """With one of the lengths it is an order, with the other an order and another request."""
    order = json.dumps(builder.fields_of_order()).encode()
    lengths = [str(len(order)), builder.pick((str(len(order)), "0", "5", str(len(order) + 80)))]
    builder.random.shuffle(lengths)
    fields = [HOST, JSON_TYPE, *(("Content-Length", length) for length in lengths)]
    return request("POST /order HTTP/1.1", fields, order) + builder.hidden(ends=True)


def both_lengths(builder: RequestBuilder) -> bytes:
    """CL.TE and TE.CL, the classics."""
    coding = (
        "Transfer-Encoding",
        builder.pick((*payloads.CODINGS, *["chunked"] * 20)).encode().decode("latin-1"),
    )
    if builder.random.random() < 0.5:
        inner = b"0\r\n\r\n" + builder.hidden(ends=True)
        fields = [HOST, JSON_TYPE, ("Content-Length", str(len(inner))), coding]
    else:
        inner = chunked(builder.hidden(ends=True))
        fields = [HOST, JSON_TYPE, coding, ("Content-Length", "4")]
    return request("POST /order HTTP/1.1", fields, inner) + builder.hidden(ends=True)


def odd_coding(builder: RequestBuilder) -> bytes:
    coding = builder.pick((*payloads.CODINGS, "chunked")).encode().decode("latin-1")
    body = chunked(json.dumps(builder.fields_of_order()).encode())
    version = builder.pick(("HTTP/1.1", "HTTP/1.1", "HTTP/1.0"))
    fields = [HOST, JSON_TYPE, ("Transfer-Encoding", coding)]
    return request(f"POST /order {version}", fields, body) + builder.goodbye()


def several_codings(builder: RequestBuilder) -> bytes:
    body = chunked(json.dumps(builder.fields_of_order()).encode())
    fields = [
        HOST,
        JSON_TYPE,
        *(("Transfer-Encoding", builder.pick(("chunked", *payloads.CODINGS[:8]))) for _ in range(2)),
    ]
    return request("POST /order HTTP/1.1", fields, body) + builder.goodbye()


def bad_chunk(builder: RequestBuilder) -> bytes:
    order = json.dumps(builder.fields_of_order()).encode()
    first = b"%x\r\n%s\r\n" % (len(order), order) if builder.random.random() < 0.5 else b""
    size = builder.random.choice(payloads.CHUNK_SIZES)
    end = builder.random.choice((b"\r\n", b"\r\n", b"\n", b"\r", b""))
    rest = size + end + b"hello" + builder.random.choice((b"\r\n", b"", b"\n", b"xx")) + b"0\r\n\r\n"
    return _chunked_post(first + rest) + builder.hidden(ends=True)


def many_chunks(builder: RequestBuilder) -> bytes:
    order = json.dumps(builder.fields_of_order()).encode()
    extension = builder.random.choice((b"", b";x", b";name=value", b';q="\\""'))
    chunks = b"".join(b"1%s\r\n%c\r\n" % (extension, byte) for byte in order)
    return _chunked_post(chunks + b"0\r\n\r\n") + builder.goodbye()


def chunk_flood(builder: RequestBuilder) -> bytes:
    return (
        _chunked_post(b"1\r\nx\r\n" * builder.random.choice((1000, 3000, 12_000)))
        + b"0\r\n\r\n"
        + builder.goodbye()
    )


def bad_trailer(builder: RequestBuilder) -> bytes:
    order = json.dumps(builder.fields_of_order()).encode()
    return _chunked_post(chunked(order, trailer=builder.random.choice(payloads.TRAILERS))) + builder.goodbye()


def bad_field(builder: RequestBuilder) -> bytes:
    line = builder.random.choice(payloads.FIELD_LINES)
    good = builder.order()
    lines = good.split(b"\r\n")
    lines.insert(builder.random.randint(1, 3), line)
    return b"\r\n".join(lines) + builder.goodbye()


def host(builder: RequestBuilder) -> bytes:
    """No Host header, another one, or several."""
    fields = [
        ("Host", builder.pick(("here", "", "a b", "here:80", "here:x", "[::1]:80", "a,b", "a/b", "%00")))
        for _ in range(builder.random.choice((0, 1, 1, 2, 3)))
    ]
    body = json.dumps(builder.fields_of_order()).encode()
    return (
        request("POST /order HTTP/1.1", [*fields, JSON_TYPE, ("Content-Length", str(len(body)))], body)
        + builder.goodbye()
    )


def bare_line_ends(builder: RequestBuilder) -> bytes:
    """Every line end, or one of them, is not CR LF."""
    head, _, body = builder.order().partition(b"\r\n\r\n")
    end = builder.random.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\n"))
    if builder.random.random() < 0.5:
        return head.replace(b"\r\n", end) + end * 2 + body + builder.hidden(ends=True)
    lines = head.split(b"\r\n")
    at = builder.random.randrange(len(lines))
    return (
        b"\r\n".join(lines[: at + 1])
        + end
        + b"\r\n".join(lines[at + 1 :])
        + b"\r\n\r\n"
        + body
        + builder.hidden(ends=True)
    )


def no_http(builder: RequestBuilder) -> bytes:
    return builder.random.choice(payloads.FIRST_BYTES) + builder.hidden(ends=True)


def noise(builder: RequestBuilder) -> bytes:
    return builder.random.randbytes(builder.random.choice((1, 10, 100, 5000)))


def header_flood(builder: RequestBuilder) -> bytes:
    count, size = builder.random.choice(((70, 5), (2000, 20), (5000, 3), (3, 40_000), (60, 250)))
    fields = [(f"X-{n}", "y" * size) for n in range(count)]
    return builder.order(*fields) + builder.goodbye()


def pipelined(builder: RequestBuilder) -> bytes:
    """Good and bad requests in a row: each response must belong to its own request."""
    many = (
        builder.order,
        lambda: builder.get("/nowhere"),
        lambda: builder.post(b"{}"),
        lambda: builder.get("/order", method="HEAD"),
        lambda: builder.get("/order", method="OPTIONS"),
        lambda: builder.post(b"[" * 500),
        lambda: b"\r\n" + builder.order(),
    )
    row = [builder.random.choice(many)() for _ in range(builder.random.choice((2, 5, 20, 90, 150)))]
    if builder.random.random() < 0.3:
        row.insert(builder.random.randrange(len(row)), builder.random.choice(payloads.FIRST_BYTES))
    return b"".join(row) + builder.goodbye()


def behind_a_close(builder: RequestBuilder) -> bytes:
    return (
        builder.goodbye()
        + builder.random.choice((builder.hidden(), b"x", b"\r\n", b"\r\n\r\n\x00"))
        + builder.hidden()
    )


def old_version(builder: RequestBuilder) -> bytes:
    keep = [("Connection", "keep-alive")] if builder.random.random() < 0.5 else []
    body = json.dumps(builder.fields_of_order()).encode()
    old = request("POST /order HTTP/1.0", [JSON_TYPE, *keep, ("Content-Length", str(len(body)))], body)
    return old + (builder.goodbye() if keep else builder.hidden())


def expects(builder: RequestBuilder) -> bytes:
    """Expect: not waited for, without a body, repeated, with a too large body, or misspelt."""
    word = builder.pick(("100-continue", "100-Continue", "100-continue, 100-continue", "200-ok", "", CANARY))
    length = builder.pick(("", "0", "99999999", "2"))
    if not length:
        return builder.order(("Expect", word)) + builder.goodbye()
    fields = [HOST, JSON_TYPE, ("Expect", word), ("Content-Length", length)]
    return request("POST /order HTTP/1.1", fields, b"{}" if length == "2" else b"") + builder.goodbye()


def upgrade(builder: RequestBuilder) -> bytes:
    to = builder.pick(("websocket", "h2c", "TLS/1.2", CANARY))
    return builder.order(("Connection", "Upgrade"), ("Upgrade", to)) + builder.hidden()


def no_length(builder: RequestBuilder) -> bytes:
    method = builder.pick(("POST", "PUT", "PATCH", "DELETE", "GET"))
    return request(f"{method} /order HTTP/1.1", [HOST, JSON_TYPE]) + builder.goodbye()


def body_on_get(builder: RequestBuilder) -> bytes:
    """A body where none is expected is still framed; its content is not a request."""
    inner = builder.hidden()
    method = builder.pick(("GET", "HEAD", "OPTIONS", "DELETE", "TRACE"))
    return (
        request(f"{method} /order HTTP/1.1", [HOST, ("Content-Length", str(len(inner)))], inner)
        + builder.goodbye()
    )


def mutated(builder: RequestBuilder) -> bytes:
    """Any of the others with a few bytes removed, doubled, changed or inserted."""
    data = bytearray(builder.random.choice(KINDS)(builder)[:20_000])
    if not builder.random.randrange(3):
        data = bytearray(
            builder.order()
            + _chunked_post(chunked(json.dumps(builder.fields_of_order()).encode()))
            + builder.goodbye()
        )
    for _ in range(builder.random.randint(1, 4)):
        at = builder.random.randrange(len(data) + 1)
        span = slice(at, at + builder.random.choice((0, 1, 1, 2, 8)))
        change = builder.random.randrange(4)
        if change == 0:
            data[span] = b""
        elif change == 1:
            data[at:at] = data[span] * 2
        elif change == 2:
            data[span] = builder.random.randbytes(1)
        else:
            data[at:at] = builder.random.choice(payloads.SPLICED)
    return bytes(data)


def _chunked_post(body: bytes) -> bytes:
    return request("POST /order HTTP/1.1", [HOST, JSON_TYPE, ("Transfer-Encoding", "chunked")], body)


KINDS: tuple[Kind, ...] = (
    bad_method, bad_target, bad_version, bad_length, several_lengths, both_lengths, odd_coding,
    several_codings, bad_chunk, many_chunks, chunk_flood, bad_trailer, bad_field, host, bare_line_ends,
    no_http, noise, header_flood, pipelined, behind_a_close, old_version, expects, upgrade, no_length,
    body_on_get,
)  # fmt: skip
