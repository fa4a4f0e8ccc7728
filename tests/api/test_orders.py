"""POST /order and the producer role, with a commit that the test controls instead of a broker."""

import json
import logging
import time
import uuid

import pytest

from campus.api import failures
from campus.domain.codec import decode_input
from campus.domain.events import OrderPlaced
from campus.domain.partitions import item_partition
from campus.domain.times import ms_of
from campus.http.server import HttpServer
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.group_commit import AckTimeout, Backpressure, GroupCommitClosed
from campus.kafka.records import TopicPartition
from roles import producer
from tests.api.serving import AN_ORDER, SOON_S, FakeCommit, a_config, a_producer, a_request, soon

LATE = AckTimeout(
    "within 10 s", AppendFailed({TopicPartition("order-events", 1): ConnectionError("no connection")})
)


@pytest.fixture(scope="module")
def producer_for_all():
    with a_producer() as running:
        yield running


@pytest.fixture
def served(producer_for_all):
    producer_for_all.commit.taken.clear()
    return producer_for_all


# Placing an order.


def test_an_accepted_order_is_202_with_its_id_and_fields(served):
    answer = served.order()
    assert answer.status == 202
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    order_id = body.pop("order_id")
    assert uuid.UUID(order_id).version == 7
    assert answer.headers["location"] == f"/orders/{order_id}"
    assert body == {"status": "accepted", "user_id": "ana", "item": "pizza", "quantity": 2}


def test_the_record_is_an_order_placed_event_keyed_by_its_item():
    with a_producer(config=a_config(prefix="t-")) as served:
        body = served.order({"user_id": "bo", "item": "crème brûlée", "quantity": 1}).json
        [(tp, (key, value, headers))] = served.commit.taken
    assert tp == ("t-order-events", item_partition("crème brûlée", 4))
    assert key == "crème brûlée".encode()
    assert not headers
    placed_at = json.loads(value)["placed_at"]
    assert decode_input(value) == OrderPlaced(
        order_id=body["order_id"], user_id="bo", item="crème brûlée", quantity=1, placed_at=placed_at
    )
    assert 0 <= time.time() * 1000 - ms_of(placed_at) < SOON_S * 1000


def test_an_unknown_item_is_accepted_because_inventory_decides(served):
    assert served.order(AN_ORDER | {"item": "unobtainium"}).status == 202


def test_two_equal_orders_are_two_orders(served):
    assert served.order().json["order_id"] != served.order().json["order_id"]


# The acknowledgement.


def test_the_response_waits_for_the_brokers_acknowledgement():
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        waiting = served.client().send(a_request())
        soon(lambda: served.commit.taken)
        assert served.order(path="/elsewhere").status == 404  # other connections are served meanwhile
        assert waiting.has_nothing()
        served.commit.acknowledge()
        assert waiting.answer().status == 202


def test_an_acknowledged_batch_wakes_the_event_loop_once(monkeypatch):
    wake_ups = []
    call_soon = HttpServer.call_soon
    monkeypatch.setattr(
        HttpServer, "call_soon", lambda self, *args: (wake_ups.append(1), call_soon(self, *args))[1]
    )
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        waiting = [served.client().send(a_request()) for _ in range(20)]
        soon(lambda: len(served.commit.tokens) == 20)
        served.commit.acknowledge()
        assert {client.answer().status for client in waiting} == {202}
    assert len(wake_ups) == 1


def test_with_ack_none_an_order_is_202_without_an_acknowledgement():
    with a_producer(commit=FakeCommit(at_once=False), ack="none") as served:
        assert served.order().status == 202
        assert len(served.commit.taken) == 1


def test_an_order_that_is_not_acknowledged_is_503_and_may_still_come():
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        waiting = served.client().send(a_request())
        soon(lambda: served.commit.taken)
        served.commit.fail(LATE)
        answer = waiting.answer()
        [(_, (_, value, _))] = served.commit.taken
    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json["type"] == "/problems/not-acknowledged"
    assert answer.json["order_id"] == json.loads(value)["order_id"]
    assert "may still be carried out" in answer.json["detail"]
    assert "look it up by its id first" in answer.json["detail"]
    assert "order-events" not in answer.text.decode()  # no internals


def test_a_commit_that_never_reports_is_503_at_the_timeout(monkeypatch):
    monkeypatch.setattr(producer, "BACKSTOP_S", 0.1)
    with a_producer(commit=FakeCommit(at_once=False), ack_timeout_s=0.1) as served:
        answer = served.order()
        assert answer.status == 503
        assert answer.json["order_id"]
        served.commit.acknowledge()  # too late, which must not matter
        assert served.client().send(a_request(path="/elsewhere")).answer().status == 404


