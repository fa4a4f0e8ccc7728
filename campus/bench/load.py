"""The load generator. A closed loop sends when a client is free; an open loop sends at fixed times.

In an open loop, latency counts from when the request was due. If all clients still wait for a response when
the next request is due, it is sent late, and the delay is part of its latency: a slow system cannot look
better by slowing down the one who measures it (coordinated omission).
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from random import Random
from typing import NamedTuple

from campus.bench.environment import LoadTarget
from campus.bench.http_clients import HttpClient, OrderRequest, OrderResponse
from campus.bench.load_process import BenchFailed, Report

CLIENTS_MAX = 500  # select() takes 1,024 files
REPORT_EVERY_S = 0.1
WARM_UP_ORDERS_MIN = 10
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

    def due_times(self, now: Callable[[], float]) -> Iterator[float | None]:
        """When each request is due; None: as soon as a client is free."""
        start_s, total = now(), self.total
        if self.rate_per_s is not None:
            yield from (start_s + number / self.rate_per_s for number in range(total or 0))
        elif total is not None:
            yield from (None for _ in range(total))
        else:
            end_s = start_s + (self.duration_s or 0.0)
            while now() < end_s:
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


def draw_orders(target: LoadTarget) -> Iterator[OrderRequest]:
    """Endless; the same orders for the same seed."""
    random = Random(target.seed)  # noqa: S311 (must be repeatable, not secret)
    while True:
        yield OrderRequest(
            user_id=f"{target.run}-{random.randrange(USERS):02}",
            item=random.choice(target.items),
            quantity=random.randint(1, QUANTITY_MAX),
        )


class Clock:
    def now(self) -> float:
        return time.monotonic()

    async def sleep_until(self, at_s: float) -> None:
        await asyncio.sleep(at_s - time.monotonic())


async def send_all(
    load: Load,
    orders: Iterator[OrderRequest],
    clients: Sequence[HttpClient],
    clock: Clock,
    requests: list[TimedRequest],
) -> None:
    """Send every order of the load; appends to `requests` as they are answered."""
    due_times = load.due_times(clock.now)

    async def send_with(client: HttpClient) -> None:
        for due_s in due_times:  # shared by all clients: whichever is free takes the next one
            if due_s is not None and due_s > clock.now():
                await clock.sleep_until(due_s)
            sent_s = clock.now()
            response = await client.send(next(orders))
            requests.append(TimedRequest(sent_s if due_s is None else due_s, sent_s, clock.now(), response))

    await asyncio.gather(*map(send_with, clients))


def run_load(
    load: Load,
    target: LoadTarget,
    *,
    report: Report,
    on_warmed_up: Callable[[Sequence[str]], object],
    warm_up_orders: int | None = None,
) -> LoadResult:
    """Send a load to a running system, after a warm-up that is not part of the result.

    `warm_up_orders`: by default one for each client, and at least WARM_UP_ORDERS_MIN, so that every group
    has its members. `on_warmed_up` gets their ids and may wait for their outcomes. `report` gets the number
    of answered requests, every REPORT_EVERY_S. Raises BenchFailed if no warm-up order is accepted.
    """
    warm_up = Load(clients=load.clients, events=warm_up_orders or max(WARM_UP_ORDERS_MIN, load.clients))

    async def run() -> LoadResult:
        clients = [HttpClient(target.endpoint) for _ in range(load.clients)]
        orders, clock = draw_orders(target), Clock()
        requests: list[TimedRequest] = []
        late_s = [0.0]
        try:
            await send_all(warm_up, orders, clients, clock, requests)
            on_warmed_up(_order_ids(requests, target))
            requests.clear()
            reporting = asyncio.ensure_future(_report_regularly(lambda: report(len(requests)), late_s))
            began_s, cpu_s = time.monotonic(), time.process_time()
            await send_all(load, orders, clients, clock, requests)
            ended_s, cpu_s = time.monotonic(), time.process_time() - cpu_s
            reporting.cancel()
        finally:
            for client in clients:
                client.close()
        generator = GeneratorStats(cpu_s / max(ended_s - began_s, 1e-9), max(late_s))
        return LoadResult(tuple(requests), began_s, ended_s, generator)

    # Not epoll or uvloop, whose timers count whole milliseconds: an open loop would add that to the latency.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def _order_ids(requests: Sequence[TimedRequest], target: LoadTarget) -> list[str]:
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
