"""Limits for clients: time, size, number; and malformed requests, which could be read in two ways."""

import time

import pytest

from campus.http.protocol import Connection
from tests.api.serving import Client, a_request, a_server, soon
from tests.http.serving import echo


@pytest.fixture(scope="module")
def patient():
    with a_server(echo, body_bytes_max=1000, head_bytes_max=4096, headers_max=20) as running:
        yield running


@pytest.fixture(scope="module")
def hasty():
    with a_server(echo, head_timeout_s=0.2, body_timeout_s=0.2, keep_alive_s=1) as running:
        yield running


CLOCK_STEP_S = 0.002  # a little more than uvloop's clock resolution of 1 ms
HALF_A_HEAD = b"POST / HTTP/1.1\r\nHost: here\r\nX-"
HALF_A_BODY = a_request(b"half", headers=("Content-Length: 8",))


# Time.


@pytest.mark.parametrize("half", [HALF_A_HEAD, HALF_A_BODY, b"P"])
def test_an_incomplete_request_is_408_and_closed_at_its_timeout(hasty, half):
    client = hasty.client().send(half)
    answer = client.answer()
    assert answer.status == 408
    assert answer.headers["connection"] == "close"
    assert client.is_closed()


def test_an_incomplete_request_after_a_complete_one_is_408_too(hasty):
    client = hasty.client().send(a_request() + HALF_A_HEAD)
    assert [client.answer().status for _ in range(2)] == [200, 408]
    assert client.is_closed()


@pytest.mark.parametrize("endless", [b"x", b"x: y\r\n"])
def test_slow_progress_does_not_extend_the_timeout(hasty, endless):
    client = hasty.client().send(HALF_A_HEAD)
    assert client.send_until_answered(endless).status == 408


@pytest.mark.parametrize("requests_before", [0, 1])
def test_endless_empty_lines_are_408(hasty, requests_before):
    client = hasty.client().send(a_request() * requests_before)
    assert [client.answer().status for _ in range(requests_before)] == [200] * requests_before
    assert client.send_until_answered(b"\r\n").status == 408


def test_each_request_on_a_connection_has_its_own_timeout(patient, monkeypatch):
    times = []
    watch = Connection._set_read_timeout
    monkeypatch.setattr(
        Connection, "_set_read_timeout", lambda self: (watch(self), times.append(self._due_s))
    )
    half = HALF_A_HEAD.replace(b"POST", b"GET")
    client = patient.client().send(half)
    soon(lambda: times)
    client.send(b"y")
    soon(lambda: len(times) == 2)
    assert times[1] == times[0]
    began_s = time.monotonic()
    soon(
        lambda: time.monotonic() > began_s + CLOCK_STEP_S
    )  # else both timeouts may begin within one clock step
    client.send(b"1: y\r\n\r\n" + half)
    assert client.answer().status == 200
    soon(lambda: len(times) == 3)  # the response is written before the timeout is set
    assert times[2] > times[0]


def test_a_silent_connection_is_closed_without_a_response(hasty):
    assert hasty.client().is_closed()


def test_an_idle_connection_is_closed_after_its_last_response(hasty):
    client = hasty.client().send(a_request())
    assert client.answer().status == 200
    assert client.is_closed()


def test_slow_clients_do_not_slow_others_down(hasty):
    slow = [hasty.client().send(HALF_A_BODY) for _ in range(200)]
    assert hasty.ask(a_request()).status == 200
    assert {client.answer().status for client in slow} == {408}


def test_a_client_that_reads_no_responses_is_dropped(hasty):
    client = hasty.client()
    client.send_until_closed(a_request("x" * 60_000))


# Size.


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_413(patient):
    assert len(patient.ask(a_request(b"x" * 1000)).json["body"]) == 1000
    answer = patient.ask(a_request(b"x" * 1001))
    assert answer.status == 413
    assert answer.json["type"] == "/problems/body-too-large"


def test_a_too_large_content_length_is_413_before_the_body_arrives(patient):
    client = patient.client().send(a_request(headers=("Content-Length: 1001",), body=b""))
    assert client.answer().status == 413


