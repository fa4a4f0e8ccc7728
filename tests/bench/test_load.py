"""When requests are due, and what latency counts from: with a clock that only the test moves."""

import asyncio
from itertools import islice

import pytest

from campus.bench import load
from campus.bench.environment import Environment
from campus.bench.http_clients import OrderResponse
from campus.bench.load import Load, TimedRequest, draw_orders, send_all
from campus.config.settings import Config
from roles import inventory


def orders(seed: int = 1):
    config = Config(roles={"inventory": inventory.Settings(stock={"pizza": 10, "salad": 10})})
    return draw_orders(Environment(config, "bench", seed, system=None))


class AClock:
    """In place of the `time` module; waiting moves it on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0, "no sleep when a request is already due"
        self.now_s += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> AClock:
    clock = AClock()
    monkeypatch.setattr(load, "time", clock)
    monkeypatch.setattr(load.asyncio, "sleep", clock.sleep)
    return clock


class AClient:
    """In place of an HTTP client. An order takes `usual_s`, or `slow_s` by its number."""

    def __init__(self, clock: AClock, usual_s: float, slow_s: dict[int, float] | None = None) -> None:
        self.clock, self.usual_s, self.slow_s = clock, usual_s, slow_s or {}
        self.orders = 0

    async def send(self, order) -> OrderResponse:
        self.clock.now_s += self.slow_s.get(self.orders, self.usual_s)
        self.orders += 1
        return OrderResponse(202, f"order-{self.orders}")


def requests_of(a_load: Load, client: AClient) -> list[TimedRequest]:
    requests: list[TimedRequest] = []
    asyncio.run(send_all(a_load, orders(), [client], requests))
    return requests


def latencies_ms(requests: list[TimedRequest]) -> list[int]:
    return [round(1000 * request.latency_s) for request in requests]


def test_in_an_open_loop_requests_are_due_at_even_intervals_however_long_responses_take(clock):
    client = AClient(clock, usual_s=0.001)
    requests = requests_of(Load(clients=1, events=5, rate_per_s=10.0), client)
    assert [round(request.due_s, 3) for request in requests] == [100.0, 100.1, 100.2, 100.3, 100.4]
    assert [request.sent_s for request in requests] == pytest.approx([r.due_s for r in requests])
    assert latencies_ms(requests) == [1] * 5


def test_one_slow_response_delays_all_requests_that_were_due_meanwhile(clock):
    # The second takes 400 ms; those due at 200, 300 and 400 ms wait for it, which is part of their latency.
    client = AClient(clock, usual_s=0.001, slow_s={1: 0.4})
    requests = requests_of(Load(clients=1, events=6, rate_per_s=10.0), client)
    assert latencies_ms(requests) == [1, 400, 301, 202, 103, 4]


def test_the_latency_of_an_overloaded_system_grows_with_every_order(clock):
    client = AClient(clock, usual_s=0.15)
    assert latencies_ms(requests_of(Load(clients=1, events=4, rate_per_s=10.0), client)) == [
        150,
        200,
        250,
        300,
    ]


def test_in_a_closed_loop_latency_counts_from_sending(clock):
    client = AClient(clock, usual_s=0.001, slow_s={1: 0.4})
    assert latencies_ms(requests_of(Load(clients=1, events=4), client)) == [1, 400, 1, 1]


def test_an_open_loop_with_a_duration_has_rate_times_duration_requests(clock):
    client = AClient(clock, usual_s=0.001)
    ten = Load(clients=1, duration_s=0.5, rate_per_s=20.0)
    assert ten.total == len(requests_of(ten, client)) == 10


def test_a_closed_loop_with_a_duration_sends_nothing_after_it(clock):
    client = AClient(clock, usual_s=0.03)
    short = Load(clients=1, duration_s=0.1)
    assert short.total is None
    assert [round(request.sent_s - 100, 2) for request in requests_of(short, client)] == [
        0.0,
        0.03,
        0.06,
        0.09,
    ]


def test_clients_share_the_orders_and_none_is_sent_twice(clock):
    requests: list[TimedRequest] = []
    clients = [AClient(clock, usual_s=0.001) for _ in range(3)]
    asyncio.run(send_all(Load(clients=3, events=10), orders(), clients, requests))
    assert sum(client.orders for client in clients) == len(requests) == 10


def test_the_same_seed_draws_the_same_orders_and_another_seed_others():
    def drawn(seed: int) -> list[object]:
        return [*islice(orders(seed), 100)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert {order.item for order in drawn(1)} == {"pizza", "salad"}
    assert all(order.user_id.startswith("bench-") for order in drawn(1))


@pytest.mark.parametrize("status", [0, 400, 503])
def test_only_a_202_is_accepted(status):
    assert not TimedRequest(0.0, 0.0, 1.0, OrderResponse(status, None)).is_accepted
    assert TimedRequest(0.0, 0.0, 1.0, OrderResponse(202, "id")).is_accepted
