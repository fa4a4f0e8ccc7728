"""Deferred responses: the order of responses on a connection, and what is sent if nobody releases one."""

import threading
import time

from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import json_response
from campus.http.protocol import PENDING_MAX, PIECE_BYTES, Connection
from tests.api.serving import a_request, a_server, soon
from tests.http.serving import LATE, CountingApp, a_response, a_service, texts


def test_requests_behind_a_deferred_response_are_not_handled_and_keep_their_order():
    app = CountingApp()
    with a_service(app) as served:
        client = served.client().send(
            a_request(path="/held") + a_request() + a_request(path="/held") + a_request()
        )
        soon(lambda: app.held)
        assert served.ask(a_request()).text == b"2"  # other connections are served meanwhile
        assert len(app.bodies) == 2
        assert client.has_nothing()
        served.in_the_loop(app.held[0].release)
        assert texts(client, 2) == [b"1", b"3"]
        soon(lambda: len(app.held) == 2)
        served.in_the_loop(app.held[1].release)
        assert texts(client, 2) == [b"4", b"5"]


def test_a_thousand_pipelined_requests_behind_a_deferred_response_are_not_read_ahead(monkeypatch):
    app, most = CountingApp(), []
    is_behind = Connection._is_behind
    monkeypatch.setattr(
        Connection, "_is_behind", lambda self: (most.append(len(self._pending)), is_behind(self))[1]
    )
    with a_service(app) as served:
        client = served.client()
        requests = a_request(b"", path="/held") + a_request(b"", path="/x") * 1000
        sending = threading.Thread(target=client.send, args=(requests,))
        sending.start()
        soon(lambda: most and max(most) >= PENDING_MAX)
        served.in_the_loop(app.held[0].release)
        assert texts(client, 1001) == [b"%d" % n for n in range(1, 1002)]
        sending.join()
    assert max(most) <= PENDING_MAX + PIECE_BYTES / len(a_request(b"", path="/x"))


def test_responses_that_are_ready_together_are_sent_in_one_write(monkeypatch):
    writes = []
    flush = Connection._flush
    monkeypatch.setattr(Connection, "_flush", lambda self: (writes.append(len(self._out)), flush(self)))
    with a_service(CountingApp()) as served:
        client = served.client().send(a_request(b"") * 10)
        assert texts(client, 10) == [b"%d" % n for n in range(1, 11)]
    assert [count for count in writes if count] == [10]


def test_a_deferred_released_before_the_view_returns_is_sent():
    def app(environ):
        environ[DEFERRED] = deferred = Deferred(lambda: LATE)
        if environ["PATH_INFO"] == "/replaced":
            deferred.replace(json_response(201, {}))
        deferred.release()
        return a_response()

    with a_server(app) as served:
        client = served.client().send(a_request(path="/replaced") + a_request() * 200)
        assert [client.answer().status for _ in range(3)] == [201, 200, 200]


def test_after_the_timeout_the_fallback_is_sent():
    with a_service(CountingApp(), answer_timeout_s=0.1) as served:
        assert served.ask(a_request(path="/held")).json == {"late": True}


def test_a_deferred_may_ask_for_more_time_than_the_timeout():
    began_s = time.monotonic()
    with a_service(CountingApp(extra_timeout_s=0.5), answer_timeout_s=0.1) as served:
        assert served.ask(a_request(path="/held")).json == {"late": True}
    assert time.monotonic() - began_s > 0.5


def test_the_fallback_can_be_changed_while_the_response_waits():
    app = CountingApp()
    with a_service(app, answer_timeout_s=0.5) as served:
        client = served.client().send(a_request(path="/held"))
        soon(lambda: app.held)
        served.in_the_loop(
            lambda: setattr(app.held[0], "fallback", lambda: json_response(202, {"landed": True}))
        )
        answer = client.answer()
        assert (answer.status, answer.json) == (202, {"landed": True})


def test_at_a_stop_the_fallback_is_sent_and_requests_behind_it_are_refused():
    app = CountingApp()
    with a_service(app, drain_s=0.1) as served:
        client = served.client().send(a_request(path="/held") + a_request())
        soon(lambda: app.held)
        served.in_the_loop(
            lambda: setattr(app.held[0], "fallback", lambda: json_response(202, {"landed": True}))
        )
        served.stop.set()
        assert client.answer().status == 202
        assert client.answer().json["type"] == "/problems/stopping"  # the request behind it
        assert client.is_closed()


def test_only_the_first_resolution_of_a_deferred_counts():
    app = CountingApp()
    with a_service(app) as served:
        client = served.client().send(a_request(path="/held"))
        soon(lambda: app.held)
        held = app.held[0]
        served.in_the_loop(lambda: (held.replace(json_response(201, {})), held.release(), held.fall_back()))
        assert client.answer().status == 201
        assert client.send(a_request()).answer().text == b"2"


def test_a_fallback_that_raises_is_500_and_logged(caplog):
    app = CountingApp(fallback=lambda: 1 // 0)
    with a_service(app, answer_timeout_s=0.1) as served:
        assert served.ask(a_request(path="/held")).status == 500
    assert [record.name for record in caplog.records] == ["http"]