def test_expect_continue_with_a_too_large_body_is_413(patient):
    headers = ("Content-Length: 1001", "Expect: 100-continue")
    assert patient.ask(a_request(b"", headers=headers)).status == 413


def test_expect_continue_gets_100_continue(patient):
    client = patient.client().send(a_request(b"", headers=("Content-Length: 2", "Expect: 100-continue")))
    assert client.answer().status == 100
    assert client.send(b"hi").answer().json["body"] == "hi"


def test_a_client_that_sends_its_whole_body_before_reading_still_gets_the_413(patient):
    assert patient.ask(a_request(b"x" * 15_000)).status == 413


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    head = a_request(b"", headers=("Transfer-Encoding: chunked",))
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n" + trailer + b"\r\n"


def test_a_client_that_still_sends_after_the_413_is_not_reset(patient):
    client = patient.client().send(a_request(b"", headers=("Content-Length: 9000",)))
    assert client.answer().status == 413
    for _ in range(3):
        client.send(b"x" * 3000)
        assert patient.ask(a_request()).status == 200  # gives a reset time to arrive
    assert client.is_closed()


def test_a_client_that_stops_after_the_413_gets_no_second_response(hasty):
    client = hasty.client().send(a_request(headers=("Content-Length: 99999",)))
    assert client.answer().status == 413
    assert client.is_closed()


def test_a_chunked_body_is_read_up_to_the_limit_and_413_beyond_it(patient):
    environ = patient.ask(chunked(*[b"x"] * 1000)).json
    assert environ["body"] == "x" * 1000
    assert patient.ask(chunked(b"x" * 999, b"yy")).status == 413
    assert patient.ask(chunked(*[b"x" * 100] * 40)).status == 413


def test_an_endless_chunked_body_is_cut_off(patient):
    client = patient.client().send(a_request(b"", headers=("Transfer-Encoding: chunked",)))
    client.send_until_closed(b"400\r\n" + b"x" * 1024 + b"\r\n")


def test_an_endless_trailer_is_cut_off(patient):
    client = patient.client().send(chunked(b"x")[:-2] + b"X-Long: ")
    client.send_until_closed(b"x" * 4096)


def test_too_many_headers_are_431(patient):
    ok = patient.ask(a_request(headers=[f"X-{n}: y" for n in range(18)]))
    assert ok.status == 200
    assert patient.ask(a_request(headers=[f"X-{n}: y" for n in range(19)])).status == 431


def test_headers_that_are_too_large_are_431(patient):
    assert patient.ask(a_request(headers=["X-Long: " + "y" * 4000])).status == 200
    assert patient.ask(a_request(headers=["X-Long: " + "y" * 4100])).status == 431


def test_an_endless_header_is_431(patient):
    client = patient.client().send(HALF_A_HEAD)
    assert client.send_until_answered(b"x" * 512).status == 431


def test_a_url_that_is_too_long_is_414(patient):
    assert patient.ask(a_request(path="/" + "x" * 3000)).status == 200
    assert patient.ask(a_request(path="/" + "x" * 4096)).status == 414


def test_the_limits_count_each_request_by_itself(patient):
    headers = ("Transfer-Encoding: chunked", "Expect: 100-continue")
    client = patient.client().send(a_request(b"", headers=headers))
    assert client.answer().status == 100
    client.send(b"1\r\nx\r\n" * 1000)  # longer than a head may be
    assert patient.ask(a_request()).status == 200  # so that the chunks were read separately
    assert client.send(b"0\r\n\r\n").answer().status == 200
    client.send(b"\r\n")  # allowed between two requests
    assert patient.ask(a_request()).status == 200
    assert client.send(a_request()).answer().status == 200


def test_a_request_that_comes_byte_by_byte_is_served(patient):
    client = patient.client()
    for byte in a_request(b"hello"):
        client.send(bytes([byte]))
    assert client.answer().json["body"] == "hello"


# Number.


