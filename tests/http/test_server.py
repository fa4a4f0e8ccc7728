"""Starting and stopping the server, and faults of the app."""

import logging
import signal
import socket
import struct
import threading

import pytest

from campus.addresses import Address
from campus.errors import CampusError
from campus.http.deferred import DEFERRED, Deferred
from campus.http.limits import Limits
from campus.http.problems import json_response
from campus.http.protocol import Connection
from campus.http.server import CannotListen, HttpServer, listen
from tests.api.serving import (
    FakeCommit,
    a_config,
    a_producer,
    a_request,
    a_server,
    soon,
)
from tests.http.serving import a_response

HALF_A_BODY = a_request(b"half", headers=("Content-Length: 8",))


def a_taken_port():
    taken = socket.create_server(("127.0.0.1", 0))
    return taken, taken.getsockname()[1]


# Starting.


def test_port_0_picks_a_free_port():
    with a_producer(port=0) as served:
        assert served.port > 0
        assert served.order().status == 202


def test_a_port_in_use_ends_the_role_with_one_line_and_exit_code_2():
    taken, port = a_taken_port()
    with taken, a_producer(port=port) as served:
        served.ends()
    assert isinstance(served.error, CampusError)
    assert served.error.exit_code == 2
    assert str(served.error) == (
        f"cannot listen on 127.0.0.1:{port} (Address already in use). Probably another program, or another "
        "CampusKafka, listens there. Set roles.producer.host and port."
    )
    assert served.commit.report is None  # no writer was created
    assert not served.role.health().ready


@pytest.mark.parametrize(
    ("host", "cause"),
    [("no-such-host.invalid", "the name is misspelt"), ("192.0.2.1", "no interface of this machine")],
)
def test_an_address_that_cannot_be_bound_is_an_error_with_its_likely_cause(host, cause):
    with pytest.raises(CannotListen, match=cause):
        listen(Address(host, 0), next_step="")


def test_the_same_port_can_be_bound_again_right_after_a_stop():
    with a_producer() as served:
        port, client = served.port, served.client()
        assert client.send(a_request()).answer().status == 202
        served.stop.set()
        assert client.is_closed()  # by the server, so that the port is in TIME_WAIT
        served.ends()
    with a_producer(port=port) as again:
        assert (again.port, again.order().status) == (port, 202)


def test_connections_have_tcp_nodelay(monkeypatch):
    no_delay = []

    def connection_made(protocol, transport):
        connection = transport.get_extra_info("socket")
        no_delay.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return made(protocol, transport)

    made = Connection.connection_made
    monkeypatch.setattr(Connection, "connection_made", connection_made)
    with a_server(failing) as served:
        assert served.ask(a_request()).status == 200
    assert all(no_delay) and no_delay


def test_signal_handlers_are_left_unchanged():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with a_producer() as served:
        assert served.order().status == 202
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


# Stopping.


def test_a_stop_answers_the_orders_in_progress_and_accepts_no_more():
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        waiting = [served.client().send(a_request()) for _ in range(10)]
        idle = served.client().send(a_request(b"{"))
        assert idle.answer().status == 400
        soon(lambda: len(served.commit.tokens) == 10)
        served.stop.set()
        assert idle.is_closed()
        with pytest.raises(ConnectionError):
            served.client()
        assert not served.commit.closed
        served.commit.acknowledge()
        assert {client.answer().status for client in waiting} == {202}
        served.ends()
    assert served.commit.closed
    assert served.error is None


def test_a_stop_answers_503_when_its_drain_time_is_over():
    with a_producer(commit=FakeCommit(at_once=False), config=a_config(shutdown_s=0.3)) as served:
        waiting = served.client().send(a_request())
        soon(lambda: served.commit.tokens)
        served.stop.set()
        answer = waiting.answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert answer.json["order_id"]
        served.ends()
        served.commit.acknowledge()  # too late, which must not matter
    assert served.error is None


def test_a_stop_refuses_an_incomplete_request():
    with a_producer() as served:
        client = served.client()
        assert client.send(a_request()).answer().status == 202
        client.send(HALF_A_BODY)
        assert served.order().status == 202  # so that the incomplete request was read too
        served.stop.set()
        assert client.answer().status == 503
        assert client.is_closed()
        served.ends()
    assert len(served.commit.taken) == 2


# Faults of the app.


def failing(environ):
    if environ["PATH_INFO"] == "/bad":
        raise ValueError("our own fault, with a secret")
    return a_response()


def test_an_app_that_raises_is_500_without_details_and_logged(caplog):
    with a_server(failing) as served:
        answer = served.ask(a_request(path="/bad"))
        assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
        assert b"secret" not in answer.text
        assert served.ask(a_request()).text == b"fine"
    [record] = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.name == "http"
    assert isinstance(record.exc_info[1], ValueError)


def test_asyncio_and_httptools_log_nothing(caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with a_server(failing, head_timeout_s=0.1) as served:
        for request in (a_request(), b"nonsense\r\n\r\n", HALF_A_BODY[:20]):
            served.ask(request)
        upgrade = ("Connection: Upgrade", "Upgrade: websocket")
        served.ask(a_request(b"", method="GET", headers=upgrade))
    assert [record.name for record in caplog.records if record.name != "asyncio"] == []
    assert capfd.readouterr() == ("", "")


def test_a_client_that_pipelines_and_resets_is_not_an_error(caplog):
    def never(environ):
        environ[DEFERRED] = deferred = Deferred(lambda: json_response(503, "late"))
        waiting.append(deferred)
        return a_response()

    waiting = []
    with a_server(never) as served:
        client = served.client().send(a_request() * 3)
        soon(lambda: waiting)
        client.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )  # closes with a reset
        client.close()
        soon(lambda: waiting[0].done)
    assert len(waiting) == 1  # the requests behind it were not handled
    assert not caplog.records


def test_call_soon_after_the_end_does_nothing():
    server = HttpServer(failing, Limits())
    stop = threading.Event()
    stop.set()
    with listen(Address("127.0.0.1", 0), next_step="") as listener:
        server.run(listener, stop)
    server.call_soon(pytest.fail)
