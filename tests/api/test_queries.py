"""The GET endpoints: an order, the latest orders, the stock, and readiness."""

from urllib.parse import quote

import pytest

from campus.domain.codec import encode
from campus.domain.partitions import item_partition
from campus.kafka.producer.group_commit import AckTimeout, Backpressure
from tests.api.book_fixture import BookFixture
from tests.api.serving import AN_ORDER, FakeCommit, a_producer, a_request, soon
from tests.builders import PARTITIONS, an_order


@pytest.fixture
def book_fixture():
    return BookFixture(pizza=100, salad=50)


@pytest.fixture
def served(book_fixture):
    with a_producer(book=book_fixture.book) as running:
        yield running


def test_an_accepted_order_can_be_read_at_its_location(served):
    placed = served.order()
    answer = served.get(placed.headers["location"])
    assert answer.status == 200
    body = answer.json
    assert (body["order_id"], body["status"]) == (placed.json["order_id"], "accepted")
    assert (body["user_id"], body["item"], body["quantity"]) == ("ana", "pizza", 2)
    assert body["partition"] == item_partition("pizza", PARTITIONS)
    assert body["decided_at"] is body["offset"] is body["remaining"] is None


def test_a_decided_order_has_its_times_and_offsets(served, book_fixture):
    placed = [served.order(), served.order(AN_ORDER | {"quantity": 1000})]
    book_fixture.decides(served.commit)
    reserved, failed = (served.get(answer.headers["location"]).json for answer in placed)
    assert (reserved["status"], reserved["remaining"], reserved["reason"]) == ("reserved", 98, None)
    assert (failed["status"], failed["remaining"], failed["reason"]) == ("failed", 98, "insufficient_stock")
    for body in (reserved, failed):
        assert all(body[name] is not None for name in ("accepted_at", "decided_at", "offset", "seq"))


@pytest.mark.parametrize(
    "order_id", ["a/b", "ä ö", "a?b#c", "100%", "a/cancel/b", "line\nbreak", "x\n", "\x00", "<script>"]
)
def test_an_order_id_may_be_any_text(served, book_fixture, order_id):
    book_fixture.takes(encode(an_order(order_id)), item_partition("pizza", PARTITIONS))
    answer = served.get(f"/orders/{quote(order_id, safe='')}")
    assert (answer.status, answer.json["order_id"]) == (200, order_id)


def test_an_unknown_order_is_404_with_the_size_of_the_book(served):
    answer = served.get("/orders/nobody")
    assert (answer.status, answer.json["type"]) == (404, "/problems/unknown-order")
    assert "the last 1000" in answer.json["detail"]
    assert "nobody" not in answer.text.decode()


@pytest.mark.parametrize("path", ["/orders/%ff", "/orders/", "/orders/a%c3"])
def test_a_path_that_is_not_utf_8_is_404(served, path):
    assert served.get(path).json["type"] == "/problems/no-such-path"


def test_an_id_that_is_too_long_is_400_and_names_the_parameter(served):
    answer = served.get("/orders/" + "x" * 257)
    assert answer.status == 400
    assert [error["parameter"] for error in answer.json["errors"]] == ["order_id"]


def test_the_latest_orders_are_listed_newest_first_with_the_window(served):
    ids = [served.order().json["order_id"] for _ in range(3)]
    body = served.get("/orders").json
    assert [order["order_id"] for order in body["orders"]] == ids[::-1]
    assert body["window"] == {"orders": 3, "orders_max": 1000, "caught_up": True, "behind": 0}


def test_orders_are_found_by_user_item_and_status(served, book_fixture):
    for user_id, item, quantity in [("ana", "pizza", 1), ("bo", "pizza", 1), ("bo", "salad", 51)]:
        served.order({"user_id": user_id, "item": item, "quantity": quantity})
    book_fixture.decides(served.commit)
    served.order({"user_id": "é&=", "item": "pizza", "quantity": 1})

    def found(query):
        return [(order["user_id"], order["item"]) for order in served.get(f"/orders?{query}").json["orders"]]

    assert found("user_id=bo") == [("bo", "salad"), ("bo", "pizza")]
    assert found("user_id=bo&item=pizza") == [("bo", "pizza")]
    assert found("status=failed") == [("bo", "salad")]
    assert found("status=accepted") == [("é&=", "pizza")]
    assert found("user_id=%C3%A9%26%3D") == [("é&=", "pizza")]
    assert found("limit=1") == [("é&=", "pizza")]
    assert found("user_id=nobody") == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.0", "limit"),
        ("limit=%D9%A3", "limit"),  # an Arabic three
        ("limit=" + "9" * 5000, "limit"),
        ("limit=", "limit"),
        ("status=Reserved", "status"),
        ("status=null", "status"),
        ("item=", "item"),
        ("user_id=" + "x" * 257, "user_id"),
        ("item=a&item=b", "item"),
        ("colour=red", "colour"),
        ("x" * 50 + "=1", "x" * 39 + "…"),
        ("user_id", "user_id"),
        ("user_id=%ff", "query"),
        ("&".join(f"a{n}=1" for n in range(50)), "query"),
    ],
)
def test_an_invalid_query_is_400_and_names_the_parameter(served, query, parameter):
    answer = served.get(f"/orders?{query}")
    assert (answer.status, answer.json["type"]) == (400, "/problems/invalid-parameter")
    assert [error["parameter"] for error in answer.json["errors"]] == [parameter]


