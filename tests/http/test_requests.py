"""What a request may look like, and how it arrives in the environ."""

import pytest

from tests.api.serving import Client, a_request, a_server, soon
from tests.http.serving import GET, CountingApp, a_service, echo


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


def test_an_absolute_target_overrides_the_host_header(echoing):
    environ = echoing.ask(a_request(path="http://there:8000/a/b?c=d")).json
    assert (environ["HTTP_HOST"], environ["PATH_INFO"], environ["QUERY_STRING"]) == (
        "there:8000",
        "/a/b",
        "c=d",
    )
    environ = echoing.ask(a_request(path="http://there?c=d")).json
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/", "c=d")


def test_options_of_the_whole_server_is_204_with_allow(echoing):
    client = echoing.client().send(b"OPTIONS * HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = client.answer("HEAD")  # 204 has no body either
    assert answer.status == 204
    assert "content-length" not in answer.headers
    assert "POST" in answer.headers["allow"]
    assert client.send(GET).answer().status == 200


def test_an_unknown_expectation_is_417(echoing):
    answer = echoing.ask(a_request(headers=("Expect: the-unexpected",)))
    assert (answer.status, answer.json["type"]) == (417, "/problems/unknown-expectation")


def test_100_continue_is_sent_after_the_responses_to_earlier_requests():
    app = CountingApp()
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
def test_an_upgrade_is_declined_and_the_request_is_handled_as_http_1_1(echoing, framing, body, pieces):
    headers = (framing, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAA")
    whole = a_request(body, headers=headers) + a_request(b"next")
    client = echoing.client()
    size = max(1, len(whole) // pieces)
    for begin in range(0, len(whole), size):
        client.send(whole[begin : begin + size])
    assert client.answer().json["body"] == "hello"
    assert client.answer().json["body"] == "next"


def test_a_request_is_refused_alike_while_another_exception_is_being_handled():
    app = CountingApp()

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
    environ = client.answer().json
    assert (environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["HTTP_UPGRADE"]) == (
        "GET",
        "/chat",
        "websocket",
    )
    assert client.send(GET).answer().status == 200


def test_an_upgrade_with_connection_close_closes_the_connection(echoing):
    headers = ("Connection: Upgrade, close", "Upgrade: websocket")
    client = echoing.client().send(a_request(b"", method="GET", headers=headers))
    assert client.answer().headers["connection"] == "close"
    assert client.is_closed()


def test_a_repeated_header_is_joined_with_a_comma(echoing):
    assert echoing.ask(a_request(headers=("X-A: b", "X-A:  c \t"))).json["HTTP_X_A"] == "b,c"


def test_all_bodies_together_have_a_limit_and_handled_ones_make_room():
    app = CountingApp()
    with a_service(app, bodies_bytes_max=1000) as served:
        half = [
            served.client().send(a_request(b"x" * 300, headers=("Content-Length: 400",))) for _ in range(3)
        ]
        assert served.ask(a_request(b"x" * 50)).status == 200  # so that the incomplete bodies were read
        answer = served.ask(a_request(b"x" * 200))
        assert (answer.status, answer.json["type"]) == (503, "/problems/too-many-bodies")
        assert int(answer.headers["retry-after"]) > 0
        half[0].send(b"x" * 100)
        assert half[0].answer().status == 200
        half[1].close()
        soon(lambda: Client(served.port).send(a_request(b"x" * 650)).answer().status == 200)