def test_backpressure_is_503_at_once_and_nothing_is_placed():
    with a_producer(commit=FakeCommit(refuses=Backpressure(20_000, 9_000_000))) as served:
        answer = served.order()
        assert answer.status == 503
        assert answer.json["type"] == "/problems/too-many-waiting"
        assert "order_id" not in answer.json
        assert int(answer.headers["retry-after"]) > 0
        served.commit.refuses = None
        assert served.order().status == 202


def test_a_client_that_disconnects_while_its_order_waits_does_not_affect_others():
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        leaving = served.client().send(a_request())
        soon(lambda: served.commit.taken)
        leaving.close()
        staying = served.client().send(a_request())
        soon(lambda: len(served.commit.taken) == 2)
        served.commit.acknowledge()
        assert staying.answer().status == 202


def test_orders_on_one_connection_are_answered_in_order():
    with a_producer() as served:
        client = served.client().send(a_request() + a_request(b"{") + a_request())
        assert [client.answer().status for _ in range(3)] == [202, 400, 202]


@pytest.mark.parametrize(
    ("after_it", "refused"),
    [(b"nonsense\r\n\r\n", 400), (b"POST /ord", 408), (a_request(headers=("Content-Length: 99",)), 408)],
)
def test_a_refusal_is_sent_after_the_response_to_an_earlier_order(after_it, refused):
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit, head_timeout_s=0.1, body_timeout_s=0.1) as served:
        client = served.client().send(a_request() + after_it)
        soon(lambda: served.commit.taken)
        assert served.client().is_closed()  # the head timeout is over, also for the refused request
        assert client.has_nothing()
        served.commit.acknowledge()
        assert [client.answer().status for _ in range(2)] == [202, refused]
        assert client.is_closed()


# Invalid orders.


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"user_id": "ana", "item": "pizza"}, ["#/quantity"]),
        ({"user_id": "ana", "item": "pizza", "quantity": 0}, ["#/quantity"]),
        ({"user_id": "ana", "item": "pizza", "quantity": 1_000_001}, ["#/quantity"]),
        ({"user_id": "ana", "item": "pizza", "quantity": "2"}, ["#/quantity"]),
        ({"user_id": "ana", "item": "pizza", "quantity": 2.0}, ["#/quantity"]),
        ({"user_id": "ana", "item": "pizza", "quantity": True}, ["#/quantity"]),
        ({"user_id": "ana", "item": "pizza", "quantity": None}, ["#/quantity"]),
        ({"user_id": "ana", "item": "", "quantity": 2}, ["#/item"]),
        ({"user_id": "x" * 257, "item": "pizza", "quantity": 2}, ["#/user_id"]),
        ('[{"a": 1, "a": 2}]', ["#"]),
        ({"user_id": 7, "item": [], "quantity": {}}, ["#/user_id", "#/item", "#/quantity"]),
        (AN_ORDER | {"note": "hot"}, ["#/note"]),
        (AN_ORDER | {"a/b~c": 1}, ["#/a~1b~0c"]),
        ({}, ["#/user_id", "#/item", "#/quantity"]),
        ("[]", ["#"]),
        ("7", ["#"]),
        ('{"user_id": "ana", "item": "pizza", "quantity": "2", "quantity": 2}', ["#/quantity"]),
        ('{"user_id": "ana", "item": "pizza", "quantity": 1, "quantity": 2}', ["#/quantity"]),
        ('{"item": "a\\"", "user_id": "ana", "item": "pizza", "quantity": 2, "\\u0069tem": "b"}', ["#/item"]),
        ('{"user_id": {"a": 1, "a": 2}, "item": "pizza", "quantity": 2, "user_id": "ana"}', ["#/user_id"]),
        ({**AN_ORDER, "a b/%~é": 1}, ["#/a%20b~1%25~0%C3%A9"]),
        ({**AN_ORDER, "x" * 41: 1}, ["#"]),
        ('{"x": ' + "[" * 30_000 + "]" * 30_000 + "}", ["#"]),
    ],
)
def test_an_invalid_order_is_422_and_names_every_wrong_field(served, body, pointers):
    answer = served.order(body)
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "/problems/invalid-order"
    assert [error["pointer"] for error in answer.json["errors"]] == pointers
    assert served.commit.taken == []


def test_a_misspelt_field_gets_a_suggestion(served):
    errors = served.order({"user_id": "ana", "item": "pizza", "qty": 2}).json["errors"]
    assert errors == [
        {
            "pointer": "#/quantity",
            "detail": "quantity is missing; it must be a whole number from 1 to 1000000",
        },
        {"pointer": "#/qty", "detail": "qty is not a known field: did you mean quantity?"},
    ]


def test_of_thousands_of_unknown_fields_only_a_few_are_reported(served):
    answer = served.order({f"f{n}": 1 for n in range(5000)})
    assert answer.status == 422
    assert len(answer.json["errors"]) <= 8
    assert len(answer.text) < 4000