@pytest.mark.parametrize("path", ["/stock?item=pizza", "/health?x", "/orders/a?x=1"])
def test_a_query_on_an_endpoint_without_parameters_is_400(served, path):
    answer = served.get(path)
    assert (answer.status, answer.json["type"]) == (400, "/problems/invalid-parameter")


def test_an_order_with_a_query_is_not_placed(served):
    assert served.ask(a_request(path="/order?dry_run=true")).status == 400
    assert served.commit.taken == []


def test_the_stock_is_listed_by_item_with_its_journal_position(served, book_fixture):
    served.order()
    book_fixture.decides(served.commit)
    body = served.get("/stock").json
    pizza, salad = body["stock"]
    assert (pizza["item"], pizza["remaining"], pizza["reserved"]) == ("pizza", 98, 2)
    assert (salad["item"], salad["remaining"], salad["reserved"]) == ("salad", 50, 0)
    assert pizza["as_of_seq"] >= 2
    assert body["window"]["caught_up"]


@pytest.mark.parametrize("path", ["/orders", "/orders/x", "/stock"])
def test_without_an_order_book_it_is_503_with_how_to_start_one(path):
    with a_producer() as served:
        answer = served.get(path)
        assert (answer.status, answer.json["type"]) == (503, "/problems/no-order-book")
        assert "--role book" in answer.json["detail"]


def test_health_tells_whether_the_broker_acknowledges():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as served:
        assert served.get("/health").json == {"status": "ok"}
        waiting = served.client().send(a_request())
        soon(lambda: commit.tokens)
        commit.fail(AckTimeout("within 10 s", None))
        assert waiting.answer().status == 503
        soon(lambda: served.get("/health").json["status"] == 503)
        assert served.get("/health").json["type"] == "/problems/broker-away"


def test_health_recovers_without_orders_when_the_broker_is_back():
    commit = FakeCommit(at_once=False)
    with a_producer(commit=commit) as served:
        waiting = served.client().send(a_request())
        soon(lambda: commit.tokens)
        commit.fail(AckTimeout("within 10 s", None))
        assert waiting.answer().status == 503
        soon(lambda: served.get("/health").json["status"] == 503)
        commit.is_there = True
        soon(lambda: served.get("/health").json == {"status": "ok"})


def test_backpressure_does_not_make_health_fail(caplog):
    commit = FakeCommit(refuses=Backpressure(20_000, 9_000_000))
    with a_producer(commit=commit) as served:
        assert served.order().json["type"] == "/problems/too-many-waiting"
        soon(lambda: "orders beyond waiting_orders_max fail" in caplog.text)
        assert served.get("/health").json == {"status": "ok"}


def test_an_order_unknown_to_a_loading_book_is_503_not_404(served, book_fixture):
    book_fixture.book.caught_up, book_fixture.book.behind = False, 7
    for answer in (
        served.get("/orders/o-1"),
        served.ask(a_request(b"", path="/orders/o-1/cancel", headers=())),
    ):
        assert (answer.status, answer.json["type"]) == (503, "/problems/order-book-behind")
        assert int(answer.headers["retry-after"]) > 0
    book_fixture.takes(encode(an_order("o-1", "pizza", 1)), item_partition("pizza", PARTITIONS))
    assert served.get("/orders/o-1").status == 200


def test_a_book_that_has_read_nothing_does_not_report_an_empty_stock():
    empty = BookFixture()
    with a_producer(book=empty.book) as served:
        assert served.get("/stock").json["stock"] == []
        empty.book.caught_up = False
        assert served.get("/stock").json["type"] == "/problems/order-book-behind"


@pytest.mark.parametrize("order_id", ["cancel", "a cancel"])
def test_an_order_id_may_contain_the_word_cancel(served, book_fixture, order_id):
    book_fixture.takes(encode(an_order(order_id, "pizza", 1)), item_partition("pizza", PARTITIONS))
    assert served.get(f"/orders/{quote(order_id)}").json["order_id"] == order_id
