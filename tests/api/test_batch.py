"""POST /orders: each order of a batch is placed or refused on its own, with a result in its place."""

import json
import uuid

import pytest

from campus.api import bodies
from campus.kafka.producer.group_commit import AckTimeout, Backpressure, GroupCommitClosed
from tests.api.book_fixture import BookFixture
from tests.api.serving import AN_ORDER, FakeCommit, a_config, a_producer, a_request, soon

JSON, LINES = "Content-Type: application/json", "Content-Type: application/x-ndjson"


def a_batch(orders, *more):
    return a_request(orders, path="/orders", headers=(JSON, *more))


def lines(*texts, end="\n"):
    return a_request(end.join(texts), path="/orders", headers=(LINES,))


@pytest.fixture(scope="module")
def producer_for_all():
    with a_producer(book=BookFixture(pizza=100).book) as running:
        yield running


@pytest.fixture
def served(producer_for_all):
    producer_for_all.commit.taken.clear()
    return producer_for_all


def test_a_batch_of_accepted_orders_is_202_with_an_id_for_each(served):
    answer = served.ask(a_batch([AN_ORDER, AN_ORDER | {"item": "salad"}, AN_ORDER]))
    assert answer.status == 202
    assert answer.json["accepted"] == 3
    results = answer.json["results"]
    assert [(result["index"], result["status"]) for result in results] == [(0, 202), (1, 202), (2, 202)]
    placed = [json.loads(value) for _, (_, value, _) in served.commit.taken]
    assert [result["order_id"] for result in results] == [order["order_id"] for order in placed]
    assert [order["item"] for order in placed] == ["pizza", "salad", "pizza"]
    assert len({uuid.UUID(result["order_id"]) for result in results}) == 3


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_ndjson_is_a_batch_too(served, end):
    answer = served.ask(lines(json.dumps(AN_ORDER), json.dumps(AN_ORDER), "", end=end))
    assert (answer.status, answer.json["accepted"]) == (202, 2)


def test_an_invalid_order_does_not_affect_the_others(served):
    bad = [{"user_id": "ana"}, 7, AN_ORDER | {"quantity": 0}]
    answer = served.ask(a_batch([AN_ORDER, *bad, AN_ORDER]))
    assert (answer.status, answer.json["accepted"]) == (207, 2)
    results = answer.json["results"]
    assert [result["status"] for result in results] == [202, 422, 422, 422, 202]
    assert [["order_id" in result, "problem" in result] for result in results[:2]] == [
        [True, False],
        [False, True],
    ]
    assert [error["pointer"] for error in results[1]["problem"]["errors"]] == ["#/item", "#/quantity"]
    assert [error["pointer"] for error in results[3]["problem"]["errors"]] == ["#/quantity"]
    assert len(served.commit.taken) == 2


def test_a_malformed_line_does_not_affect_the_others(served):
    answer = served.ask(lines(json.dumps(AN_ORDER), "{", '{"a":NaN}', json.dumps(AN_ORDER)))
    assert answer.status == 207
    assert [result["status"] for result in answer.json["results"]] == [202, 400, 400, 202]


def test_a_batch_of_invalid_orders_is_207_at_once():
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        answer = served.ask(a_batch([{}, {}]))
        assert (answer.status, answer.json["accepted"]) == (207, 0)


def test_a_malformed_array_element_does_not_affect_the_others(served):
    order = json.dumps(AN_ORDER)
    odd = ['{"a":NaN}', order.replace("ana", "\\ud800"), order.replace("2", "9" * 5000)]
    answer = served.ask(a_batch(f" [ {order} , {', '.join(odd)},{order}]\r\n"))
    assert answer.status == 207
    assert [result["status"] for result in answer.json["results"]] == [202, 400, 400, 400, 202]


