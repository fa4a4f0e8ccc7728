"""However the bytes of a connection are split into pieces, the responses are the same, byte for byte."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from campus.http.limits import Limits
from campus.http.protocol import Connection
from campus.http.state import ServerState
from tests.api.serving import a_request
from tests.http.serving import echo

CHUNKED = "Transfer-Encoding: chunked"
MESSAGES = (
    a_request(b"hello"),
    a_request(b"", method="GET", path="/a?b=c"),
    a_request(b"", method="HEAD"),
    a_request(b"x" * 300),
    a_request(b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nX-A: b\r\n\r\n", headers=(CHUNKED,)),
    a_request(b"5\r\nhello\r\nnonsense\r\n", headers=(CHUNKED,)),
    a_request(b"hello", headers=("Content-Length: 5", "Connection: upgrade", "Upgrade: h2c")),
    a_request(b"2\r\nhi\r\n0\r\n\r\n", headers=(CHUNKED, "Connection: upgrade", "Upgrade: h2c")),
    a_request(b"hello", headers=("Content-Length: 5", "Expect: 100-continue")),
    a_request(b"hello", headers=("Connection: close",)),
    a_request(b"hello").replace(b"HTTP/1.1", b"HTTP/1.0"),
    a_request(b"hello", headers=("Content-Length: 5", CHUNKED)),
    b"POST / HTTP/1.1\r\nHost: here\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / RTSP/1.0\r\nHost: here\r\n\r\n",
    b"SOURCE / ICE/1.0\r\nHost: here\r\n\r\n",
    b"\r\n",
    b"nonsense\r\n\r\n",
)
TOO_MUCH = (
    a_request(b"x" * 501),
    a_request(b"hello", headers=["X-A: b"] * 30),
    a_request(b"hello", path="/" + "x" * 5000),
)


class Wire:
    """A transport that records what is written."""

    def __init__(self):
        self.written = b""

    def get_extra_info(self, _name):
        return ("127.0.0.1", 80)

    def write(self, data):
        self.written += data

    def write_eof(self):
        self.written += b"<end>"

    def is_closing(self):
        return False


def answers(pieces):
    """The response bytes, without 100 Continue, which depends on how the bytes are split."""
    service = ServerState(echo, Limits(body_bytes_max=500, headers_max=20, head_bytes_max=4096), lambda: 0.0)
    service.date = "date: now\r\n"
    connections = set()
    connection, wire = Connection(service, connections), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        connection.data_received(piece)
    connection.connection_lost(None)
    assert not service.body_bytes, "body bytes were not given back"
    assert not connections
    return wire.written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")


def test_a_connection_made_while_the_server_drains_is_refused_and_closed():
    service = ServerState(echo, Limits(), lambda: 0.0)
    service.draining = True
    connection, wire = Connection(service, set()), Wire()
    connection.connection_made(wire)
    connection.data_received(a_request(b"hello"))
    assert wire.written.count(b"HTTP/1.1 ") == 1
    assert b"/problems/stopping" in wire.written
    assert wire.written.endswith(b"<end>")


def cut(whole, positions):
    edges = [0, *sorted({at % (len(whole) + 1) for at in positions}), len(whole)]
    return [whole[begin:end] for begin, end in pairwise(edges) if begin < end]


@given(
    st.lists(st.sampled_from(MESSAGES + TOO_MUCH), max_size=5), st.lists(st.integers(0, 20_000), max_size=12)
)
def test_responses_do_not_depend_on_how_the_bytes_are_split(messages, positions):
    whole = b"".join(messages)
    assert answers(cut(whole, positions)) == answers([whole] if whole else [])


@given(st.lists(st.sampled_from(MESSAGES + TOO_MUCH), min_size=1, max_size=2))
def test_responses_are_the_same_when_bytes_arrive_one_by_one(messages):
    whole = b"".join(messages)
    assert answers(whole[n : n + 1] for n in range(len(whole))) == answers([whole])


@given(
    st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4),
    st.lists(st.integers(0, 5000), max_size=4),
)
@example(
    [a_request(b"", method="HEAD")], [(len("HEAD /"), 0)], [len("HEAD /")]
)  # between a good part of the URL and a bad one
def test_corrupted_bytes_get_the_same_responses_however_they_are_split(messages, changes, positions):
    whole = bytearray(b"".join(messages))
    for at, byte in changes:
        whole[at % len(whole)] = byte
    assert answers(cut(bytes(whole), positions)) == answers([bytes(whole)])
