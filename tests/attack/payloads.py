"""Hostile values by the place where they are used. Data only; framing.py and content.py use them."""

from tests.api.serving import TOKEN
from tests.attack.builder import CANARY

METHODS = (
    "post", "GET POST", "", "P\x00ST", "POST\t", "GE,T", "PRI", "TRACE", "TRACK", "CONNECT", "PUT", "PATCH",
    "DELETE", "OPTIONS", "HEAD", "PROPFIND", "M-SEARCH", "SOURCE", "QUERY", "BREW", "POST" * 300, "P\xd6ST",
    f"{CANARY}", "ORDER", "LINK",
)  # fmt: skip

TARGETS = (
    "*", "here:80", "http://here/order", "http://elsewhere/order", "HTTP://HERE/order", "http://",
    "http:///order", "https://u:p@here:99999/order", "//order", "/order/", "/./order", "/../order",
    "/order/../../etc/passwd", "/%6frder", "/%2forder", "/order%00", "/order%", "/order%zz", "/order%2",
    "/%c0%af", "/%ff%fe", "/%u0041", "/order;x=1", "/order?", "/order??&&==", "/order#fragment", "/order\\",
    "/order?q=%0d%0aX-Evil:%20yes", "/%0d%0aSet-Cookie:%20evil=1", "order", "", "?", "#", "/\xe9", "/\x7f",
    "/or der", "/order\t", "ftp://here/order", "javascript:alert(1)", "/" + "a" * 9000, "/?" + "q=1&" * 3000,
    "/" + "../" * 2000, "/" + "%41" * 4000, f"/{CANARY}", f"/orders/{CANARY}", "http://[::1]:80/order",
    "http://[::1/order", "/order?\x01",
)  # fmt: skip

VERSIONS = (
    "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/9.9", "HTTP/1.10", "HTTP/01.1", "HTTP/1.1 ",
    "http/1.1", "HTTP/1,1", "HTTP/1", "HTTP/", "", "ICE/1.0", "RTSP/1.0", "HTTP /1.1", "HTTPS/1.1",
    "HTTP/-1.1", "HTTP/1.1\x00", "HTTP/1.1x", f"{CANARY}/1.1",
)  # fmt: skip

LENGTHS = (
    "-1", "+5", "0x10", "1e3", "5,5", "5, 5", "5,6", "", " ", "five", "5 5", "5;", "\x0b5", "9" * 30,
    "9" * 5000, "18446744073709551616", "18446744073709551621", "4294967301", "2147483648", "0005", "05",
    "5.0", "٥", "5\x00", "1_0", "NaN", "٣",
)  # fmt: skip

CODINGS = (
    "Chunked", " chunked", "chunked ", "\tchunked", "\x0bchunked", "xchunked", "chunkedx", "chunke",
    "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked, identity",
    "identity, chunked", ",chunked", "chunked,", "chunked;q=1", '"chunked"', "", "chunked\x00", "chun\x00ked",
    "cow", "cow, chunked", "deflate,chunked",
)  # fmt: skip

CHUNK_SIZES = (
    b"-1", b"+5", b"0x5", b"5 ", b" 5", b"5;", b"5;a=b", b'5;a="b\rc"', b"5;" + b"x" * 20_000, b"G", b"",
    b"5\n", b"ffffffffffffffff", b"10000000000000000", b"100000000000000005", b"fffffffffffffffff0",
    b"7fffffffffffffff", b"80000000", b"00000000000000000000005", b"0" * 6000 + b"5", b"5\x00", b"5,5",
    b"5\t;a", b"\xd9\xa5", b"5;\x7f",
)  # fmt: skip

TRAILERS = (
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: elsewhere\r\n", b"X: y\r\n" * 500,
    b": x\r\n", b"X" * 30_000 + b": y\r\n", b"X : y\r\n", b" X: y\r\n", b"X\r\n", b"X: \x00\r\n", b"X: y\n",
    b"Connection: close\r\n", b"Content-Type: text/plain\r\n", b"Idempotency-Key: a\r\n",
)  # fmt: skip

FIELD_LINES = (
    b"X : y", b" X: y", b"\tX: y", b"X\t: y", b"X", b": y", b"", b"X: a\r\n b", b"X: a\r\n\tb", b"X: a\rb",
    b"X: a\nb", b"X: a\x00b", b"X\x00: a", b"X\xff: a", b"X: \xff\xfe", b"X: \x01\x02", b"X(: y", b"X y: z",
    b"X: a\r\n\r\n b", b"\xef\xbb\xbfX: y", b"X:", b"X: " + b"y" * 30_000, b"X" * 30_000 + b": y", b"X: y\r",
    b"X: y\r\r", b"Content-Length\x00: 5", b"Content_Length: 999", b"Content-Length : 999",
    b"Transfer-Encoding : chunked", b"Transfer_Encoding: chunked", b"\x0bTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"X: y\nContent-Length: 3",
    b"Connection: close\x0b", b"Connection: Content-Length", b"Connection: Transfer-Encoding", b"Host: there",
    b"Host: a b", b"Host:", b"Host: here/", b"Host: here@there", b"Host: " + b"h" * 9000, b"Host: \xff",
    b"Host: here:99999999", b"Host: [::1", b"Proxy: " + CANARY.encode(), b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQ", b"Connection: Upgrade, HTTP2-Settings", b"Trailer: Content-Length",
    b"TE: trailers, chunked", b"Keep-Alive: timeout=999999",
)  # fmt: skip

