"""The load generator. A closed loop sends when a client is free; an open loop sends at fixed times.

In an open loop, latency counts from when the request was due. If all clients still wait for a response when
the next request is due, it is sent late, and the delay is part of its latency: a slow system cannot look
better by slowing down the one who measures it (coordinated omission).
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from itertools import repeat
from random import Random
from typing import NamedTuple

from campus.bench.environment import Environment
from campus.bench.http_clients import HttpClient, OrderRequest, OrderResponse
from campus.bench.load_process import BenchFailed, Report

CLIENTS_MAX = 500  # select() takes 1,024 files
REPORT_EVERY_S = 0.1
USERS = 50
QUANTITY_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`events` requests, or as many as `duration_s` gives: one of them is set. `rate_per_s`: an open loop."""

    clients: int
    events: int | None = None
    duration_s: float | None = None
    rate_per_s: float | None = None

    @property
    def total(self) -> int | None:
        """The number of requests; None if it depends on the system."""
        if self.events is not None or self.rate_per_s is None:
            return self.events
        return round(self.rate_per_s * (self.duration_s or 0.0))

    def due_times(self) -> Iterator[float | None]:
        """When each request is due; None: as soon as a client is free."""
        start_s = time.monotonic()
        if self.rate_per_s is not None:
            yield from (start_s + number / self.rate_per_s for number in range(self.total or 0))
        elif self.events is not None:
            yield from repeat(None, self.events)
        else:
            while time.monotonic() < start_s + (self.duration_s or 0.0):
                yield None


class TimedRequest(NamedTuple):
    """Times are of the monotonic clock, which all processes of a machine share."""

    due_s: float
    sent_s: float
    answered_s: float
    response: OrderResponse

    @property
    def latency_s(self) -> float:
        return self.answered_s - self.due_s

    @property
    def is_accepted(self) -> bool:
        return self.response.status == HTTPStatus.ACCEPTED


@dataclass(frozen=True, slots=True)
class GeneratorStats:
    """Whether the load generator was the bottleneck. `busy`: the share of the time it used the processor;
    `late_most_s`: how late its timers fired at most. On a loaded machine, even an idle generator's are late.
    """

    busy: float
    late_most_s: float


class LoadResult(NamedTuple):
    requests: tuple[TimedRequest, ...]
    began_s: float
    ended_s: float
    generator: GeneratorStats

    @property
    def accepted(self) -> tuple[str, ...]:
        """The order ids of the accepted requests."""
        return tuple(r.response.order_id for r in self.requests if r.is_accepted and r.response.order_id)


def draw_orders(target: Environment) -> Iterator[OrderRequest]:
    """Endless; the same orders for the same seed."""
    random, items = Random(target.seed), target.items  # noqa: S311 (must be repeatable, not secret)
    while True:
        yield OrderRequest(
            user_id=f"{target.run}-{random.randrange(USERS):02}",
            item=random.choice(items),
            quantity=random.randint(1, QUANTITY_MAX),
        )


async def send_all(
    load: Load, orders: Iterator[OrderRequest], clients: Sequence[HttpClient], requests: list[TimedRequest]
) -> None:
    """Send every order of the load; appends to `requests` as they are answered."""
    due_times = load.due_times()

    async def send_with(client: HttpClient) -> None:
        for due_s in due_times:  # shared by all clients: whichever is free takes the next one
            if due_s is not None and (early_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            sent_s = time.monotonic()
            response = await client.send(next(orders))
            answered_s = time.monotonic()
            requests.append(TimedRequest(sent_s if due_s is None else due_s, sent_s, answered_s, response))

    await asyncio.gather(*map(send_with, clients))


def run_load(
    load: Load,
    target: Environment,
    *,
    report: Report,
    warm_up_orders: int,
    on_warmed_up: Callable[[Sequence[str]], object],
) -> LoadResult:
    """Send a load to a running system, after a warm-up that is not part of the result.

    `on_warmed_up` gets the ids of the warm-up orders and may wait for their outcomes. `report` gets how many
    requests are answered, every REPORT_EVERY_S. Raises BenchFailed if no warm-up order is accepted.
    """
    warm_up = Load(clients=load.clients, events=warm_up_orders)

    async def run() -> LoadResult:
        orders, late_s = draw_orders(target), [0.0]
        requests: list[TimedRequest] = []
        with ExitStack() as stack:
            clients = [stack.enter_context(closing(HttpClient(target.endpoint))) for _ in range(load.clients)]
            await send_all(warm_up, orders, clients, requests)
            on_warmed_up(_order_ids(requests, target))
            requests.clear()
            reporting = asyncio.ensure_future(_report_regularly(lambda: report(len(requests)), late_s))
            began_s, cpu_s = time.monotonic(), time.process_time()
            await send_all(load, orders, clients, requests)
            ended_s, cpu_s = time.monotonic(), time.process_time() - cpu_s
            reporting.cancel()
        generator = GeneratorStats(cpu_s / max(ended_s - began_s, 1e-9), max(late_s))
        return LoadResult(tuple(requests), began_s, ended_s, generator)

    # Not epoll or uvloop, whose timers count whole milliseconds: an open loop would add that to the latency.
    with closing(asyncio.SelectorEventLoop(selectors.SelectSelector())) as loop:
        return loop.run_until_complete(run())


def _order_ids(requests: Sequence[TimedRequest], target: Environment) -> list[str]:
    order_ids = [r.response.order_id for r in requests if r.response.order_id is not None]
    if not order_ids:
        status = requests[-1].response.status or "no response"
        raise BenchFailed(
            f"http://{target.endpoint}/order accepts no orders ({status}). Probably it is not CampusKafka, "
            "or its Kafka is down. Look at its log, and check roles.producer.host and port"
        )
    return order_ids


async def _report_regularly(report: Callable[[], None], late_s: list[float]) -> None:
    """Until cancelled. Appends to `late_s` how late each timer fired."""
    while True:
        report()
        due_s = time.monotonic() + REPORT_EVERY_S
        await asyncio.sleep(REPORT_EVERY_S)
        late_s.append(time.monotonic() - due_s)
