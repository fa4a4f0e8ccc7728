"""What HTTP promises of one connection: the order of answers, what is kept open, and what is said how."""

import json
import socket
import struct
import threading
from contextlib import contextmanager

import pytest

from campus.addresses import Address
from campus.http.deferred import DEFERRED, Deferred
from campus.http.limits import Limits
from campus.http.problems import json_response
from campus.http.protocol import PENDING_MAX, PIECE_BYTES, Connection
from campus.http.server import HttpServer, listen
from campus.http.state import ServerState
from tests.api.serving import Client, Running, a_request, a_server, soon

LATE = json_response(503, {"late": True})
GET = a_request(b"", method="GET", path="/")


class Counter:
    """An app that numbers its answers, and holds each back until it is told, if the path is /held."""

    def __init__(self, answer_timeout_s=None, otherwise=lambda: LATE):
        self.held = []
        self.bodies = []
        self._answer_timeout_s = answer_timeout_s
        self._otherwise = otherwise

    def __call__(self, environ, start_response):
        self.bodies.append(environ["wsgi.input"].read())
        if environ["PATH_INFO"] == "/held":
            environ[DEFERRED] = Deferred(self._otherwise, self._answer_timeout_s)
            self.held.append(environ[DEFERRED])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % len(self.bodies)]


class Served(Running):
    def __init__(self, app, limits):
        self.listener = listen(Address("127.0.0.1", 0), next_step="")
        self.server = HttpServer(app, limits)
        super().__init__(self.server.run, self.listener)
        self.port = self.listener.getsockname()[1]
        self.start()

    def in_the_loop(self, do):
        """What it gives there."""
        told, done = [], threading.Event()
        soon(lambda: self.server._loop is not None)
        self.server.call_soon(lambda: (told.append(do()), done.set()))
        assert done.wait(5)
        return told[0]


@contextmanager
def a_service(app, **limits):
    served = Served(app, Limits(**limits))
    try:
        yield served
    finally:
        served.close()
        served.listener.close()


def texts(client, count):
    return [client.answer().text for _ in range(count)]


# Order.


def test_what_stands_behind_an_answer_that_waits_is_not_begun_and_keeps_its_place():
    app = Counter()
    with a_service(app) as served:
        client = served.client().send(
            a_request(path="/held") + a_request() + a_request(path="/held") + a_request()
        )
        soon(lambda: app.held)
        assert served.ask(a_request()).text == b"2"  # others are served meanwhile
        assert len(app.bodies) == 2
        assert client.has_nothing()
        served.in_the_loop(app.held[0].release)
        assert texts(client, 2) == [b"1", b"3"]
        soon(lambda: len(app.held) == 2)
        served.in_the_loop(app.held[1].release)
        assert texts(client, 2) == [b"4", b"5"]


def test_a_thousand_requests_behind_one_that_waits_are_not_even_read_and_all_answered_in_the_end(monkeypatch):
    app, most = Counter(), []
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


def test_answers_that_are_ready_together_are_written_together(monkeypatch):
    writes = []
    flush = Connection._flush
    monkeypatch.setattr(Connection, "_flush", lambda self: (writes.append(len(self._out)), flush(self)))
    with a_service(Counter()) as served:
        client = served.client().send(a_request(b"") * 10)
        assert texts(client, 10) == [b"%d" % n for n in range(1, 11)]
    assert [count for count in writes if count] == [10]


def test_an_answer_that_is_released_before_the_view_returns_is_sent():
    def app(environ, start_response):
        environ[DEFERRED] = deferred = Deferred(lambda: LATE)
        if environ["PATH_INFO"] == "/replaced":
            deferred.replace(json_response(201, {}))
        deferred.release()
        start_response("200 OK", [])
        return [b"fine"]

    with a_server(app) as served:
        client = served.client().send(a_request(path="/replaced") + a_request() * 200)
        assert [client.answer().status for _ in range(3)] == [201, 200, 200]


# An answer that waits.


def test_when_nobody_releases_it_in_its_own_time_it_is_what_the_view_said_it_should_be():
    app = Counter(answer_timeout_s=0.1)
    with a_service(app, answer_timeout_s=60) as served:
        assert served.ask(a_request(path="/held")).json == {"late": True}


