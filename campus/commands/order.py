"""Place orders through the HTTP API, wait for their outcomes, and print them.

If no system runs, one is started for as long as this takes. Exits with 0 when every order was decided,
reserved or failed. Exits with 1 when an order was refused, when no outcome came for 30 s, and when the orders
were accepted but their outcomes are not known: the process that took them runs without the role `book`.
"""

import argparse
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import ACCEPTED, MULTI_STATUS, OK, HTTPConnection, HTTPException
from threading import Event
from typing import Any, TypeVar

import msgspec

from campus.addresses import Address
from campus.api.address_file import running_producer
from campus.api.problems import NO_ORDER_BOOK
from campus.api.types import Accepted, BatchAnswer, Problem
from campus.book.views import OrderView
from campus.commands import Context
from campus.errors import CampusError

HELP = "order something, wait for the outcome and print it"
OUTCOME_TIMEOUT_S = 30  # for the next outcome
ANSWER_TIMEOUT_S = 30  # for the broker's acknowledgement
POLL_S = 0.02
BATCH_ORDERS_MAX = 100  # no more than the smallest order book remembers

Order = Mapping[str, str | int]
T = TypeVar("T")


class OrderRefused(CampusError):
    exit_code = 1


class NoOutcome(CampusError):
    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", help="what to order: pizza, burger, salad, sandwich or what else you stock")
    parser.add_argument("quantity", type=int, nargs="?", default=1, help="how many portions (default: 1)")
    parser.add_argument("--user", default="ana", help="who orders (default: ana)")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="place N such orders (default: 1)")


def run(args: argparse.Namespace, context: Context) -> int:
    order = {"user_id": args.user, "item": args.item, "quantity": args.quantity}
    producer: Any = context.config.roles["producer"]
    with _running_system(context) as endpoint, closing(OrdersClient(endpoint)) as client:
        if args.count == 1:
            print(place_one(client, order, context.config.topics.journal_topic))
            return 0
        return place_many(client, order, args.count, min(BATCH_ORDERS_MAX, producer.batch_orders_max))


@contextmanager
def _running_system(context: Context) -> Iterator[Address]:
    """Where the running system takes orders; if none runs, one that is started for the block."""
    if endpoint := running_producer(context.config):
        yield endpoint
        return
    with context.system("inventory", "book", "producer"):
        endpoint = running_producer(context.config)
        if endpoint is None:
            raise OrderRefused("a system was started, but its producer does not listen: see the log above")
        yield endpoint


def place_one(client: "OrdersClient", order: Order, journal_topic: str) -> str:
    """The line that tells the outcome. Raises OrderRefused, NoOutcome."""
    started_at = time.monotonic()
    answer = client.place(order)
    if isinstance(answer, OrderView):
        return as_line(answer, journal_topic, time.monotonic() - started_at)
    patience_s = started_at + OUTCOME_TIMEOUT_S - time.monotonic()
    for view in client.decided(deque([answer.order_id]), patience_s=patience_s):
        return as_line(view, journal_topic, time.monotonic() - started_at)
    raise no_outcome(client, f"order {answer.order_id} was accepted")


def place_many(client: "OrdersClient", order: Order, count: int, batch_max: int) -> int:
    """Place the same order `count` times in batches, and print a summary. Raises OrderRefused, NoOutcome."""
    waiting: deque[str] = deque()
    outcomes: Counter[str] = Counter()
    accepted_s, started_at = 0.0, time.monotonic()
    for placed in range(0, count, batch_max):
        batch_at = time.monotonic()
        waiting += client.place_batch([order] * min(batch_max, count - placed))
        accepted_s += time.monotonic() - batch_at
        # Between the batches, because the order book forgets old orders while new ones come.
        outcomes.update(map(_outcome_of, client.decided(waiting)))
    outcomes.update(map(_outcome_of, client.decided(waiting, patience_s=OUTCOME_TIMEOUT_S)))
    if waiting and not client.has_order_book:
        raise no_outcome(client, f"{count:,} orders were accepted in {accepted_s:.2f} s")
    print(as_summary(outcomes, len(waiting), accepted_s, time.monotonic() - started_at))
    return 0 if outcomes.total() == count else 1


def no_outcome(client: "OrdersClient", accepted: str) -> NoOutcome:
    if client.has_order_book:
        why = f"no outcome came within {OUTCOME_TIMEOUT_S} s. Probably inventory is not running: see `lag`"
    else:
        why = (
            f"the process at {client.endpoint} runs without the role book, which knows the outcomes. "
            "Start it with --role book too, or read the journal with any Kafka tool"
        )
    return NoOutcome(f"{accepted}, but {why}")


