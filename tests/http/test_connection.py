"""Connections: accepted, kept open, half-closed, and closed."""

import socket
import struct
import threading

import pytest

from campus.addresses import Address
from campus.http.limits import Limits
from campus.http.protocol import Connection
from campus.http.server import HttpServer, listen
from campus.http.state import ServerState
from tests.api.serving import Client, Running, a_request, soon
from tests.http.serving import CountingApp, a_service, texts


@pytest.mark.parametrize(
    ("version", "options", "expected"),
    [
        ("1.1", None, None),
        ("1.1", "keep-alive", None),
        ("1.1", "close", "close"),
        ("1.1", "Close", "close"),
        ("1.1", "keep-alive, close", "close"),
        ("1.1", "close, x", "close"),
        ("1.0", None, "close"),
        ("1.0", "keep-alive", "keep-alive"),
    ],
)
def test_keep_alive_follows_the_version_and_the_connection_header(version, options, expected):
    headers = () if options is None else (f"Connection: {options}",)
    request = a_request(headers=headers).replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)
    with a_service(CountingApp()) as served:
        client = served.client().send(request)
        assert client.answer().headers.get("connection") == expected
        if expected == "close":
            assert client.is_closed()
        else:
            assert client.send(request).answer().text == b"2"


def test_nothing_is_read_after_a_request_with_connection_close():
    app = CountingApp()
    with a_service(app) as served:
        client = served.client().send(a_request(headers=("Connection: close",)) + a_request() + b"nonsense")
        assert client.answer().text == b"1"
        assert client.is_closed()
    assert len(app.bodies) == 1


def test_a_half_closed_client_still_gets_its_responses():
    app = CountingApp()
    with a_service(app) as served:
        client = served.client().send(a_request(path="/held") + a_request())
        client.socket.shutdown(socket.SHUT_WR)
        soon(lambda: app.held)
        served.in_the_loop(app.held[0].release)
        assert texts(client, 2) == [b"1", b"2"]
        assert client.is_closed()


def test_simultaneous_connections_are_all_accepted_before_any_request_is_handled(monkeypatch):
    events, begun, go_on = [], threading.Event(), threading.Event()
    made, answer = Connection.connection_made, ServerState.handle
    monkeypatch.setattr(
        Connection,
        "connection_made",
        lambda self, transport: (events.append("made"), made(self, transport))[1],
    )
    monkeypatch.setattr(
        ServerState, "handle", lambda self, request: (events.append("answer"), answer(self, request))[1]
    )
    with a_service(CountingApp()) as served:
        served.ask(a_request())
        events.clear()
        served.server.call_soon(lambda: (begun.set(), go_on.wait(5)))
        assert begun.wait(5)
        clients = [served.client().send(a_request()) for _ in range(100)]
        go_on.set()
        assert {client.answer().status for client in clients} == {200}
    assert events[:100] == ["made"] * 100


def test_a_client_that_disconnects_before_it_is_accepted_is_not_an_error(caplog):
    begun, go_on = threading.Event(), threading.Event()
    with a_service(CountingApp()) as served:
        served.ask(a_request())
        served.server.call_soon(lambda: (begun.set(), go_on.wait(5)))
        assert begun.wait(5)
        for _ in range(20):
            leaving = Client(served.port).send(a_request())
            leaving.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # closes with a reset
            leaving.close()
        go_on.set()
        assert served.ask(a_request()).status == 200
    assert not caplog.records


class ListenerWithoutDescriptors(socket.socket):
    """A listener whose process has no free descriptor at first."""

    refusals = 3

    def accept(self):
        if self.refusals:
            ListenerWithoutDescriptors.refusals -= 1
            raise OSError(24, "Too many open files")
        return super().accept()


def test_without_free_descriptors_accepting_pauses_and_logs_a_warning(caplog, monkeypatch):
    monkeypatch.setattr("campus.http.acceptor.PAUSE_S", 0.05)
    bare = listen(Address("127.0.0.1", 0), next_step="")
    port = bare.getsockname()[1]
    running = Running(
        HttpServer(CountingApp(), Limits()).run, ListenerWithoutDescriptors(fileno=bare.detach())
    )
    running.port = port
    running.start()
    try:
        assert running.ask(a_request()).status == 200
    finally:
        running.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
