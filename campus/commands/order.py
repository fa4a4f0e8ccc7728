"""Place orders through the HTTP API, wait for their outcomes, and print them.

If no system runs, one is started for as long as this takes. Exits with 0 when every order was decided,
reserved or failed. Exits with 1 when an order was refused, when no outcome came for 30 s, and when the orders
were accepted but their outcomes are not known: the process that took them runs without the role `book`.
"""

import argparse
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import ACCEPTED, MULTI_STATUS, OK, HTTPConnection, HTTPException
from threading import Event
from typing import Any

import msgspec

from campus.addresses import Address
from campus.api.address_file import running_producer
from campus.api.problems import NO_ORDER_BOOK
from campus.api.types import AcceptedOrder, BatchResponse, Problem
from campus.book.views import OrderView
from campus.commands import Context
from campus.errors import CampusError

HELP = "order something, wait for the outcome and print it"
OUTCOME_TIMEOUT_S = 30  # for the next outcome
ANSWER_TIMEOUT_S = 30  # for the broker's acknowledgement
POLL_S = 0.02
BATCH_ORDERS_MAX = 100  # no more than the smallest order book remembers

Order = Mapping[str, str | int]


class OrderRefused(CampusError):
    exit_code = 1


class NoOutcome(CampusError):
    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", help="what to order: pizza, burger, salad, sandwich or another item in stock")
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
    raise _no_outcome(client, f"order {answer.order_id} was accepted")


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
        outcomes.update(view.reason or view.status for view in client.decided(waiting))
    rest = client.decided(waiting, patience_s=OUTCOME_TIMEOUT_S)
    outcomes.update(view.reason or view.status for view in rest)
    if waiting and not client.has_order_book:
        raise _no_outcome(client, f"{count:,} orders were accepted in {accepted_s:.2f} s")
    print(as_summary(outcomes, len(waiting), accepted_s, time.monotonic() - started_at))
    return 0 if outcomes.total() == count else 1


def _no_outcome(client: "OrdersClient", accepted: str) -> NoOutcome:
    why = f"no outcome came within {OUTCOME_TIMEOUT_S} s. Probably inventory is not running: see `lag`"
    if not client.has_order_book:
        why = (
            f"the process at {client.endpoint} runs without the role book, which knows the outcomes. "
            "Start it with --role book too, or read the journal with any Kafka tool"
        )
    return NoOutcome(f"{accepted}, but {why}")


class OrdersClient:
    """A connection to the HTTP API. Its methods raise OrderRefused, also if no CampusKafka answers."""

    def __init__(self, endpoint: Address) -> None:
        self.endpoint = endpoint
        self.has_order_book = True  # until an answer says otherwise
        timeout_s = ANSWER_TIMEOUT_S + OUTCOME_TIMEOUT_S
        self._connection = HTTPConnection(endpoint.host, endpoint.port, timeout=timeout_s)

    def close(self) -> None:
        self._connection.close()

    def place(self, order: Order) -> OrderView | AcceptedOrder:
        """An OrderView is the outcome; Accepted means that it did not come in time."""
        answers, prefer = {OK: OrderView, ACCEPTED: AcceptedOrder}, f"wait={OUTCOME_TIMEOUT_S}"
        answer: OrderView | AcceptedOrder = self._placed("/order", order, answers, Prefer=prefer)
        return answer

    def place_batch(self, orders: Sequence[Order]) -> list[str]:
        """The ids of the orders. Raises OrderRefused if any order is refused."""
        answers = dict.fromkeys((ACCEPTED, MULTI_STATUS), BatchResponse)
        results = self._placed("/orders", orders, answers).results
        for result in results:
            if result.problem:
                raise _refused(result.problem)
        return [result.order_id for result in results]

    def decided(self, waiting: deque[str], *, patience_s: float = 0.0) -> Iterator[OrderView]:
        """Take the decided orders off the front of `waiting`, until nothing is decided for `patience_s`.

        Asks for the first one only: orders for one item are decided in the order in which they were placed.
        """
        pause, since_s = Event(), time.monotonic()
        self.has_order_book = True
        while waiting:
            answer = self._ask("GET", f"/orders/{waiting[0]}", {OK: OrderView})
            if isinstance(answer, OrderView) and answer.status != "accepted":
                waiting.popleft()
                since_s = time.monotonic()
                yield answer
                continue
            # Any other problem may pass: the order book may be behind, or not know the order yet.
            self.has_order_book = getattr(answer, "type", None) != NO_ORDER_BOOK.type
            if not self.has_order_book or time.monotonic() >= since_s + patience_s:
                return
            pause.wait(POLL_S)

    def _placed(self, path: str, content: object, answers: Mapping[int, Any], **headers: str) -> Any:
        answer = self._ask("POST", path, answers, msgspec.json.encode(content), **headers)
        if isinstance(answer, Problem):
            raise _refused(answer)
        return answer

    def _ask(
        self, method: str, path: str, answers: Mapping[int, Any], body: bytes | None = None, **headers: str
    ) -> Any:
        """The answer, as the type that `answers` gives for its status; a Problem for any other status."""
        try:
            self._connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            response = self._connection.getresponse()
            return msgspec.json.decode(response.read(), type=answers.get(response.status, Problem))
        except OSError as error:
            raise OrderRefused(
                f"the connection to http://{self.endpoint} broke ({error}). Probably the system has stopped. "
                "Start it again: what it had accepted is in the log and will be decided."
            ) from error
        except (HTTPException, ValueError) as error:
            raise OrderRefused(
                f"no sensible answer from http://{self.endpoint}{path} ({error}). Probably it is no "
                "CampusKafka. Look at roles.producer.host and roles.producer.port."
            ) from error


def _refused(problem: Problem) -> OrderRefused:
    return OrderRefused(f"the order was refused: {problem.status} {problem.detail}")


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