class OrdersClient:
    """A connection to the HTTP API. Its methods raise OrderRefused, also if no CampusKafka answers."""

    def __init__(self, endpoint: Address) -> None:
        self.endpoint = endpoint
        self.has_order_book = True  # until an answer says that it has none
        timeout_s = ANSWER_TIMEOUT_S + OUTCOME_TIMEOUT_S
        self._connection = HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)

    def close(self) -> None:
        self._connection.close()

    def place(self, order: Order) -> OrderView | Accepted:
        """An OrderView is the outcome; Accepted means that it did not come in time."""
        status, body = self._ask("POST", "/order", order, Prefer=f"wait={OUTCOME_TIMEOUT_S}")
        if status not in (OK, ACCEPTED):
            raise _refused(self._decoded(body, Problem))
        return self._decoded(body, OrderView) if status == OK else self._decoded(body, Accepted)

    def place_batch(self, orders: list[Order]) -> list[str]:
        """The ids of the orders. Raises OrderRefused if any order is refused."""
        status, body = self._ask("POST", "/orders", orders)
        if status not in (ACCEPTED, MULTI_STATUS):
            raise _refused(self._decoded(body, Problem))
        results = self._decoded(body, BatchAnswer).results
        for result in results:
            if result.problem:
                raise _refused(result.problem)
        return [str(result.order_id) for result in results]

    def decided(self, waiting: deque[str], *, patience_s: float = 0.0) -> Iterator[OrderView]:
        """Take the decided orders off the front of `waiting`, until nothing is decided for `patience_s`.

        Asks for the first one only: orders for one item are decided in the order in which they were placed.
        """
        pause, since_s = Event(), time.monotonic()
        self.has_order_book = True
        while waiting and self.has_order_book:
            if view := self._outcome(waiting[0]):
                waiting.popleft()
                since_s = time.monotonic()
                yield view
            elif time.monotonic() >= since_s + patience_s:
                return
            else:
                pause.wait(POLL_S)

    def _outcome(self, order_id: str) -> OrderView | None:
        """None if the order is not decided, or not known (yet)."""
        status, body = self._ask("GET", f"/orders/{order_id}")
        if status != OK:
            self.has_order_book = self._decoded(body, Problem).type != NO_ORDER_BOOK.type
            return None
        view = self._decoded(body, OrderView)
        return None if view.status == "accepted" else view

    def _ask(self, method: str, path: str, content: object = None, **headers: str) -> tuple[int, bytes]:
        body = None if content is None else msgspec.json.encode(content)
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException) as error:
            raise self._not_ours(error) from error

    def _decoded(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except ValueError as error:
            raise self._not_ours(error) from error

    def _not_ours(self, error: Exception) -> OrderRefused:
        return OrderRefused(
            f"no sensible answer from http://{self.endpoint}/order ({error}). Probably it is no CampusKafka. "
            "Look at roles.producer.host and roles.producer.port."
        )


def _refused(problem: Problem) -> OrderRefused:
    return OrderRefused(f"the order was refused: {problem.status} {problem.detail}")


def _outcome_of(view: OrderView) -> str:
    return view.reason or view.status


def as_line(view: OrderView, journal_topic: str, took_s: float) -> str:
    outcome = f"failed ({view.reason})" if view.reason else view.status
    left = "" if view.remaining is None else f"; {view.remaining} left"
    where = f"order {view.order_id}, {journal_topic}[{view.partition}] seq {view.seq}"
    what = f"{view.quantity} × {view.item} for {view.user_id}{left}"
    return f"{outcome}: {what}  ({where}, {took_s * 1000:.0f} ms)"


def as_summary(outcomes: Counter[str], missing: int, accepted_s: float, decided_s: float) -> str:
    placed = outcomes.total() + missing
    rate = placed / accepted_s if accepted_s else 0.0
    lines = [
        f"{placed:,} orders accepted in {accepted_s:.2f} s ({rate:,.0f}/s)",
        "decided so far:" if missing else f"all decided after {decided_s:.2f} s:",
        *(f"{count:>8,}  {outcome}" for outcome, count in sorted(outcomes.items())),
    ]
    if missing:
        lines.append(f"{missing:>8,}  without an outcome after {OUTCOME_TIMEOUT_S} s")
    return "\n".join(lines)