def test_what_it_settles_for_can_be_changed_while_it_waits():
    app = Counter(answer_timeout_s=0.5)
    with a_service(app) as served:
        client = served.client().send(a_request(path="/held"))
        soon(lambda: app.held)
        served.in_the_loop(
            lambda: setattr(app.held[0], "fallback", lambda: json_response(202, {"landed": True}))
        )
        answer = client.answer()
        assert (answer.status, answer.json) == (202, {"landed": True})


def test_at_a_stop_it_settles_for_that_too():
    app = Counter()
    with a_service(app, drain_s=0.1) as served:
        client = served.client().send(a_request(path="/held") + a_request())
        soon(lambda: app.held)
        served.in_the_loop(
            lambda: setattr(app.held[0], "fallback", lambda: json_response(202, {"landed": True}))
        )
        served.stop.set()
        assert client.answer().status == 202
        assert client.answer().json["type"] == "/problems/stopping"  # what stood behind it
        assert client.is_closed()


def test_it_is_answered_once_whatever_comes_afterwards():
    app = Counter()
    with a_service(app) as served:
        client = served.client().send(a_request(path="/held"))
        soon(lambda: app.held)
        held = app.held[0]
        served.in_the_loop(lambda: (held.replace(json_response(201, {})), held.release(), held.fall_back()))
        assert client.answer().status == 201
        assert client.send(a_request()).answer().text == b"2"


def test_a_view_without_an_answer_for_when_its_time_is_over_is_500_and_logged(caplog):
    app = Counter(answer_timeout_s=0.1, otherwise=lambda: 1 // 0)
    with a_service(app) as served:
        assert served.ask(a_request(path="/held")).status == 500
    assert [record.name for record in caplog.records] == ["http"]


# The connection.


@pytest.mark.parametrize(
    ("version", "options", "told"),
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
def test_a_connection_stays_open_as_both_sides_say(version, options, told):
    headers = () if options is None else (f"Connection: {options}",)
    request = a_request(headers=headers).replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)
    with a_service(Counter()) as served:
        client = served.client().send(request)
        assert client.answer().headers.get("connection") == told
        if told == "close":
            assert client.is_closed()
        else:
            assert client.send(request).answer().text == b"2"


def test_what_follows_the_last_request_of_a_connection_is_not_answered():
    app = Counter()
    with a_service(app) as served:
        client = served.client().send(a_request(headers=("Connection: close",)) + a_request() + b"nonsense")
        assert client.answer().text == b"1"
        assert client.is_closed()
    assert len(app.bodies) == 1


def test_a_client_that_has_said_its_last_word_still_hears_the_answers():
    app = Counter()
    with a_service(app) as served:
        client = served.client().send(a_request(path="/held") + a_request())
        client.socket.shutdown(socket.SHUT_WR)
        soon(lambda: app.held)
        served.in_the_loop(app.held[0].release)
        assert texts(client, 2) == [b"1", b"2"]
        assert client.is_closed()


def test_connections_that_come_at_once_are_all_taken_before_any_is_served_again(monkeypatch):
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
    with a_service(Counter()) as served:
        served.ask(a_request())
        events.clear()
        served.server.call_soon(lambda: (begun.set(), go_on.wait(5)))
        assert begun.wait(5)
        clients = [served.client().send(a_request()) for _ in range(100)]
        go_on.set()
        assert {client.answer().status for client in clients} == {200}
    assert events[:100] == ["made"] * 100


def test_a_client_that_has_left_before_it_is_let_in_is_no_error(caplog):
    begun, go_on = threading.Event(), threading.Event()
    with a_service(Counter()) as served:
        served.ask(a_request())
        served.server.call_soon(lambda: (begun.set(), go_on.wait(5)))
        assert begun.wait(5)
        for _ in range(20):
            leaving = Client(served.port).send(a_request())
            leaving.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            leaving.close()
        go_on.set()
        assert served.ask(a_request()).status == 200
    assert not caplog.records


class Tired(socket.socket):
    """A listener in a process that has no descriptor left, for a moment."""

    refusals = 3

    def accept(self):
        if self.refusals:
            Tired.refusals -= 1
            raise OSError(24, "Too many open files")
        return super().accept()


def test_a_server_without_a_descriptor_left_takes_a_rest_and_says_so(caplog, monkeypatch):
    monkeypatch.setattr("campus.http.acceptor.PAUSE_S", 0.05)
    bare = listen(Address("127.0.0.1", 0), next_step="")
    port = bare.getsockname()[1]
    running = Running(HttpServer(Counter(), Limits()).run, Tired(fileno=bare.detach()))
    running.port = port
    running.start()
    try:
        assert running.ask(a_request()).status == 200
    finally:
        running.close()
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


# Requests.


def echo(environ, start_response):
    told = {name: value for name, value in environ.items() if isinstance(value, str)}
    told["body"] = environ["wsgi.input"].read().decode("latin-1")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(told).encode()]