@pytest.mark.parametrize(
    "body", ["[", "", "[1,]", b"[\xff]", "[NaN", "[NaN,]", "[NaN] 1", "NaN", "[NaN 1]", "\ufeff[1]"]
)
def test_a_malformed_array_is_400(served, body):
    answer = served.ask(a_batch(body))
    assert (answer.status, answer.json["type"]) == (400, "/problems/malformed-json")


class Counting(json.JSONDecoder):
    count = 0

    def raw_decode(self, *args):
        self.count += 1
        return super().raw_decode(*args)


@pytest.mark.parametrize(("element", "looked_at"), [("0", 0), ("NaN", 1001)])
def test_an_overlong_array_is_not_split_completely(served, monkeypatch, element, looked_at):
    counting = Counting()
    monkeypatch.setattr(bodies, "_lenient", counting)
    answer = served.ask(a_batch(f"[{','.join([element] * 100_000)}]"))
    assert answer.json["detail"] == "A batch has 1 to 1000 orders; this one has more"
    assert counting.count == looked_at


@pytest.mark.parametrize("body", ["[]", "{}", "7", json.dumps(AN_ORDER), "[" * 30_000 + "]" * 30_000])
def test_a_body_that_is_not_an_array_of_orders_is_422(served, body):
    answer = served.ask(a_batch(body))
    assert (answer.status, answer.json["type"]) == (422, "/problems/invalid-batch")
    assert [error["pointer"] for error in answer.json["errors"]] == ["#"]


def test_the_largest_batch_is_accepted_and_one_order_more_is_422():
    with a_producer(batch_orders_max=1000) as served:
        assert served.ask(a_batch([AN_ORDER] * 1000)).json["accepted"] == 1000
        answer = served.ask(a_batch([AN_ORDER] * 1001))
        assert (answer.status, answer.json["type"]) == (422, "/problems/invalid-batch")
        assert len(served.commit.taken) == 1000


def test_a_batch_may_be_larger_than_one_order_may():
    with a_producer(body_bytes_max=1024, batch_bytes_max=8192) as served:
        batch = [AN_ORDER | {"item": "x" * 250}] * 20
        assert 1024 < len(json.dumps(batch)) < 8192
        assert served.ask(a_batch(batch)).status == 202
        assert served.ask(a_batch(batch + batch)).status == 413
        assert served.order(json.dumps(AN_ORDER) + " " * 1024).status == 413


def test_the_response_waits_until_every_order_is_acknowledged_or_failed():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as served:
        client = served.client().send(a_batch([AN_ORDER] * 3))
        soon(lambda: len(commit.tokens) == 3)
        first, *rest = commit.tokens
        commit.report([first], [])
        assert served.get("/health").status == 200
        assert client.has_nothing()
        commit.report(rest, [])
        assert client.answer().json["accepted"] == 3


def test_an_order_that_is_not_acknowledged_is_503_in_its_place_with_its_id():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as served:
        client = served.client().send(a_batch([AN_ORDER] * 3))
        soon(lambda: len(commit.tokens) == 3)
        one, two, three = commit.tokens
        commit.report([one, three], [(two, AckTimeout("within 10 s", None))])
        answer = client.answer()
        assert (answer.status, answer.json["accepted"]) == (207, 2)
        results = answer.json["results"]
        assert [result["status"] for result in results] == [202, 503, 202]
        assert results[1]["problem"]["type"] == "/problems/not-acknowledged"
        assert results[1]["order_id"] == results[1]["problem"]["order_id"]


def test_a_stop_answers_a_batch_with_the_results_so_far():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, config=a_config(shutdown_s=0.5)) as served:
        client = served.client().send(a_batch([AN_ORDER] * 2))
        soon(lambda: len(commit.tokens) == 2)
        commit.report(commit.tokens[:1], [])
        served.stop.set()
        answer = client.answer()
        assert (answer.status, answer.json["accepted"]) == (207, 1)
        assert [result["status"] for result in answer.json["results"]] == [202, 503]
        assert all(result["order_id"] for result in answer.json["results"])
        served.ends()
        commit.report(commit.tokens[1:], [])  # too late, which must not matter