@pytest.mark.parametrize(
    "body", ["", "{", "nonsense", '{"user_id":"ana"} x', b"\xff\xfe", b'{"user_id":"\xff"}', '{"a":NaN}']
)
def test_malformed_json_is_400(served, body):
    answer = served.order(body)
    assert answer.status == 400
    assert answer.json["type"] == "/problems/malformed-json"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Content-Type: text/plain",),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("Content-Type: application/json; charset=latin-1",),
        ("Content-Type: application/json", "Content-Type: text/plain"),
        ("Content-Type: application/json", "Content-Encoding: gzip"),
    ],
)
def test_another_content_type_is_415_with_accept_post(served, headers):
    answer = served.order(headers=headers)
    assert answer.status == 415
    assert answer.headers["accept"] == answer.headers["accept-post"] == "application/json"


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"'],
)
def test_the_json_media_type_may_have_a_charset_and_any_case(served, content_type):
    assert served.order(headers=(f"Content-Type: {content_type}",)).status == 202


def test_an_unknown_path_is_404_and_an_unknown_method_405_with_allow(served):
    assert served.order(path="/ordres").json["type"] == "/problems/no-such-path"
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        answer = served.ask(a_request(b"", method=method), method)
        assert (answer.status, answer.headers["allow"]) == (405, "OPTIONS, POST")
        assert answer.json["type"] == "/problems/method-not-allowed"


def test_every_error_is_a_problem_without_markup(served):
    wrong = [
        a_request(b"{"),
        a_request(b"", method="GET"),
        a_request(path="/nowhere%ff%00<script>"),
        a_request(path="//"),
        b"nonsense\r\n\r\n",
    ]
    for request in wrong:
        answer = served.ask(request)
        assert answer.status >= 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json["status"] == answer.status
        assert b"<" not in answer.text


def test_an_internal_error_is_500_for_the_client_and_logged(caplog, capfd):
    with a_producer(commit=FakeCommit(refuses=ValueError("secret"))) as served:
        answer = served.order()
        assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
        assert b"secret" not in answer.text
        served.commit.refuses = None
        assert served.order().status == 202
    assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == ["http"]
    assert capfd.readouterr() == ("", "")


def test_head_gets_the_headers_alone(served):
    client = served.client().send(a_request(b"", method="HEAD") + a_request())
    assert client.answer("HEAD").status == 405
    assert client.answer().status == 202


@pytest.mark.parametrize("request_", [a_request(), a_request(b"{"), b"nonsense\r\n\r\n"])
def test_responses_are_no_store_and_nosniff_and_have_no_server_header(served, request_):
    headers = served.ask(request_).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "content-length" in headers and "date" in headers
    assert "server" not in headers


# The role.


def lines_of(caplog):
    return [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "producer"]


def test_the_role_logs_and_reports_where_it_listens(caplog):
    caplog.set_level(logging.INFO)
    with a_producer() as served:
        where = f"orders: POST http://127.0.0.1:{served.port}/order"
        assert lines_of(caplog) == [("INFO", where)]
        assert served.role.health().doing == where
        assert served.role.health().ready


def test_an_outage_is_logged_once_at_its_beginning_and_once_at_its_end(caplog, monkeypatch):
    monkeypatch.setattr(failures, "CALM_S", 0.0)
    with a_producer(commit=FakeCommit(at_once=False)) as served:
        caplog.set_level(logging.INFO)
        caplog.clear()
        for _ in range(3):
            waiting = [served.client().send(a_request()) for _ in range(5)]
            soon(lambda: len(served.commit.tokens) == 5)
            served.commit.fail(LATE)
            assert {client.answer().status for client in waiting} == {503}
        soon(lambda: served.role.health().doing.startswith("orders fail"))
        served.commit.at_once = True
        assert served.order().status == 202
        soon(lambda: served.role.health().doing.startswith("orders: POST"))
    (level, begins), (level_after, ends) = lines_of(caplog)
    assert (level, level_after) == ("WARNING", "INFO")
    assert begins.startswith("orders fail: order-events[1] did not acknowledge: ")
    assert ends.startswith("orders go through again; 15 failed, in ")


def test_the_heartbeat_is_renewed_without_orders():
    with a_producer() as served:
        at_s = served.role.health().heartbeat_at_s
        soon(lambda: served.role.health().heartbeat_at_s > at_s)


def test_a_closed_commit_crashes_the_role_so_that_it_is_rebuilt():
    closed = GroupCommitClosed()
    with a_producer(commit=FakeCommit(refuses=closed)) as served:
        assert served.order().json["type"] == "/problems/starting-anew"
        served.ends()
        assert served.error is closed
        assert served.commit.closed


def test_with_ack_none_lost_orders_are_counted_at_the_end(caplog):
    with a_producer(commit=FakeCommit(at_once=False), ack="none") as served:
        assert [served.order().status for _ in range(3)] == [202] * 3
        served.commit.fail(LATE)
        served.stop.set()
        served.ends()
    assert lines_of(caplog)[-1][1].startswith("3 orders failed")
