"""What the server adds to a response, and what it never sends."""

import pytest

from tests.api.serving import a_request, a_server
from tests.http.serving import GET, a_response, echo


@pytest.fixture(scope="module")
def echoing():
    with a_server(echo, body_bytes_max=100, larger_bodies={"/orders": 10_000}) as running:
        yield running


def with_headers(*headers):
    return lambda _environ: a_response(b"fine", *headers)


def test_every_response_has_security_headers():
    with a_server(with_headers()) as served:
        headers = served.ask(a_request()).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_the_app_can_override_the_security_headers():
    ours = (("Content-Security-Policy", "default-src 'self'"), ("Cache-Control", "max-age=5"))
    with a_server(with_headers(*ours)) as served:
        headers = served.ask(a_request()).headers
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["cache-control"] == "max-age=5"


def test_the_app_cannot_set_length_connection_or_transfer_encoding():
    theirs = (("Content-Length", "999"), ("Connection", "close"), ("Transfer-Encoding", "chunked"))
    with a_server(with_headers(*theirs)) as served:
        client = served.client().send(a_request() * 2)
        for _ in range(2):
            answer = client.answer()
            assert (answer.text, "transfer-encoding" in answer.headers) == (b"fine", False)


def test_head_gets_the_content_length_of_gets_body(echoing):
    with a_server(with_headers()) as served:
        client = served.client().send(GET.replace(b"GET", b"HEAD") + GET)
        assert client.answer("HEAD").headers["content-length"] == "4"
        assert client.answer().text == b"fine"


@pytest.mark.parametrize("bad", [b"/order#fragment", b"/" + b"x" * 20_000])
def test_a_refused_head_request_gets_no_body(echoing, bad):
    client = echoing.client().send(b"HEAD " + bad + b" HTTP/1.1\r\nHost: here\r\n\r\n")
    answer = client.answer("HEAD")
    assert answer.status in (400, 414)
    assert int(answer.headers["content-length"]) > 0
    assert client.is_closed()


@pytest.mark.parametrize("bad", [b"/ HTTP/1.1\r\nHost: he\x06re\r\n\r\n", b"/ HTTP/3\r\n", b"/\x06", b"\x06"])
def test_a_head_request_refused_by_the_parser_gets_no_body(echoing, bad):
    client = echoing.client().send(b"HEAD " + bad)
    assert client.answer("HEAD").status == 400
    assert client.is_closed()


def test_malformed_bytes_after_a_head_request_get_a_problem_with_a_body(echoing):
    client = echoing.client().send(b"HEAD / HTTP/1.1\r\nHost: here\r\n\r\n\x06")
    assert client.answer("HEAD").status == 200
    assert client.answer().json["status"] == 400
    assert client.is_closed()


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "\N{SNOWMAN}"])
def test_an_app_header_with_a_line_break_or_non_latin_text_is_500_and_logged(caplog, value):
    with a_server(with_headers(("X-Echo", value))) as served:
        answer = served.ask(a_request())
        assert (answer.status, "set-cookie" in answer.headers) == (500, False)
    assert [record.name for record in caplog.records] == ["http"]


def test_a_logged_path_is_quoted_and_cut(caplog):
    def failing(_environ):
        raise ValueError

    with a_server(failing) as served:
        assert served.ask(a_request(path="/%0aforged" + "x" * 5000)).status == 500
    [record] = caplog.records
    assert "\n" not in record.getMessage()
    assert len(record.getMessage()) < 300
