"""The API on a real Kafka: accepted requests take effect exactly once, despite retries and kills."""

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from campus.addresses import Address
from campus.domain.order_ids import keyed_order_id
from tests.api import contract
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, order_ids
from tests.support.processes import PATIENCE_S, Campus, soon

MakeCampus = Callable[..., Campus]

STOCK = dict.fromkeys(("pizza", "burger", "salad", "sandwich", "noodles"), 100)
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.text)


def ask(endpoint: Address, method: str, path: str, body: Any = None, **more: str) -> Answer:
    """The response is checked against the API's description. Header names have "_" for "-"."""
    headers = {**JSON, **{name.replace("_", "-"): value for name, value in more.items()}}
    with closing(http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, b"" if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        body = {name.lower(): value for name, value in response.getheaders()}
        answer = Answer(response.status, body, response.read())
    contract.check(method, path, answer.status, answer.headers, answer.text)
    return answer


def an_order(item: str = "pizza", quantity: int = 1, user_id: str = "ana") -> dict[str, Any]:
    return {"user_id": user_id, "item": item, "quantity": quantity}


def when(endpoint: Address, path: str, is_so: Callable[[Any], bool]) -> Any:
    """The body of GET once it fulfils the condition."""
    body: list[Any] = []

    def look() -> bool:
        answer = ask(endpoint, "GET", path)
        body[:] = [answer.json]
        return answer.status == http.client.OK and is_so(answer.json)

    soon(look)
    return body[0]


def level_of(endpoint: Address, item: str) -> Any:
    return next(level for level in ask(endpoint, "GET", "/stock").json["stock"] if level["item"] == item)


@pytest.fixture(scope="module")
def running(kafka: OneKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    """One campus for the tests that do not stop it; each test uses another item."""
    folder: Path = tmp_path_factory.mktemp("api")
    settings = {"broker.mode": "external", "roles.inventory.stock": STOCK}
    campus = Campus(folder, settings, bootstrap_servers=kafka.bootstrap_servers, prefix="api-")
    try:
        campus.start_up("--all")
        yield campus
    finally:
        campus.close()


def test_an_order_can_be_read_as_soon_as_it_is_accepted_and_is_decided_a_moment_later(
    running: Campus,
) -> None:
    placed = ask(running.endpoint, "POST", "/order", an_order("pizza", 2))
    assert placed.status == http.client.ACCEPTED
    at_once = ask(running.endpoint, "GET", placed.headers["location"])
    assert at_once.status == http.client.OK
    body = when(running.endpoint, placed.headers["location"], lambda order: order["status"] != "accepted")
    assert (body["status"], body["quantity"], body["remaining"]) == ("reserved", 2, 98)
    assert None not in (body["accepted_at"], body["decided_at"], body["offset"], body["journal_offset"])
    latest = ask(running.endpoint, "GET", "/orders?item=pizza").json["orders"]
    assert [order["order_id"] for order in latest] == [body["order_id"]]


def test_prefer_wait_gets_the_outcome(running: Campus) -> None:
    for quantity, status in ((1, "reserved"), (1000, "failed")):
        answer = ask(running.endpoint, "POST", "/order", an_order("burger", quantity), Prefer="wait=30")
        assert (answer.status, answer.json["status"]) == (http.client.OK, status)


def test_the_orders_of_a_batch_are_decided_separately(running: Campus) -> None:
    batch = [an_order("noodles", 60), an_order("noodles", 0), an_order("noodles", 60)]
    answer = ask(running.endpoint, "POST", "/orders", batch)
    assert answer.status == http.client.MULTI_STATUS
    first, bad, second = answer.json["results"]
    assert "order_id" not in bad
    decided = [
        when(running.endpoint, f"/orders/{result['order_id']}", lambda order: order["status"] != "accepted")
        for result in (first, second)
    ]
    assert [order["status"] for order in decided] == ["reserved", "failed"]


def test_a_cancelled_order_gives_back_what_it_reserved_once(running: Campus) -> None:
    order = ask(running.endpoint, "POST", "/order", an_order("salad", 30), Prefer="wait=30").json
    assert level_of(running.endpoint, "salad")["remaining"] == 70
    answers = [ask(running.endpoint, "POST", f"/orders/{order['order_id']}/cancel") for _ in range(3)]
    assert {answer.status for answer in answers} == {http.client.ACCEPTED}
    assert len({answer.text for answer in answers}) == 1
    body = when(
        running.endpoint, f"/orders/{order['order_id']}", lambda order: order["status"] == "cancelled"
    )
    assert body["cancelled_at"] is not None
    # Decided after all three cancellations, in the same partition.
    last = ask(running.endpoint, "POST", "/order", an_order("salad", 1), Prefer="wait=30").json
    assert last["remaining"] == 99
    level = level_of(running.endpoint, "salad")
    assert (level["remaining"], level["reserved"]) == (99, 1)


def test_a_restock_is_counted_once_for_one_key(running: Campus) -> None:
    token = (running.config.broker.data_dir / "token").read_text().strip()
    more = {"Authorization": f"Bearer {token}", "Idempotency_Key": "delivery-7"}
    answers = [ask(running.endpoint, "POST", "/stock/sandwich", {"quantity": 20}, **more) for _ in range(3)]
    assert {answer.status for answer in answers} == {http.client.ACCEPTED}
    assert len({answer.text for answer in answers}) == 1
    last = ask(running.endpoint, "POST", "/order", an_order("sandwich", 1), Prefer="wait=30").json
    assert last["remaining"] == 119
    assert (
        ask(running.endpoint, "POST", "/stock/sandwich", {"quantity": 1}).status == http.client.UNAUTHORIZED
    )


# Exactly once.


def keyed_orders(count: int) -> dict[str, dict[str, Any]]:
    """Orders by their key."""
    return {f"key-{n}": an_order("pizza", 1, f"user-{n}") for n in range(count)}


def send_and_never_read(endpoint: Address, key: str, order: dict[str, Any]) -> socket.socket:
    body = json.dumps(order).encode()
    connection = socket.create_connection((endpoint.host, endpoint.port), timeout=PATIENCE_S)
    head = (
        f"POST /order HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
    )
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return connection


def test_a_keyed_retry_after_a_kill_places_no_second_order(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--all")
    orders = keyed_orders(40)
    ids = {key: keyed_order_id(key, **order) for key, order in orders.items()}
    # Half of the orders are in the log, without a response; of the others it is not known.
    keys = list(orders)
    sent = [send_and_never_read(here.endpoint, key, orders[key]) for key in keys[:20]]
    soon(lambda: {ids[key] for key in keys[:20]} <= set(order_ids(here.config)))
    sent += [send_and_never_read(here.endpoint, key, orders[key]) for key in keys[20:]]
    program.kill()
    for connection in sent:
        connection.close()
    here.start_up("--all")
    again = {
        key: ask(here.endpoint, "POST", "/order", order, Idempotency_Key=key) for key, order in orders.items()
    }
    assert {key: answer.json["order_id"] for key, answer in again.items()} == ids
    assert {answer.status for answer in again.values()} == {http.client.ACCEPTED}
    totals = audited(here.config, accepted=ids.values()).summed_totals()
    assert (totals.reserved, totals.orders) == (40, 40)


def test_two_processes_asked_at_once_decide_one_order(campus: MakeCampus) -> None:
    here, there = campus(), campus()
    here.start_up("--all")
    there.start_up("--role", "producer")
    orders = keyed_orders(40)
    with ThreadPoolExecutor(8) as clients:
        answers = list(
            clients.map(
                lambda asked: ask(asked[0], "POST", "/order", orders[asked[1]], Idempotency_Key=asked[1]),
                [
                    (endpoint, key)
                    for key in orders
                    for endpoint in (here.endpoint, there.endpoint)
                    for _ in range(2)
                ],
            )
        )
    assert {answer.status for answer in answers} == {http.client.ACCEPTED}
    assert len({answer.text for answer in answers}) == 40
    assert len(order_ids(here.config)) > 40  # duplicates, since each process wrote its own
    ids = {answer.json["order_id"] for answer in answers}
    totals = audited(here.config, accepted=ids).summed_totals()
    assert (totals.reserved, totals.orders) == (40, 40)


def test_a_restarted_process_refuses_a_known_key_for_another_order(
    campus: MakeCampus,
) -> None:
    here = campus()
    program = here.start_up("--all")
    first = ask(here.endpoint, "POST", "/order", an_order(), Idempotency_Key="k", Prefer="wait=30")
    program.kill()
    here.start_up("--all")
    when(here.endpoint, f"/orders/{first.json['order_id']}", lambda order: order["status"] == "reserved")
    other = ask(here.endpoint, "POST", "/order", an_order(quantity=2), Idempotency_Key="k")
    assert (other.status, other.json["type"]) == (422, "/problems/idempotency-key-reused")
    again = ask(here.endpoint, "POST", "/order", an_order(), Idempotency_Key="k", Prefer="wait=30")
    assert again.json == first.json
    assert len(order_ids(here.config)) == 1