FIRST_BYTES = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00" * 100,
    b"\xff" * 100, b"SSH-2.0-OpenSSH_9.0\r\n", b"EHLO here\r\n", b"*1\r\n$4\r\nPING\r\n", b"\r\n" * 50,
    b"\n\n\n", b"\r\r\r", b" GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
    b"\xef\xbb\xbfGET / HTTP/1.1\r\n\r\n", b"GET /\r\n", b"GET\r\n\r\n", b"\t", b"{}\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\x80\x25\x01\x03\x01",
    b"GET  / HTTP/1.1\r\nHost: here\r\n\r\n",
)  # fmt: skip

SPLICED = (
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b"\x0b", b"\x0c", b"\x85", b"\xa0", b":", b",", b";",
    b"0\r\n\r\n", b"\r\n\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n",
    b"Content-Length: 40\r\n", b"Connection: close\r\n", b"Connection: keep-alive\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"ffffffff", b"HTTP/1.1",
    b"GET / HTTP/1.1\r\n", b"\xff", b'"', b"\\", b"%", b"%00", b"\xe2\x80\xa8", b"0", b"-", b"+",
)  # fmt: skip

TYPES = (
    "application/json; charset=utf-8", "application/json;charset=utf-16", "application/json; charset=latin-1",
    "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/JSON",
    "application/json;", "", "application/problem+json", "application/x-ndjson", "*/*",
    "application/json, text/plain", "application", f"text/{CANARY}", "application/json; charset=\"utf-8\"",
    "application/json; boundary=" + "x" * 5000, "application/json; charset=utf-7",
)  # fmt: skip

ENCODINGS = (
    "gzip", "deflate", "br", "zstd", "identity", "gzip, gzip", "", "x-gzip", "*", CANARY,
)  # fmt: skip

KEYS = (
    '"8e03978e-40d5-43e8-bc93-6894a57f9324"', "8e03978e", '""', '"', '"a', "a\"b", '"a\\"b"',
    '"' + "k" * 5000 + '"', f'"{CANARY}"', "", "\xff\xfe", '"\x01"', ":YQ==:", "?1", "-1", "'a'", '"a";p=1',
    '"a", "b"', "\t", '"%00"', "null",
)  # fmt: skip

PREFERENCES = (
    "wait=0", "wait=1", "wait=-1", "wait=999999999", "wait=0.1", "wait", "wait=", "wait=abc",
    "wait=1, wait=2", "WAIT=1", "respond-async", "respond-async, wait=0", "wait=1e9", "wait=" + "9" * 400,
    'wait="1"', "wait=٣", ";;;,,,", f"{CANARY}=1", "return=minimal", "wait =0", "handling=strict; wait=1",
    "wait=NaN", "wait=inf", "wait=1_0", "x" * 5000,
)  # fmt: skip

ACCEPTS = (
    "application/json", "*/*", "text/html", "application/*", "application/json;q=0", "*/*;q=0", "q=1", "",
    ",,,", "image/png", "application/json;q=2", "application/json;q=nan", "application/json;q=-1",
    "a/b," * 1500, f"text/{CANARY}", "*", "*/json", "application/problem+json",
    "text/html;level=1, application/json;q=0.0001", "application/json;q=" + "1" * 500,
)  # fmt: skip

AUTHORIZATIONS = (
    f"Bearer {TOKEN}", "Bearer x", "bearer", "Bearer ", "Basic YTpi", "Basic \xff", "Bearer " + "x" * 5000,
    f"Bearer {CANARY}", "", "Negotiate", "Bearer \x01", "Bearer a b c", "Bearer null", "Bearer é",
    "Digest username=\"a\"",
)  # fmt: skip

QUERIES = (
    "limit=0", "limit=-1", "limit=1", "limit=99999999999999999999", "limit=a", "limit=1.5", "limit=",
    "limit=1&limit=2", "limit=%31", "status=nope", "status=reserved", "status=RESERVED", "user_id=",
    "user_id=%00", "user_id=%ff", "user_id=" + "u" * 5000, "item=%0d%0a",
    "item=pizza&user_id=u1-1&status=accepted", f"unknown={CANARY}", "&&&", "=", "%", "limit=٣", "limit=1_0",
    "limit=+1", "item=%E2%80%A8", "user_id=a;item=b", "a" * 9000, "&".join(f"k{n}=1" for n in range(1200)),
    "item[]=1", "limit=0x10", "limit=1e2", "limit=%201",
)  # fmt: skip

