"""Attacks on where a request begins and ends: request lines, lengths, chunks, line ends, floods."""

import json

from tests.attack import words
from tests.attack.pen import CANARY, HOST, JSON_TYPE, Pen, ViolationKind, chunked, request


def bad_method(pen: Pen) -> bytes:
    return pen.order(method=pen.word(words.METHODS)) + pen.goodbye()


def bad_target(pen: Pen) -> bytes:
    method = pen.word(("POST", "GET", "HEAD", "OPTIONS", "CONNECT"))
    return pen.order(method=method, path=pen.word(words.TARGETS)) + pen.goodbye()


def bad_version(pen: Pen) -> bytes:
    return request(f"GET / {pen.word(words.VERSIONS)}", [HOST]) + pen.goodbye()


def bad_length(pen: Pen) -> bytes:
    fields = [HOST, JSON_TYPE, ("Content-Length", pen.word(words.LENGTHS).encode().decode("latin-1"))]
    return request("POST /order HTTP/1.1", fields) + pen.hidden() + pen.hidden(ends=True)


def several_lengths(pen: Pen) -> bytes:
    """The order in one of them, another request in the other."""
    order = json.dumps(pen.fields_of_order()).encode()
    lengths = [str(len(order)), pen.word((str(len(order)), "0", "5", str(len(order) + 80)))]
    pen.random.shuffle(lengths)
    fields = [HOST, JSON_TYPE, *(("Content-Length", length) for length in lengths)]
    return request("POST /order HTTP/1.1", fields, order) + pen.hidden(ends=True)


def both_lengths(pen: Pen) -> bytes:
    """CL.TE and TE.CL, the classics."""
    coding = ("Transfer-Encoding", pen.word((*words.CODINGS, *["chunked"] * 20)).encode().decode("latin-1"))
    if pen.random.random() < 0.5:
        inner = b"0\r\n\r\n" + pen.hidden(ends=True)
        fields = [HOST, JSON_TYPE, ("Content-Length", str(len(inner))), coding]
    else:
        inner = chunked(pen.hidden(ends=True))
        fields = [HOST, JSON_TYPE, coding, ("Content-Length", "4")]
    return request("POST /order HTTP/1.1", fields, inner) + pen.hidden(ends=True)


def odd_coding(pen: Pen) -> bytes:
    coding = pen.word((*words.CODINGS, "chunked")).encode().decode("latin-1")
    body = chunked(json.dumps(pen.fields_of_order()).encode())
    version = pen.word(("HTTP/1.1", "HTTP/1.1", "HTTP/1.0"))
    fields = [HOST, JSON_TYPE, ("Transfer-Encoding", coding)]
    return request(f"POST /order {version}", fields, body) + pen.goodbye()


def several_codings(pen: Pen) -> bytes:
    body = chunked(json.dumps(pen.fields_of_order()).encode())
    fields = [
        HOST,
        JSON_TYPE,
        *(("Transfer-Encoding", pen.word(("chunked", *words.CODINGS[:8]))) for _ in range(2)),
    ]
    return request("POST /order HTTP/1.1", fields, body) + pen.goodbye()


def bad_chunk(pen: Pen) -> bytes:
    order = json.dumps(pen.fields_of_order()).encode()
    first = b"%x\r\n%s\r\n" % (len(order), order) if pen.random.random() < 0.5 else b""
    size = pen.random.choice(words.CHUNK_SIZES)
    end = pen.random.choice((b"\r\n", b"\r\n", b"\n", b"\r", b""))
    rest = size + end + b"hello" + pen.random.choice((b"\r\n", b"", b"\n", b"xx")) + b"0\r\n\r\n"
    return _chunked_post(first + rest) + pen.hidden(ends=True)


def many_chunks(pen: Pen) -> bytes:
    order = json.dumps(pen.fields_of_order()).encode()
    extension = pen.random.choice((b"", b";x", b";name=value", b';q="\\""'))
    chunks = b"".join(b"1%s\r\n%c\r\n" % (extension, byte) for byte in order)
    return _chunked_post(chunks + b"0\r\n\r\n") + pen.goodbye()


def chunk_flood(pen: Pen) -> bytes:
    return (
        _chunked_post(b"1\r\nx\r\n" * pen.random.choice((1000, 3000, 12_000))) + b"0\r\n\r\n" + pen.goodbye()
    )


def bad_trailer(pen: Pen) -> bytes:
    order = json.dumps(pen.fields_of_order()).encode()
    return _chunked_post(chunked(order, trailer=pen.random.choice(words.TRAILERS))) + pen.goodbye()


def bad_field(pen: Pen) -> bytes:
    line = pen.random.choice(words.FIELD_LINES)
    good = pen.order()
    lines = good.split(b"\r\n")
    lines.insert(pen.random.randint(1, 3), line)
    return b"\r\n".join(lines) + pen.goodbye()


def host(pen: Pen) -> bytes:
    """None, another, or several."""
    fields = [
        ("Host", pen.word(("here", "", "a b", "here:80", "here:x", "[::1]:80", "a,b", "a/b", "%00")))
        for _ in range(pen.random.choice((0, 1, 1, 2, 3)))
    ]
    body = json.dumps(pen.fields_of_order()).encode()
    return (
        request("POST /order HTTP/1.1", [*fields, JSON_TYPE, ("Content-Length", str(len(body)))], body)
        + pen.goodbye()
    )


