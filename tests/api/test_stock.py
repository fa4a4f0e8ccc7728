"""Restocking, which needs the token, and cancelling, which needs the order's id."""

import json
import logging
import uuid

import pytest

from campus.domain.codec import decode_input, encode
from campus.domain.events import OrderCancelled, StockAdded
from campus.domain.partitions import item_partition
from campus.kafka.producer.group_commit import AckTimeout, Backpressure
from tests.api.book_fixture import BookFixture
from tests.api.serving import AN_ORDER, TOKEN, FakeCommit, a_config, a_producer, a_request, soon
from tests.builders import PARTITIONS, an_order

JSON = "Content-Type: application/json"
BEARER = f"Authorization: Bearer {TOKEN}"


def restocking(item="pizza", quantity=5, *, headers=(JSON, BEARER), body=None):
    return a_request(body or {"quantity": quantity}, path=f"/stock/{item}", headers=headers)


def cancelling(order_id, body=b"", headers=()):
    return a_request(body, path=f"/orders/{order_id}/cancel", headers=headers)


@pytest.fixture
def book_fixture():
    return BookFixture(pizza=100)


@pytest.fixture
def served(book_fixture):
    with a_producer(book=book_fixture.book) as running:
        yield running


# Restocking.


def test_a_restock_is_an_event_keyed_by_its_item(served, book_fixture):
    answer = served.ask(restocking("cr%C3%A8me%2Fbr%C3%BBl%C3%A9e"))
    assert answer.status == 202
    body = answer.json
    assert (body["item"], body["quantity"], body["status"]) == ("crème/brûlée", 5, "accepted")
    [(tp, (key, value, _))] = served.commit.taken
    assert tp == ("order-events", item_partition("crème/brûlée", PARTITIONS))
    assert key == "crème/brûlée".encode()
    assert decode_input(value) == StockAdded(
        event_id=body["event_id"], item="crème/brûlée", quantity=5, reason="restock"
    )
    book_fixture.decides(served.commit)
    levels = {level["item"]: level["remaining"] for level in served.get("/stock").json["stock"]}
    assert levels == {"crème/brûlée": 5, "pizza": 100}


def test_a_repeated_restock_with_the_same_key_counts_once(served, book_fixture):
    keyed = restocking(headers=(JSON, BEARER, "Idempotency-Key: monday"))
    first, again = served.ask(keyed), served.ask(keyed)
    assert first.text == again.text
    assert uuid.UUID(first.json["event_id"]).version == 8
    book_fixture.decides(served.commit)
    assert served.get("/stock").json["stock"][0]["remaining"] == 105


def test_a_known_restock_key_with_another_body_is_422(served, book_fixture):
    headers = (JSON, BEARER, "Idempotency-Key: monday")
    first = served.ask(restocking(headers=headers))
    book_fixture.decides(served.commit)
    other = served.ask(restocking(quantity=4, headers=headers))
    assert (other.status, other.json["type"]) == (422, "/problems/idempotency-key-reused")
    again = served.ask(restocking(headers=headers))
    assert again.text == first.text
    assert len(served.commit.taken) == 1
    order = a_request(AN_ORDER, headers=(JSON, "Idempotency-Key: monday"))
    assert served.ask(order).status == 202  # keys of orders and of restocks are separate


@pytest.mark.parametrize("headers", [(), ("Authorization: Basic abc",), ("Authorization: Bearer",)])
def test_a_restock_without_a_token_is_401_with_a_challenge(served, headers):
    answer = served.ask(restocking(headers=(JSON, *headers)))
    assert (answer.status, answer.json["type"]) == (401, "/problems/token-missing")
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert served.commit.taken == []


@pytest.mark.parametrize("token", ["wrong", TOKEN + "x", TOKEN[:-1], "é", TOKEN.upper()])
def test_a_wrong_token_is_401_before_the_body_is_checked(served, token):
    answer = served.ask(restocking(quantity=0, headers=(JSON, f"Authorization: Bearer {token}")))
    assert (answer.status, answer.json["type"]) == (401, "/problems/token-wrong")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert served.commit.taken == []


def test_the_authentication_scheme_is_case_insensitive(served):
    assert served.ask(restocking(headers=(JSON, f"authorization: bearer {TOKEN}"))).status == 202


@pytest.mark.parametrize("body", [{"quantity": 0}, {"quantity": 1_000_001}, {}, {"quantity": 1, "item": "x"}])
def test_an_invalid_restock_is_422(served, body):
    answer = served.ask(restocking(body=json.dumps(body)))
    assert (answer.status, answer.json["type"]) == (422, "/problems/invalid-restock")


def test_an_item_that_is_too_long_is_400_and_names_the_parameter(served):
    answer = served.ask(restocking("x" * 257))
    assert answer.status == 400
    assert [error["parameter"] for error in answer.json["errors"]] == ["item"]