@pytest.fixture(scope="module")
def echoing():
    with a_server(echo, body_bytes_max=100, larger_bodies={"/orders": 10_000}) as running:
        yield running


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_body_without_a_length_is_411(echoing, method):
    request = f"{method} / HTTP/1.1\r\nHost: here\r\nContent-Type: text/plain\r\n\r\n".encode()
    client = echoing.client().send(request)
    answer = client.answer()
    assert (answer.status, answer.json["type"]) == (411, "/problems/length-required")
    assert client.is_closed()


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST"])
def test_a_request_without_a_body_needs_no_length(echoing, method):
    request = f"{method} / HTTP/1.1\r\nHost: here\r\n\r\n".encode()
    assert echoing.ask(request, method).status == 200


def test_a_path_may_take_larger_bodies_than_others(echoing):
    assert echoing.ask(a_request("x" * 10_000, path="/orders?x=y")).json["body"] == "x" * 10_000
    assert echoing.ask(a_request("x" * 10_001, path="/orders")).status == 413
    assert echoing.ask(a_request("x" * 101, path="/order")).status == 413


def test_a_target_may_name_its_host_and_then_that_one_counts(echoing):
    told = echoing.ask(a_request(path="http://there:8000/a/b?c=d")).json
    assert (told["HTTP_HOST"], told["PATH_INFO"], told["QUERY_STRING"]) == ("there:8000", "/a/b", "c=d")
    told = echoing.ask(a_request(path="http://there?c=d")).json
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/", "c=d")