SEGMENTS = (
    "x", "..", ".", "%2e%2e", "%2f", "%00", "%ff", "%0d%0aX:%20y", "00000000-0000-7000-8000-000000000000",
    "a" * 3000, CANARY, "%F0%9F%8D%95", "é", "null", "-1", "{id}", "<script>", "'%20OR%201=1--",
    "01890a5d-ac96-774b-bcce-b302099a8057", "%", "%c3%28", " ", "*", "~", "pizza",
)  # fmt: skip

PATHS = (
    "/orders", "/stock", "/openapi.json", "/docs", "/", "/order", "/problems/x", "/health", "/metrics",
    "/favicon.ico",
)  # fmt: skip

# Templates of a body; USER is replaced by a user of the attack.
BODIES = (
    b"", b" ", b"\n", b"null", b"true", b"1", b'"x"', b"[]", b"{}", b"[{}]", b"{", b"}", b"[", b"{]", b'{"',
    b'{"a"', b'{"a":', b"NaN", b"Infinity", b"-", b"00", b"01", b"1.", b".5", b"1e", b"'a'",
    b"\xff\xfe{\x00}\x00", b"\xfe\xff\x00{\x00}", b"\x00", b"\xc3\x28", b"\xed\xa0\x80",
    b'{"user_id":USER,"item":"pizza","quantity":NaN}', b'{"user_id":USER,"item":"pizza","quantity":1e0}',
    b'{"user_id":USER,"item":"pizza","quantity":1.0}', b'{"user_id":USER,"item":"pizza","quantity":1e400}',
    b'{"user_id":USER,"item":"pizza","quantity":-0}', b'{"user_id":USER,"item":"pizza","quantity":00001}',
    b'{"user_id":USER,"item":"pizza","quantity":0.99999999999999999999}',
    b'{"user_id":USER,"item":"pizza","quantity":1E+0}',
    b'{"user_id":USER,"item":"pizza","quantity":1,"quantity":2}',
    b'{"user_id":USER,"item":"pizza","quantity":"x","quantity":2}',
    b'{"user_id":"other","user_id":USER,"item":"pizza","quantity":1}',
    b'{"user_id":USER,"item":"pizza","quantity":1,}', b'{"user_id":USER,"item":"pizza","quantity":1}{}',
    b'{"user_id":USER,"item":"pizza","quantity":1}\x00',
    b'{"user_id":USER,"item":"pizza","quantity":1} // no',
    b'\xef\xbb\xbf{"user_id":USER,"item":"pizza","quantity":1}',
    b'{"user_id":USER,"item":"\\ud800","quantity":1}',
    b'{"user_id":USER,"item":"\\udc00\\ud800","quantity":1}',
    b'{"user_id":USER,"item":"\\u0000","quantity":1}', b'{"user_id":USER,"item":"\xff","quantity":1}',
    b'{"user_id":USER,"item":"\\x41","quantity":1}', b'{"user_id":USER,"item":"a\nb","quantity":1}',
    b'{"user_id":USER,"item":"pizza","quantity":1,"__proto__":{"a":1}}', b"{'user_id':USER}",
    b'{"user_id":USER,"item":"pizza","quantity":1,"order_id":"mine"}',
    b'{"USER_ID":USER,"item":"pizza","quantity":1}', b'{"user_id":USER,"item":"\\ud83c\\udf55","quantity":1}',
    b'{"user_id":USER,"item":"\xed\xa0\xbd\xed\xb8\x80","quantity":1}',
)  # fmt: skip

PATTERNS = ("/orders/{}", "/orders/{}/cancel", "/stock/{}", "/order/{}", "/problems/{}", "/{}")

# Instead of a field's valid value.
VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 101, 2**31, 2**63, 2**64, -(2**63), 10**300, 1.0, 1.5, 1e308, -0.0, "", "1",
    " ", "\x00", "\n", "\u202e", "\u2028", "\x1b[31m", "\x7f", "é" * 256, "é" * 257, "x" * 256, "x" * 257,
    "x" * 60_000, "🍕" * 256, "\ufeff", "\ufffe", [], {}, [1], {"a": 1}, [[[]]], "pizza\r\nX-Evil: yes",
    "${jndi:ldap://x}", "<script>alert(1)</script>", "' OR 1=1 --", "../../etc/passwd", "%s%n%x",
    "{0.__class__}", "NaN", "null", "\ud83c", f"{CANARY}",
)  # fmt: skip