def test_a_restock_that_is_not_acknowledged_is_503_with_its_id():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as served:
        client = served.client().send(restocking())
        soon(lambda: commit.tokens)
        commit.fail(AckTimeout("within 10 s", None))
        answer = client.answer()
        assert (answer.status, answer.json["type"]) == (503, "/problems/not-acknowledged")
        assert answer.json["event_id"]


def test_a_restock_is_503_when_too_many_events_wait():
    with a_producer(commit=FakeCommit(refuses=Backpressure(1, 1))) as served:
        assert served.ask(restocking()).json["type"] == "/problems/too-many-waiting"


def test_with_ack_none_a_restock_is_202_at_once_even_if_it_fails_later():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, ack="none") as served:
        assert served.ask(restocking()).status == 202
        commit.fail(AckTimeout("within 10 s", None))
        assert served.get("/docs").status == 200


def test_a_generated_token_is_in_the_data_folder_and_not_in_the_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with a_producer(token=None, config=a_config(data_dir=tmp_path / "data")) as served:
        token = (tmp_path / "data" / "token").read_text().strip()
        assert served.ask(restocking(headers=(JSON, f"Authorization: Bearer {token}"))).status == 202
        assert served.ask(restocking()).json["type"] == "/problems/token-wrong"
    assert token not in caplog.text


# Cancelling.


def test_a_cancellation_is_an_event_keyed_by_the_item_of_its_order(served, book_fixture):
    order_id = served.order().json["order_id"]
    answer = served.ask(cancelling(order_id))
    assert answer.status == 202
    assert answer.json == {"order_id": order_id, "status": "cancelling", "item": "pizza"}
    tp, (key, value, _) = served.commit.taken[-1]
    assert (tp.partition, key) == (item_partition("pizza", PARTITIONS), b"pizza")
    assert decode_input(value) == OrderCancelled(order_id=order_id, item="pizza")
    book_fixture.decides(served.commit)
    assert served.get(f"/orders/{order_id}").json["status"] == "cancelled"
    assert served.get("/stock").json["stock"][0]["remaining"] == 100


def test_a_repeated_cancellation_gets_the_same_response_and_is_not_written_again(served, book_fixture):
    order_id = served.order().json["order_id"]
    first = served.ask(cancelling(order_id))
    book_fixture.decides(served.commit)
    written = len(served.commit.taken)
    assert served.ask(cancelling(order_id)).text == first.text
    assert len(served.commit.taken) == written


def test_an_order_that_failed_cannot_be_cancelled(served, book_fixture):
    order_id = served.order(AN_ORDER | {"quantity": 101}).json["order_id"]
    book_fixture.decides(served.commit)
    answer = served.ask(cancelling(order_id))
    assert (answer.status, answer.json["type"]) == (409, "/problems/not-cancellable")


def test_an_unknown_order_cannot_be_cancelled(served):
    answer = served.ask(cancelling("nobody"))
    assert (answer.status, answer.json["type"]) == (404, "/problems/unknown-order")
    assert served.commit.taken == []


def test_an_order_id_with_special_characters_can_be_cancelled_percent_encoded(served, book_fixture):
    book_fixture.takes(encode(an_order("a/b ä")), item_partition("pizza", PARTITIONS))
    answer = served.ask(cancelling("a%2Fb%20%C3%A4"))
    assert (answer.status, answer.json["order_id"]) == (202, "a/b ä")


@pytest.mark.parametrize("body", [b"", b"{}", b" { } "])
def test_a_cancellation_has_no_body_or_an_empty_object(served, body):
    order_id = served.order().json["order_id"]
    assert served.ask(cancelling(order_id, body, (JSON,))).status == 202


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", (), 415),
        (b"{", (JSON,), 400),
        (b'{"why": "cold"}', (JSON,), 422),
        (b"[]", (JSON,), 422),
    ],
)
def test_any_other_body_of_a_cancellation_is_refused(served, body, headers, status):
    order_id = served.order().json["order_id"]
    assert served.ask(cancelling(order_id, body, headers)).status == status
    assert len(served.commit.taken) == 1


def test_a_cancellation_that_is_not_acknowledged_is_503(book_fixture):
    commit = FakeCommit()
    with a_producer(commit=commit, book=book_fixture.book) as served:
        order_id = served.order().json["order_id"]
        commit.at_once = False
        client = served.client().send(cancelling(order_id))
        soon(lambda: commit.tokens)
        commit.fail(AckTimeout("within 10 s", None))
        answer = client.answer()
        assert (answer.status, answer.json["order_id"]) == (503, order_id)


def test_a_cancellation_without_an_order_book_is_503():
    with a_producer() as served:
        assert served.ask(cancelling("x")).json["type"] == "/problems/no-order-book"