def bare_line_ends(pen: Pen) -> bytes:
    """Every line end, or one of them, is none."""
    head, _, body = pen.order().partition(b"\r\n\r\n")
    end = pen.random.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\n"))
    if pen.random.random() < 0.5:
        return head.replace(b"\r\n", end) + end * 2 + body + pen.hidden(ends=True)
    lines = head.split(b"\r\n")
    at = pen.random.randrange(len(lines))
    return (
        b"\r\n".join(lines[: at + 1])
        + end
        + b"\r\n".join(lines[at + 1 :])
        + b"\r\n\r\n"
        + body
        + pen.hidden(ends=True)
    )


def no_http(pen: Pen) -> bytes:
    return pen.random.choice(words.FIRST_BYTES) + pen.hidden(ends=True)


def noise(pen: Pen) -> bytes:
    return pen.random.randbytes(pen.random.choice((1, 10, 100, 5000)))


def header_flood(pen: Pen) -> bytes:
    count, size = pen.random.choice(((70, 5), (2000, 20), (5000, 3), (3, 40_000), (60, 250)))
    fields = [(f"X-{n}", "y" * size) for n in range(count)]
    return pen.order(*fields) + pen.goodbye()


def pipelined(pen: Pen) -> bytes:
    """Good ones and bad ones in a row: each answer must be the answer to its own request."""
    many = (
        pen.order,
        lambda: pen.get("/nowhere"),
        lambda: pen.post(b"{}"),
        lambda: pen.get("/order", method="HEAD"),
        lambda: pen.get("/order", method="OPTIONS"),
        lambda: pen.post(b"[" * 500),
        lambda: b"\r\n" + pen.order(),
    )
    row = [pen.random.choice(many)() for _ in range(pen.random.choice((2, 5, 20, 90, 150)))]
    if pen.random.random() < 0.3:
        row.insert(pen.random.randrange(len(row)), pen.random.choice(words.FIRST_BYTES))
    return b"".join(row) + pen.goodbye()


def behind_a_close(pen: Pen) -> bytes:
    return pen.goodbye() + pen.random.choice((pen.hidden(), b"x", b"\r\n", b"\r\n\r\n\x00")) + pen.hidden()


def old_version(pen: Pen) -> bytes:
    keep = [("Connection", "keep-alive")] if pen.random.random() < 0.5 else []
    body = json.dumps(pen.fields_of_order()).encode()
    old = request("POST /order HTTP/1.0", [JSON_TYPE, *keep, ("Content-Length", str(len(body)))], body)
    return old + (pen.goodbye() if keep else pen.hidden())


def expects(pen: Pen) -> bytes:
    """Games with 100-continue: asked for and not waited for, with no body, twice, too large, misspelt."""
    word = pen.word(("100-continue", "100-Continue", "100-continue, 100-continue", "200-ok", "", CANARY))
    length = pen.word(("", "0", "99999999", "2"))
    if not length:
        return pen.order(("Expect", word)) + pen.goodbye()
    fields = [HOST, JSON_TYPE, ("Expect", word), ("Content-Length", length)]
    return request("POST /order HTTP/1.1", fields, b"{}" if length == "2" else b"") + pen.goodbye()


def upgrade(pen: Pen) -> bytes:
    to = pen.word(("websocket", "h2c", "TLS/1.2", CANARY))
    return pen.order(("Connection", "Upgrade"), ("Upgrade", to)) + pen.hidden()


def no_length(pen: Pen) -> bytes:
    method = pen.word(("POST", "PUT", "PATCH", "DELETE", "GET"))
    return request(f"{method} /order HTTP/1.1", [HOST, JSON_TYPE]) + pen.goodbye()


def body_on_get(pen: Pen) -> bytes:
    """A body where none is expected is still framed: what is in it is no request."""
    inner = pen.hidden()
    method = pen.word(("GET", "HEAD", "OPTIONS", "DELETE", "TRACE"))
    return (
        request(f"{method} /order HTTP/1.1", [HOST, ("Content-Length", str(len(inner)))], inner)
        + pen.goodbye()
    )


def mutated(pen: Pen) -> bytes:
    """Any of the others, with a few bytes cut out, doubled, changed or put in."""
    data = bytearray(pen.random.choice(KINDS)(pen)[:20_000])
    if not pen.random.randrange(3):
        data = bytearray(
            pen.order() + _chunked_post(chunked(json.dumps(pen.fields_of_order()).encode())) + pen.goodbye()
        )
    for _ in range(pen.random.randint(1, 4)):
        at = pen.random.randrange(len(data) + 1)
        span = slice(at, at + pen.random.choice((0, 1, 1, 2, 8)))
        change = pen.random.randrange(4)
        if change == 0:
            data[span] = b""
        elif change == 1:
            data[at:at] = data[span] * 2
        elif change == 2:
            data[span] = pen.random.randbytes(1)
        else:
            data[at:at] = pen.random.choice(words.SPLICED)
    return bytes(data)


def _chunked_post(body: bytes) -> bytes:
    return request("POST /order HTTP/1.1", [HOST, JSON_TYPE, ("Transfer-Encoding", "chunked")], body)


KINDS: tuple[ViolationKind, ...] = (
    bad_method, bad_target, bad_version, bad_length, several_lengths, both_lengths, odd_coding,
    several_codings, bad_chunk, many_chunks, chunk_flood, bad_trailer, bad_field, host, bare_line_ends,
    no_http, noise, header_flood, pipelined, behind_a_close, old_version, expects, upgrade, no_length,
    body_on_get,
)  # fmt: skip
