"""The same Idempotency-Key and order are one order, whichever process gets it and however often."""

import uuid
from contextlib import ExitStack

import pytest

from campus.domain.order_ids import keyed_order_id
from campus.kafka.producer.group_commit import AckTimeout
from tests.api.book_fixture import BookFixture
from tests.api.serving import AN_ORDER, FakeCommit, a_producer, a_request, soon

JSON = "Content-Type: application/json"
KEY = '"8e03978e-40d5-43dd-bc93-6894a57f9324"'
LATE = AckTimeout("within 10 s", None)


def keyed(key=KEY, body=AN_ORDER, **options):
    return a_request(body, headers=(JSON, f"Idempotency-Key: {key}"), **options)


def test_every_process_gives_the_same_key_and_order_the_same_response():
    with ExitStack() as stack:
        campuses = [stack.enter_context(a_producer()) for _ in range(2)]
        one, two = (campus.ask(keyed()) for campus in campuses)
        assert one.status == two.status == 202
        assert one.text == two.text
        assert one.headers["location"] == two.headers["location"]
        assert uuid.UUID(one.json["order_id"]).version == 8


def test_a_retry_after_a_restart_gets_the_same_order_id():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as before:
        client = before.client().send(keyed())
        soon(lambda: commit.tokens)
        commit.fail(LATE)
        refused = client.answer()
        assert refused.status == 503
        assert "Send the same request again with the same Idempotency-Key" in refused.json["detail"]
    with a_producer() as after:
        assert after.ask(keyed()).json["order_id"] == refused.json["order_id"]


def test_a_bare_key_equals_the_quoted_key():
    with a_producer() as served:
        assert served.ask(keyed("k-1")).text == served.ask(keyed('"k-1"')).text
        assert served.ask(keyed('"a\\"b\\\\c"')).json["order_id"] == keyed_order_id('a"b\\c', **AN_ORDER)


def test_another_order_with_the_same_key_has_another_id():
    with a_producer() as served:  # without an order book, so it does not know the key
        ids = [
            served.ask(keyed(body=AN_ORDER | change)).json["order_id"]
            for change in ({}, {"quantity": 3}, {"item": "salad"}, {"user_id": "bo"})
        ]
        assert len(set(ids)) == 4


def test_another_order_with_a_known_key_is_422_and_not_placed():
    book_fixture = BookFixture(pizza=100)
    with a_producer(book=book_fixture.book) as served:
        assert served.ask(keyed()).status == 202
        answer = served.ask(keyed(body=AN_ORDER | {"quantity": 3}))
        assert answer.status == 422
        assert answer.json["type"] == "/problems/idempotency-key-reused"
        assert len(served.commit.taken) == 1


def test_a_known_keyed_order_is_answered_again_but_not_written_again():
    book_fixture = BookFixture(pizza=100)
    with a_producer(book=book_fixture.book) as served:
        first = served.ask(keyed())
        again = served.ask(keyed())
        book_fixture.decides(served.commit)
        decided = served.ask(keyed())
        assert first.text == again.text == decided.text
        assert first.headers["location"] == decided.headers["location"]
        assert len(served.commit.taken) == 1


def test_a_keyed_order_that_was_not_acknowledged_is_written_again():
    book_fixture = BookFixture(pizza=100)
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, book=book_fixture.book) as served:
        client = served.client().send(keyed())
        soon(lambda: commit.tokens)
        commit.fail(LATE)
        assert client.answer().status == 503
        commit.at_once = True
        assert served.ask(keyed()).status == 202
        assert len(commit.taken) == 2


@pytest.mark.parametrize(
    "key",
    ["", '""', '"', '"a', 'a"b', "a b", "a,b", '"a", "b"', '"a";b=1', '"\\x"', "x" * 256, '"é-1"', '"\\"'],
)
def test_an_invalid_key_is_400_and_nothing_is_placed(key):
    with a_producer() as served:
        answer = served.ask(keyed(key))
        assert answer.status == 400
        assert answer.json["type"] == "/problems/invalid-idempotency-key"
        assert [error["header"] for error in answer.json["errors"]] == ["Idempotency-Key"]
        assert served.commit.taken == []


def test_two_keys_in_one_request_are_400():
    with a_producer() as served:
        headers = (JSON, "Idempotency-Key: a", "Idempotency-Key: b")
        assert served.order(headers=headers).status == 400


def test_the_longest_key_is_taken():
    with a_producer() as served:
        assert served.ask(keyed("x" * 255)).status == 202