def test_the_options_of_the_whole_server_are_told(echoing):
    client = echoing.client().send(b"OPTIONS * HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = client.answer("HEAD")  # which has no body either
    assert answer.status == 204
    assert "content-length" not in answer.headers
    assert "POST" in answer.headers["allow"]
    assert client.send(GET).answer().status == 200


def test_what_nobody_knows_how_to_expect_is_417(echoing):
    answer = echoing.ask(a_request(headers=("Expect: the-unexpected",)))
    assert (answer.status, answer.json["type"]) == (417, "/problems/unknown-expectation")


def test_a_client_that_asks_first_is_told_to_go_on_after_the_answers_before():
    app = Counter()
    with a_service(app) as served:
        asks = a_request(b"", headers=("Content-Length: 2", "Expect: 100-continue"))
        client = served.client().send(a_request(path="/held") + asks)
        soon(lambda: app.held)
        assert client.has_nothing()
        served.in_the_loop(app.held[0].release)
        assert client.answer().text == b"1"
        assert client.answer().status == 100
        assert client.send(b"hi").answer().text == b"2"
    assert app.bodies[1] == b"hi"


@pytest.mark.parametrize(
    ("framing", "body"),
    [("Content-Length: 5", b"hello"), ("Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n")],
)
@pytest.mark.parametrize("pieces", [1, 2, 1000])
def test_an_upgrade_is_declined_by_answering_as_if_nobody_had_asked(echoing, framing, body, pieces):
    headers = (framing, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")
    whole = a_request(body, headers=headers) + a_request(b"next")
    client = echoing.client()
    size = max(1, len(whole) // pieces)
    for begin in range(0, len(whole), size):
        client.send(whole[begin : begin + size])
    assert client.answer().json["body"] == "hello"
    assert client.answer().json["body"] == "next"


def test_a_refusal_is_the_same_if_it_comes_about_while_an_error_is_handled():
    app = Counter()

    def release_in_an_emergency():
        try:
            raise KeyError
        except KeyError:
            app.held[0].release()

    with a_service(app) as served:
        client = served.client().send(
            a_request(path="/held") + a_request(b"") * 100 + b"GET / HTTP/1.1\r\n\r\n"
        )
        soon(lambda: app.held)
        served.in_the_loop(release_in_an_emergency)
        assert [client.answer().status for _ in range(102)] == [200] * 101 + [400]


def test_an_upgrade_without_a_body_is_declined_too(echoing):
    headers = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    client = echoing.client().send(a_request(b"", method="GET", path="/chat", headers=headers))
    told = client.answer().json
    assert (told["REQUEST_METHOD"], told["PATH_INFO"], told["HTTP_UPGRADE"]) == ("GET", "/chat", "websocket")
    assert client.send(GET).answer().status == 200


def test_an_upgrade_that_is_also_the_last_request_closes_the_connection(echoing):
    headers = ("Connection: Upgrade, close", "Upgrade: websocket")
    client = echoing.client().send(a_request(b"", method="GET", headers=headers))
    assert client.answer().headers["connection"] == "close"
    assert client.is_closed()


def test_a_header_that_stands_twice_arrives_as_one(echoing):
    assert echoing.ask(a_request(headers=("X-A: b", "X-A:  c \t"))).json["HTTP_X_A"] == "b,c"


def test_all_bodies_together_have_a_limit_and_what_is_done_with_makes_room_again():
    app = Counter()
    with a_service(app, bodies_bytes_max=1000) as served:
        half = [
            served.client().send(a_request(b"x" * 300, headers=("Content-Length: 400",))) for _ in range(3)
        ]
        assert served.ask(a_request(b"x" * 50)).status == 200  # so that the halves have been read
        answer = served.ask(a_request(b"x" * 200))
        assert (answer.status, answer.json["type"]) == (503, "/problems/too-many-bodies")
        assert int(answer.headers["retry-after"]) > 0
        half[0].send(b"x" * 100)
        assert half[0].answer().status == 200
        half[1].close()
        soon(lambda: Client(served.port).send(a_request(b"x" * 650)).answer().status == 200)


# Answers.


def with_headers(*headers, status="200 OK"):
    def app(_environ, start_response):
        start_response(status, list(headers))
        return [b"fine"]

    return app


def test_an_answer_is_closed_to_whatever_a_browser_could_make_of_it():
    with a_server(with_headers()) as served:
        headers = served.ask(a_request()).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_the_app_may_say_otherwise():
    ours = (("Content-Security-Policy", "default-src 'self'"), ("Cache-Control", "max-age=5"))
    with a_server(with_headers(*ours)) as served:
        headers = served.ask(a_request()).headers
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["cache-control"] == "max-age=5"


def test_the_length_and_the_connection_are_not_for_the_app_to_say():
    theirs = (("Content-Length", "999"), ("Connection", "close"), ("Transfer-Encoding", "chunked"))
    with a_server(with_headers(*theirs)) as served:
        client = served.client().send(a_request() * 2)
        for _ in range(2):
            answer = client.answer()
            assert (answer.text, "transfer-encoding" in answer.headers) == (b"fine", False)


def test_head_gets_the_length_of_what_it_does_not_get(echoing):
    with a_server(with_headers()) as served:
        client = served.client().send(GET.replace(b"GET", b"HEAD") + GET)
        assert client.answer("HEAD").headers["content-length"] == "4"
        assert client.answer().text == b"fine"


@pytest.mark.parametrize("bad", [b"/order#fragment", b"/" + b"x" * 20_000])
def test_head_gets_no_body_with_a_refusal_either(echoing, bad):
    client = echoing.client().send(b"HEAD " + bad + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = client.answer("HEAD")
    assert answer.status in (400, 414)
    assert int(answer.headers["content-length"]) > 0
    assert client.is_closed()


@pytest.mark.parametrize("bad", [b"/ HTTP/1.1\r\nHost: he\x06re\r\n\r\n", b"/ HTTP/3\r\n", b"/\x06", b"\x06"])
def test_head_gets_no_body_either_where_the_parser_itself_refuses(echoing, bad):
    client = echoing.client().send(b"HEAD " + bad)
    assert client.answer("HEAD").status == 400
    assert client.is_closed()


def test_what_is_no_request_gets_a_body_also_behind_a_head(echoing):
    client = echoing.client().send(b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n\x06")
    assert client.answer("HEAD").status == 200
    assert client.answer().json["status"] == 400
    assert client.is_closed()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\N{SNOWMAN}"])
def test_a_header_that_cannot_be_sent_is_500_and_logged_and_never_sent(caplog, value):
    with a_server(with_headers(("X-Echo", value))) as served:
        answer = served.ask(a_request())
        assert (answer.status, "set-cookie" in answer.headers) == (500, False)
    assert [record.name for record in caplog.records] == ["http"]


def test_what_is_logged_of_a_request_is_short_and_quoted(caplog):
    def failing(_environ, _start_response):
        raise ValueError

    with a_server(failing) as served:
        assert served.ask(a_request(path="/%0aforged" + "x" * 5000)).status == 500
    [record] = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 300
