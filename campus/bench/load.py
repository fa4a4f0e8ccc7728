"""A load of orders: closed (who is answered orders again) or open (at fixed times, come what may).

In an open loop a latency counts from when the order was due. A customer who is still waiting for the last
answer when the next order is due sends it late, and that lateness is in the figure: a slow system cannot
make itself look better by slowing down whoever measures it (coordinated omission).
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from campus.addresses import Address
from campus.bench.http_clients import Answer, Customer
from campus.bench.load_process import BenchFailed
from campus.bench.orders import Wish, Wishes

CLIENTS_MAX = 500  # select() takes 1,024 files
TOLD_EVERY_S = 0.1
WARM_UP_ORDERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`events` orders, or as many as `duration_s` takes; `rate_per_s`: an open loop. One of the first two."""

    clients: int
    events: int | None = None
    duration_s: float | None = None
    rate_per_s: float | None = None

    @property
    def total(self) -> int | None:
        """How many orders that is, if it is known before."""
        if self.events is not None or self.rate_per_s is None:
            return self.events
        return round(self.rate_per_s * (self.duration_s or 0.0))

    def dues(self, now: Callable[[], float]) -> Iterator[float | None]:
        """When each order is due; None: as soon as there is somebody to send it."""
        start_s, total = now(), self.total
        if self.rate_per_s is not None:
            yield from (start_s + number / self.rate_per_s for number in range(total or 0))
        elif total is not None:
            yield from (None for _ in range(total))
        else:
            end_s = start_s + (self.duration_s or 0.0)
            while now() < end_s:
                yield None


@dataclass(frozen=True, slots=True)
class Sample:
    """One order. Times are of the monotonic clock, which is the same for every process of the machine."""

    due_s: float
    sent_s: float
    answered_s: float
    answer: Answer

    @property
    def latency_s(self) -> float:
        return self.answered_s - self.due_s

    @property
    def is_accepted(self) -> bool:
        return self.answer.status == HTTPStatus.ACCEPTED


class Clock(Protocol):
    def now(self) -> float: ...
    async def sleep_until(self, at_s: float) -> None: ...


class RealClock:
    def now(self) -> float:
        return time.monotonic()

    async def sleep_until(self, at_s: float) -> None:
        await asyncio.sleep(at_s - time.monotonic())


class Orderer(Protocol):
    async def order(self, wish: Wish) -> Answer: ...


async def offered(
    load: Load,
    wishes: Iterator[Wish],
    customers: Sequence[Orderer],
    clock: Clock,
    samples: list[Sample],
) -> None:
    """Every order of the load, carried by the customers, into `samples` as they are answered."""
    dues = load.dues(clock.now)

    async def carry(customer: Orderer) -> None:
        for due_s in dues:  # which all customers share: whoever is free takes the next one
            if due_s is not None and due_s > clock.now():
                await clock.sleep_until(due_s)
            sent_s = clock.now()
            answer = await customer.order(next(wishes))
            samples.append(Sample(sent_s if due_s is None else due_s, sent_s, clock.now(), answer))

    await asyncio.gather(*map(carry, customers))


@dataclass(frozen=True, slots=True)
class Generator:
    """Whether whoever sent the orders was a bottleneck. `busy`: the share of the time in which it computed;
    `late_most_s`: by how much a timer of its own was late, which on a full machine can be with nothing to do.
    """

    busy: float
    late_most_s: float


@dataclass(frozen=True, slots=True)
class Offered:
    samples: tuple[Sample, ...]
    began_s: float
    ended_s: float
    generator: Generator

    @property
    def accepted(self) -> tuple[str, ...]:
        return tuple(s.answer.order_id for s in self.samples if s.is_accepted and s.answer.order_id)


def offer(
    load: Load,
    wishes: Wishes,
    endpoint: Address,
    *,
    tell: Callable[[int], None],
    warmed_up: Callable[[Sequence[str]], object],
    warm_up_orders: int | None = None,
) -> Offered:
    """Send a load to the door of a system, after a few orders that are not counted.

    `warm_up_orders` of those; if not said, one for each connection, and some at least, so that every group
    has its members. `warmed_up` is given their ids, and may wait for their outcomes; `tell` hears now and
    then how many orders were answered. Raises BenchFailed if not one order is accepted.
    """
    # Not epoll or uvloop, whose timers are whole milliseconds: in an open loop that would be latency.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        warm_up = Load(clients=load.clients, events=warm_up_orders or max(WARM_UP_ORDERS, load.clients))
        return loop.run_until_complete(_offer(load, warm_up, wishes, endpoint, tell, warmed_up))
    finally:
        loop.close()


async def _offer(
    load: Load,
    warm_up: Load,
    wishes: Wishes,
    endpoint: Address,
    tell: Callable[[int], None],
    warmed_up: Callable[[Sequence[str]], object],
) -> Offered:
    customers = [Customer(endpoint) for _ in range(load.clients)]
    drawn, clock = iter(wishes), RealClock()
    try:
        warmed_up(await _warm_up(warm_up, endpoint, drawn, customers, clock))
        samples: list[Sample] = []
        late_s: list[float] = []
        telling = asyncio.ensure_future(_tell_on(lambda: tell(len(samples)), late_s))
        began_s, computed_s = time.monotonic(), time.process_time()
        await offered(load, drawn, customers, clock, samples)
        ended_s, computed_s = time.monotonic(), time.process_time() - computed_s
        telling.cancel()
    finally:
        for customer in customers:
            customer.close()
    generator = Generator(computed_s / max(ended_s - began_s, 1e-9), max(late_s, default=0.0))
    return Offered(tuple(samples), began_s, ended_s, generator)


async def _warm_up(
    load: Load, endpoint: Address, wishes: Iterator[Wish], customers: Sequence[Orderer], clock: Clock
) -> list[str]:
    samples: list[Sample] = []
    await offered(load, wishes, customers, clock, samples)
    order_ids = [sample.answer.order_id for sample in samples if sample.answer.order_id is not None]
    if not order_ids:
        status = samples[-1].answer.status or "no answer"
        raise BenchFailed(
            f"http://{endpoint}/order accepts no orders ({status}). Probably it is no CampusKafka, or its "
            "Kafka is away. Look at its log, and at roles.producer.host and port"
        )
    return order_ids


async def _tell_on(tell: Callable[[], None], late_s: list[float]) -> None:
    """Until it is cancelled; into `late_s` by how much each of its turns came late."""
    while True:
        tell()
        due_s = time.monotonic() + TOLD_EVERY_S
        await asyncio.sleep(TOLD_EVERY_S)
        late_s.append(time.monotonic() - due_s)