def test_one_connection_too_many_is_503_until_another_leaves():
    with a_server(echo, connections_max=2) as served:
        first, second = served.client().send(a_request()), served.client().send(a_request())
        assert [first.answer().status, second.answer().status] == [200, 200]
        third = served.client()
        answer = third.answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert int(answer.headers["retry-after"]) > 0
        assert third.is_closed()
        first.close()
        soon(lambda: Client(served.port).send(a_request()).answer().status == 200)
        assert second.send(a_request()).answer().status == 200


# Malformed and ambiguous requests.


@pytest.mark.parametrize(
    "bad",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : here\r\n\r\n",
        b"GET / HTTP/1.1\nHost: here\n\n",
        b"GET http:// HTTP/1.1\r\nHost: here\r\n\r\n",
        b"CONNECT here:80 HTTP/1.1\r\nHost: here\r\n\r\n",
        a_request(method="CONNECT"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: he re\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here/there\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: me@here\r\n\r\n",
        b"GET http://me@here/ HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET ftp://here/ HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /#there HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/0.9\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: here\r\n\r\n",
        b"GET / RTSP/1.0\r\nHost: here\r\n\r\n",
        b"OPTIONS / RTSP/1.1\r\nHost: here\r\n\r\n",
        b"SOURCE / ICE/1.0\r\nHost: here\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\nX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\rX: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX: y\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n: y\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        a_request(headers=("Content-Length: 5", "Transfer-Encoding: chunked")),
        a_request(headers=("Content-Length: 5", "Content-Length: 6")),
        a_request(headers=("Transfer-Encoding: chunked", "Content-Length: 5")),
        a_request(headers=("Content-Length: 5", "Content-Length: 5")),
        a_request(headers=("Content-Length: -1",)),
        a_request(headers=("Content-Length: +1",)),
        a_request(headers=("Content-Length: 0x1",)),
        a_request(headers=("Content-Length: 1, 1",)),
        a_request(headers=("Content-Length:",)),
        a_request(headers=("Transfer-Encoding:",), body=b"0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: gzip",)),
        a_request(headers=("Transfer-Encoding: identity",)),
        a_request(headers=("Transfer-Encoding: gzip, chunked",), body=b"0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",) * 2, body=b"0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: xchunked",), body=b"0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding : chunked",), body=b"0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"0\r\n\r\n").replace(b"/1.1", b"/1.0"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"+1\r\nx\r\n0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"1 \r\nx\r\n0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"1\nx\r\n0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"1\r\nxy\r\n0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"1;\x00\r\nx\r\n0\r\n\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"f" * 17 + b"\r\n"),
        a_request(headers=("Transfer-Encoding: chunked",), body=b"x\r\n"),
    ],
)
def test_malformed_http_is_400_and_closes_the_connection(patient, bad):
    client = patient.client().send(bad)
    answer = client.answer()
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "/problems/malformed-request"
    assert client.is_closed()


def test_a_trailer_is_never_taken_for_a_header(patient):
    environ = patient.ask(chunked(b"x", trailer=b"Content-Type: application/json\r\nX-User: root\r\n")).json
    assert "CONTENT_TYPE" not in environ
    assert "HTTP_X_USER" not in environ


@pytest.mark.parametrize("trailer", ["Connection: close", "Connection: upgrade\r\nUpgrade: x", "Host: there"])
def test_a_trailer_changes_nothing_for_the_next_request(patient, trailer):
    client = patient.client().send(chunked(b"x", trailer=f"{trailer}\r\n".encode()) + a_request(b"next"))
    answers = [client.answer(), client.answer()]
    assert [answer.json["body"] for answer in answers] == ["x", "next"]
    assert not any("connection" in answer.headers for answer in answers)


def test_a_header_with_an_underscore_is_never_taken_for_one_with_a_dash(patient):
    environ = patient.ask(a_request(headers=("X_User: root", "X-Other: me"))).json
    assert "HTTP_X_USER" not in environ
    assert environ["HTTP_X_OTHER"] == "me"


def test_the_path_is_percent_decoded_and_the_query_is_not(patient):
    environ = patient.ask(a_request(path="/caf%C3%A9/x?q=%20a")).json
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/café/x"
    assert environ["QUERY_STRING"] == "q=%20a"
    assert environ["CONTENT_TYPE"] == "application/json"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
