"""The judge detects misbehaving servers, given as bytes."""

import json

import pytest

from tests.attack.builder import CANARY, AfterSend, Attack
from tests.attack.judge import Conversation, Tally, faults_of_log, faults_of_output, judge
from tests.attack.strict import OrderFields, Tail, read_requests

ORDER = OrderFields("u1-1", "pizza", 1)
BODY = json.dumps(ORDER._asdict()).encode()
HEAD = b"POST /order HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
POST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
LAST = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
ALWAYS = (
    "date: Sun, 22 Nov 2026 22:00:00 GMT\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n"
    "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\nreferrer-policy: no-referrer\r\n"
)
ORDER_ID = "01a20569-e635-746c-91f0-ad54382982ff"
ACCEPTED = json.dumps({"order_id": ORDER_ID, "status": "accepted", **ORDER._asdict()}).encode()


def an_answer(
    status: int = 202,
    body: bytes = ACCEPTED,
    *,
    kind: str = "application/json",
    headers: str = f"location: /orders/{ORDER_ID}\r\n",
    closes: bool = True,
    length: int | None = None,
) -> bytes:
    close = "connection: close\r\n" if closes else ""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status} Some\r\n{ALWAYS}{headers}{close}"
    return f"{head}content-type: {kind}\r\ncontent-length: {size}\r\n\r\n".encode() + body


def a_problem(
    status: int, name: str = "malformed-request", *, detail: str = "No", headers: str = ""
) -> bytes:
    content = {"type": f"/problems/{name}", "title": "No", "status": status, "detail": detail}
    return an_answer(status, json.dumps(content).encode(), kind="application/problem+json", headers=headers)


def faults(
    sent: bytes,
    received: bytes,
    *,
    after_send: AfterSend = AfterSend.READ,
    was_closed: bool = True,
    was_reset: bool = False,
) -> list[str]:
    attack = Attack("by hand", 0, 1, (sent,), after_send, read_requests(sent))
    return judge(Conversation(attack, received, was_reset, was_closed)).faults


def test_an_accepted_good_order_is_not_a_fault():
    assert faults(LAST, an_answer()) == []
    assert faults(POST + LAST, an_answer(closes=False) + an_answer()) == []


def test_a_refused_malformed_request_is_not_a_fault():
    assert faults(b"nonsense\r\n\r\n", a_problem(400)) == []


def test_silence_about_a_malformed_request_is_allowed_only_if_its_head_is_incomplete():
    assert faults(b"GET /\r\nP", b"", after_send=AfterSend.HALF_CLOSE) == []
    assert any("no response" in one for one in faults(b"GET /\r\nP", b"", after_send=AfterSend.READ))
    assert any("no response" in one for one in faults(b"GET /\r\n\r\n", b"", after_send=AfterSend.HALF_CLOSE))


BOTH_LENGTHS = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "received", "fault"),
    [
        (LAST, b"", "never answered"),
        (LAST, an_answer(length=5), "bytes after a response with connection: close"),
        (LAST, an_answer(length=500), "cut off"),
        (LAST, an_answer() + an_answer(), "bytes after a response with connection: close"),
        (LAST, an_answer(closes=False), "asked to close"),
        (LAST, an_answer(closes=False) + an_answer(), "2 answers to 1 requests"),
        (BOTH_LENGTHS, an_answer(), "202 to what is malformed (both lengths)"),
        (BOTH_LENGTHS + LAST, an_answer(closes=False) + an_answer(), "2 answers to 1 requests"),
        (b"nonsense\r\n\r\n", b"", "no response to what is malformed"),
        (LAST, a_problem(500, "internal-error"), "status 500"),
        (LAST, a_problem(503, "out-of-luck", headers="retry-after: 2\r\n"), "an unintended 503"),
        (LAST, a_problem(503, "stopping"), "503 without retry-after"),
        (LAST, a_problem(400), "400 to a good order"),
        (LAST, a_problem(422, detail='File "server.py", line 3'), "internals"),
        (LAST, an_answer(422), "422 as application/json"),
        (LAST, an_answer(headers=f"x-item: {CANARY}\r\n"), "text of the client in a header"),
        (LAST, an_answer(headers="server: uvicorn\r\n"), "Server header"),
        (LAST, an_answer().replace(b"nosniff", b"sniff"), "x-content-type-options"),
        (LAST, an_answer().replace(b"HTTP/1.1", b"HTTP/1.0"), "no status line"),
        (LAST, an_answer().replace(b"date: ", b"date : "), "no header"),
        (LAST, an_answer(headers="date: now\r\n"), "date is repeated"),
        (LAST, b"HTTP/1.1 100 Continue\r\n\r\n" + an_answer(), "100 Continue without Expect"),
        (LAST.replace(b"Host: here\r\n", b""), an_answer(), "without one good Host"),
        (LAST, an_answer(headers=""), "not as described"),
    ],
)
def test_misbehaviour_of_a_server_is_detected(sent, received, fault):
    assert any(fault in one for one in faults(sent, received)), faults(sent, received)


def test_a_connection_that_is_not_closed_in_time_is_a_hang():
    assert any("a hang" in one for one in faults(LAST, b"", was_closed=False))


def test_an_order_that_is_in_no_request_must_not_be_in_the_log():
    hidden = OrderFields("hidden-1-1", "pizza", 1)
    tally = Tally(accepted={ORDER_ID: ORDER}, allowed={ORDER})
    assert list(faults_of_log({ORDER_ID: ORDER}, tally)) == []
    assert "in no request" in next(faults_of_log({ORDER_ID: ORDER, "other": hidden}, tally))
    assert "not in the log" in next(faults_of_log({}, tally))
    assert "but sent as" in next(faults_of_log({ORDER_ID: ORDER._replace(quantity=2)}, tally))


@pytest.mark.parametrize("line", [f"who is {CANARY}", "\x1b[31m", "Traceback (most recent call last):"])
def test_suspicious_output_of_the_process_is_a_fault(line):
    assert list(faults_of_output([line]))
    assert not list(faults_of_output(["18:51:35 producer  INFO  orders: POST http://127.0.0.1:8000/order"]))


@pytest.mark.parametrize(
    ("sent", "requests", "tail"),
    [
        (POST + POST, 2, Tail.NOTHING),
        (LAST + POST, 1, Tail.IGNORED),
        (POST[:-1], 0, Tail.INCOMPLETE),
        (
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nX: y\r\n\r\n" + POST,
            2,
            Tail.NOTHING,
        ),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n", 0, Tail.MALFORMED),
        (HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n", 0, Tail.MALFORMED),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 0, Tail.MALFORMED),
        (HEAD + b"Content-Length : 1\r\n\r\nx", 0, Tail.MALFORMED),
        (HEAD + b"X: a\r\n b\r\n\r\n", 0, Tail.MALFORMED),
        (POST.replace(b"\r\n", b"\n"), 0, Tail.MALFORMED),
        (b"GET / HTTP/1.0\r\n\r\n" + POST, 1, Tail.IGNORED),
        (b"GET / HTTP/2.0\r\n\r\n", 0, Tail.MALFORMED),
        (b"\r\n\r\n" + POST, 1, Tail.NOTHING),
    ],
)
def test_the_strict_reader_finds_only_unambiguous_requests(sent, requests, tail):
    reading = read_requests(sent)
    assert (len(reading.requests), reading.tail) == (requests, tail)
