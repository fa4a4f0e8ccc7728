"""When orders are due, and what a latency counts from: with a clock that only moves when it is told to."""

import asyncio
from itertools import islice

import pytest

from campus.bench.http_clients import Answer
from campus.bench.load import Load, Sample, offered
from campus.bench.orders import Wishes

WISHES = Wishes(run="bench", items=("pizza", "salad"), seed=1)


class AClock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def now(self) -> float:
        return self.now_s

    async def sleep_until(self, at_s: float) -> None:
        assert at_s > self.now_s, "nobody sleeps when an order is due already"
        self.now_s = at_s


class AServer:
    """Takes so long for each order, the slow ones apart, by their number."""

    def __init__(self, clock: AClock, usual_s: float, slow_s: dict[int, float] | None = None) -> None:
        self.clock, self.usual_s, self.slow_s = clock, usual_s, slow_s or {}
        self.orders = 0

    async def order(self, wish) -> Answer:
        self.clock.now_s += self.slow_s.get(self.orders, self.usual_s)
        self.orders += 1
        return Answer(202, f"order-{self.orders}")


def samples_of(load: Load, server: AServer) -> list[Sample]:
    samples: list[Sample] = []
    asyncio.run(offered(load, iter(WISHES), [server], server.clock, samples))
    return samples


def latencies_ms(samples: list[Sample]) -> list[int]:
    return [round(1000 * sample.latency_s) for sample in samples]


def test_in_an_open_loop_orders_are_due_at_even_times_whatever_the_answers_take():
    server = AServer(AClock(), usual_s=0.001)
    samples = samples_of(Load(clients=1, events=5, rate_per_s=10.0), server)
    assert [round(sample.due_s, 3) for sample in samples] == [100.0, 100.1, 100.2, 100.3, 100.4]
    assert [sample.sent_s for sample in samples] == [sample.due_s for sample in samples]
    assert latencies_ms(samples) == [1] * 5


def test_one_slow_answer_counts_for_all_that_were_due_meanwhile():
    # 400 ms for the second order; those due at 200, 300 and 400 ms wait for it, and that is their latency.
    server = AServer(AClock(), usual_s=0.001, slow_s={1: 0.4})
    samples = samples_of(Load(clients=1, events=6, rate_per_s=10.0), server)
    assert latencies_ms(samples) == [1, 400, 301, 202, 103, 4]


def test_too_slow_a_system_falls_further_behind_with_every_order():
    server = AServer(AClock(), usual_s=0.15)
    assert latencies_ms(samples_of(Load(clients=1, events=4, rate_per_s=10.0), server)) == [
        150,
        200,
        250,
        300,
    ]


def test_in_a_closed_loop_a_latency_counts_from_when_the_order_was_sent():
    server = AServer(AClock(), usual_s=0.001, slow_s={1: 0.4})
    assert latencies_ms(samples_of(Load(clients=1, events=4), server)) == [1, 400, 1, 1]


def test_an_open_loop_of_so_long_has_rate_times_duration_orders():
    server = AServer(AClock(), usual_s=0.001)
    load = Load(clients=1, duration_s=0.5, rate_per_s=20.0)
    assert load.total == len(samples_of(load, server)) == 10


def test_a_closed_loop_of_so_long_starts_no_order_after_it():
    server = AServer(AClock(), usual_s=0.03)
    load = Load(clients=1, duration_s=0.1)
    assert load.total is None
    assert [round(sample.sent_s - 100, 2) for sample in samples_of(load, server)] == [0.0, 0.03, 0.06, 0.09]


def test_customers_share_the_orders_and_none_is_sent_twice():
    clock, samples = AClock(), []
    servers = [AServer(clock, usual_s=0.001) for _ in range(3)]
    asyncio.run(offered(Load(clients=3, events=10), iter(WISHES), servers, clock, samples))
    assert sum(server.orders for server in servers) == len(samples) == 10


def test_the_same_seed_orders_the_same_and_another_one_does_not():
    def drawn(seed: int) -> list[object]:
        return [*islice(Wishes(run="bench", items=("pizza", "salad"), seed=seed), 100)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert {wish.item for wish in drawn(1)} == {"pizza", "salad"}
    assert all(wish.user_id.startswith("bench-") for wish in drawn(1))


@pytest.mark.parametrize("status", [0, 400, 503])
def test_only_a_202_is_accepted(status):
    assert not Sample(0.0, 0.0, 1.0, Answer(status, None)).is_accepted
    assert Sample(0.0, 0.0, 1.0, Answer(202, "id")).is_accepted