class RoomFor(FakeCommit):
    def __init__(self, count, otherwise):
        super().__init__()
        self.count, self.otherwise = count, otherwise

    def submit(self, tp, record, token):
        if len(self.taken) >= self.count:
            raise self.otherwise
        super().submit(tp, record, token)


def test_backpressure_counts_each_order_of_a_batch():
    with a_producer(commit=RoomFor(2, Backpressure(2, 1000))) as served:
        answer = served.ask(a_batch([AN_ORDER] * 4))
        assert answer.status == 207
        assert [result["status"] for result in answer.json["results"]] == [202, 202, 503, 503]
        assert answer.json["results"][3]["problem"]["type"] == "/problems/too-many-waiting"
        assert int(answer.headers["retry-after"]) > 0
        assert "order_id" not in answer.json["results"][3]


@pytest.mark.parametrize(
    ("headers", "advice"),
    [
        ((), "Without an Idempotency-Key, look it up by its id first"),
        (("Idempotency-Key: batch-1",), "Send the whole batch again with the same Idempotency-Key"),
    ],
)
def test_an_unacknowledged_order_advises_a_retry_that_does_not_order_twice(headers, advice):
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as served:
        client = served.client().send(a_batch([AN_ORDER], *headers))
        soon(lambda: commit.tokens)
        commit.fail(AckTimeout("within 10 s", None))
        answer = client.answer()
        assert int(answer.headers["retry-after"]) > 0
        [result] = answer.json["results"]
        assert advice in result["problem"]["detail"]


def test_a_commit_that_closes_amid_a_batch_keeps_the_orders_it_took():
    with a_producer(commit=RoomFor(1, GroupCommitClosed())) as served:
        answer = served.ask(a_batch([AN_ORDER] * 2))
        assert [result["status"] for result in answer.json["results"]] == [202, 503]
        served.ends()


def test_with_ack_none_a_batch_is_answered_at_once():
    with a_producer(commit=FakeCommit(at_once=False), ack="none") as served:
        assert served.ask(a_batch([AN_ORDER] * 2)).json["accepted"] == 2


def test_a_repeated_batch_with_the_same_key_is_the_same_orders(served):
    batch = a_batch([AN_ORDER, AN_ORDER], "Idempotency-Key: batch-1")
    first, again = served.ask(batch), served.ask(batch)
    assert first.text == again.text
    assert len({result["order_id"] for result in first.json["results"]}) == 2
    assert len(served.commit.taken) == 2


def test_keys_of_batches_and_single_orders_never_collide(served):
    eleven = a_batch([AN_ORDER] * 12, "Idempotency-Key: k-1")
    one = a_batch([AN_ORDER] * 2, "Idempotency-Key: k-11")
    alone = a_request(headers=(JSON, "Idempotency-Key: k-110"))
    ids = [result["order_id"] for batch in (eleven, one) for result in served.ask(batch).json["results"]]
    assert len({*ids, served.ask(alone).json["order_id"]}) == 15


def test_a_changed_order_in_a_repeated_batch_is_422_in_its_place(served):
    served.ask(a_batch([AN_ORDER, AN_ORDER], "Idempotency-Key: b-2"))
    answer = served.ask(a_batch([AN_ORDER, AN_ORDER | {"quantity": 3}], "Idempotency-Key: b-2"))
    assert [result["status"] for result in answer.json["results"]] == [202, 422]
    assert answer.json["results"][1]["problem"]["type"] == "/problems/idempotency-key-reused"


def test_another_content_type_is_415_with_both_media_types(served):
    answer = served.ask(a_request("[]", path="/orders", headers=("Content-Type: text/csv",)))
    assert answer.status == 415
    assert answer.headers["accept-post"] == "application/json, application/x-ndjson"
