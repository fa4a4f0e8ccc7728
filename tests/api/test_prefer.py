"""`Prefer: wait` on POST /order: the outcome if it comes in time, and at least a 202."""

import socket

import pytest

from campus.api.orders import OrderHandler
from campus.kafka.producer.group_commit import AckTimeout
from tests.api.book_fixture import BookFixture
from tests.api.serving import AN_ORDER, FakeCommit, a_config, a_producer, a_request, soon

JSON = "Content-Type: application/json"


def waiting_order(prefer="wait=5", body=AN_ORDER, *more):
    return a_request(body, headers=(JSON, f"Prefer: {prefer}", *more))


@pytest.fixture
def book_fixture():
    return BookFixture(pizza=100)


def has_waiters(book, count=1):
    return lambda: sum(map(len, [*book._waiters.values()])) == count


def test_prefer_wait_gets_the_outcome(book_fixture):
    with a_producer(book=book_fixture.book) as served:
        client = served.client().send(waiting_order())
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        answer = client.answer()
        assert answer.status == 200
        assert answer.headers["preference-applied"] == "wait=5"
        body = answer.json
        assert (body["status"], body["remaining"], body["seq"]) == ("reserved", 98, 2)
        assert served.get(f"/orders/{body['order_id']}").json == body


def test_a_failed_order_is_200_too(book_fixture):
    with a_producer(book=book_fixture.book) as served:
        client = served.client().send(waiting_order(body=AN_ORDER | {"quantity": 101}))
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        answer = client.answer()
        assert (answer.status, answer.json["reason"]) == (200, "insufficient_stock")


def test_waiting_begins_when_the_broker_has_acknowledged_the_order(book_fixture, monkeypatch):
    began = []
    wait_for_outcome = OrderHandler._wait_for_outcome

    def recorded(self, order_id, wait_s, *args):
        began.append(wait_s)
        wait_for_outcome(self, order_id, wait_s, *args)

    monkeypatch.setattr(OrderHandler, "_wait_for_outcome", recorded)
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, book=book_fixture.book) as served:
        served.client().send(waiting_order("wait=7"))
        soon(lambda: commit.tokens)
        assert served.get("/health").status == 200
        assert began == []
        commit.acknowledge()
        soon(lambda: began == [7])


def test_after_the_wait_the_response_is_202(book_fixture):
    with a_producer(book=book_fixture.book) as served:
        answer = served.ask(waiting_order("wait=1"))
        assert (answer.status, answer.json["status"]) == (202, "accepted")
        assert "preference-applied" not in answer.headers
        assert has_waiters(book_fixture.book, 0)()
        book_fixture.decides(served.commit)  # too late, which must not matter
        assert served.get("/health").status == 200


def test_a_wait_is_limited_by_wait_max_s(book_fixture):
    with a_producer(book=book_fixture.book, wait_max_s=1) as served:
        client = served.client().send(waiting_order("wait=999999999"))
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        assert client.answer().headers["preference-applied"] == "wait=1"


def test_beyond_waits_max_the_response_is_202_at_once(book_fixture):
    with a_producer(book=book_fixture.book, waits_max=1) as served:
        first = served.client().send(waiting_order())
        soon(has_waiters(book_fixture.book))
        assert served.ask(waiting_order()).status == 202
        assert first.has_nothing()
        book_fixture.decides(served.commit)
        assert first.answer().status == 200
        second = served.client().send(waiting_order())
        soon(has_waiters(book_fixture.book))  # its wait was free again
        book_fixture.decides(served.commit)
        assert second.answer().status == 200


def test_a_disconnected_client_frees_its_wait(book_fixture):
    with a_producer(book=book_fixture.book, waits_max=1) as served:
        gone = served.client().send(waiting_order("wait=30"))
        soon(has_waiters(book_fixture.book))
        gone.close()
        soon(has_waiters(book_fixture.book, 0))
        stays = served.client().send(waiting_order("wait=30"))
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        assert stays.answer().status == 200


def test_a_half_closed_client_gets_202_without_waiting(book_fixture):
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, book=book_fixture.book, waits_max=1) as served:
        client = served.client().send(waiting_order("wait=30"))
        soon(lambda: commit.tokens)
        client.socket.shutdown(socket.SHUT_WR)
        commit.acknowledge()
        assert client.answer().status == 202
        assert client.is_closed()
        both = served.client().send(2 * waiting_order("wait=30"))
        both.socket.shutdown(socket.SHUT_WR)
        for _ in range(2):
            soon(lambda: commit.tokens)
            commit.acknowledge()
            assert both.answer().status == 202
        assert both.is_closed()
        assert has_waiters(book_fixture.book, 0)()


def test_an_order_that_is_not_acknowledged_is_503_despite_the_wait(book_fixture):
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, book=book_fixture.book) as served:
        client = served.client().send(waiting_order())
        soon(lambda: commit.tokens)
        commit.fail(AckTimeout("within 10 s", None))
        assert client.answer().json["type"] == "/problems/not-acknowledged"


def test_a_stop_answers_waiting_clients_with_202(book_fixture):
    with a_producer(book=book_fixture.book, config=a_config(shutdown_s=0.5)) as served:
        client = served.client().send(waiting_order("wait=30"))
        soon(has_waiters(book_fixture.book))
        served.stop.set()
        assert client.answer().status == 202
        served.ends()
    assert served.error is None


def test_without_an_order_book_the_response_is_202_at_once():
    with a_producer() as served:
        assert served.ask(waiting_order()).status == 202


def test_with_ack_none_prefer_wait_still_gets_the_outcome(book_fixture):
    with a_producer(book=book_fixture.book, ack="none") as served:
        client = served.client().send(waiting_order())
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        assert client.answer().status == 200


@pytest.mark.parametrize(
    "prefer", ["", "wait", "wait=", "wait=soon", "wait=-1", "wait=0", "wait=1.5", "=", '"']
)
def test_an_unreadable_wait_is_ignored(book_fixture, prefer):
    with a_producer(book=book_fixture.book) as served:
        assert served.ask(waiting_order(prefer)).status == 202


@pytest.mark.parametrize(
    "prefer",
    [
        "respond-async, wait=5",
        'Wait = "5"; a=b',
        "wait=5, wait=9",
        'note="wait=9, x", wait=5',
    ],
)
def test_a_wait_may_have_quotes_parameters_and_neighbours(book_fixture, prefer):
    with a_producer(book=book_fixture.book) as served:
        client = served.client().send(waiting_order(prefer))
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        assert client.answer().headers["preference-applied"] == "wait=5"


def test_a_repeated_order_waits_for_the_outcome_of_the_first(book_fixture):
    key = "Idempotency-Key: k-1"
    with a_producer(book=book_fixture.book) as served:
        assert served.order(headers=(JSON, key)).status == 202
        client = served.client().send(waiting_order("wait=5", AN_ORDER, key))
        soon(has_waiters(book_fixture.book))
        book_fixture.decides(served.commit)
        first = client.answer()
        again = served.ask(waiting_order("wait=5", AN_ORDER, key))
        assert (first.status, again.status) == (200, 200)
        assert first.text == again.text
        assert len(served.commit.taken) == 1
