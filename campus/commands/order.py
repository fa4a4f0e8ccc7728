"""Order something through the HTTP role, wait for the outcome on inventory-events, and print it.

If no system runs, one is started for as long as this takes. Exits with 0 when every order was decided,
be it reserved or failed; with 1 when one was not accepted, or no outcome came in time.
"""

import argparse
import http.client
import json
import time
from collections import Counter, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from campus.addresses import Address, listens
from campus.commands import Context
from campus.config.settings import Config
from campus.domain.events import InventoryFailed, InventoryReserved
from campus.domain.journal import JournalRule
from campus.domain.partitions import item_partition
from campus.errors import CampusError
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition

HELP = "order something, wait for the outcome and print it"
OUTCOME_TIMEOUT_S = 30.0

Outcome = InventoryReserved | InventoryFailed


class OrderRefused(CampusError):
    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("item", help="what: pizza, burger, salad, sandwich or whatever you stock")
    parser.add_argument("quantity", type=int, nargs="?", default=1, help="portions of it (default: 1)")
    parser.add_argument("--user", default="ana", help="for whom (default: ana)")
    parser.add_argument("--count", type=int, default=1, metavar="N", help="so many such orders, one by one")


def run(args: argparse.Namespace, context: Context) -> int:
    with _a_system(context) as endpoint:
        journal = Journal(context.config, args.item)
        with closing(journal):
            journal.skip_to_the_end()
            started_at = time.monotonic()
            order_ids = list(_ordered(endpoint, args))
            accepted_s = time.monotonic() - started_at
            outcomes = journal.outcomes_of(order_ids)
            decided_s = time.monotonic() - started_at
    if args.count == 1 and outcomes:
        print(as_line(outcomes[0], journal.tp, decided_s))
    else:
        print(as_summary(outcomes, len(order_ids), accepted_s, decided_s))
    return 0 if len(outcomes) == args.count else 1


@contextmanager
def _a_system(context: Context) -> Iterator[Address]:
    """The door of the system that runs, or of one that is started for the block."""
    producer: Any = context.config.roles["producer"]
    endpoint = Address(producer.host, producer.port)
    if listens(endpoint):
        yield endpoint
    else:
        with context.system("inventory", "producer"):
            yield endpoint


def _ordered(endpoint: Address, args: argparse.Namespace) -> Iterator[str]:
    """Place the orders one after the other; their ids. Raises OrderRefused."""
    body = json.dumps({"user_id": args.user, "item": args.item, "quantity": args.quantity})
    with closing(http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=30)) as connection:
        for _ in range(args.count):
            try:
                connection.request("POST", "/order", body, {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise OrderRefused(
                    f"no sensible answer from http://{endpoint}/order ({error}). Probably it is no "
                    "CampusKafka. Look at roles.producer.host and roles.producer.port."
                ) from error
            if response.status != http.client.ACCEPTED:
                reason = answer.get("detail") or answer.get("title")
                raise OrderRefused(f"the order was refused: {response.status} {reason}")
            yield answer["order_id"]


class Journal:
    """The journal's partition of one item, followed from the beginning, so as to know which entries count."""

    def __init__(self, config: Config, item: str) -> None:
        self.tp = TopicPartition(config.topics.journal_topic, item_partition(item, config.topics.partitions))
        self._history = LogReader(config.kafka, client_id="order")
        self._rule = JournalRule()
        self._batches: Iterator[Mapping[TopicPartition, Sequence[Any]]] = iter(())

    def close(self) -> None:
        self._history.close()

    def skip_to_the_end(self) -> None:
        bounds = self._history.bounds([self.tp])
        for _, records in self._history.read(bounds):
            deque(self._rule.counting(records), maxlen=0)
        self._batches = self._history.follow_all({self.tp: bounds[self.tp].end})

    def outcomes_of(self, order_ids: Collection[str]) -> list[Outcome]:
        """Those that come, until all have come or nothing does for a while."""
        waiting = set(order_ids)
        outcomes: list[Outcome] = []
        give_up_at = time.monotonic() + OUTCOME_TIMEOUT_S
        while waiting and time.monotonic() < give_up_at:
            for event in self._rule.counting(next(self._batches).get(self.tp, ())):
                give_up_at = time.monotonic() + OUTCOME_TIMEOUT_S
                if isinstance(event, (InventoryReserved, InventoryFailed)) and event.order_id in waiting:
                    waiting.discard(event.order_id)
                    outcomes.append(event)
        return outcomes


def as_line(outcome: Outcome, tp: TopicPartition, took_s: float) -> str:
    what = f"{outcome.quantity} × {outcome.item} for {outcome.user_id}"
    where = f"order {outcome.order_id}, {tp} seq {outcome.seq}, {took_s * 1000:.0f} ms"
    if isinstance(outcome, InventoryReserved):
        return f"reserved: {what}; {outcome.remaining} left  ({where})"
    left = "" if outcome.remaining is None else f"; {outcome.remaining} left"
    return f"failed ({outcome.reason}): {what}{left}  ({where})"


def as_summary(outcomes: Sequence[Outcome], placed: int, accepted_s: float, decided_s: float) -> str:
    counts = Counter(
        "reserved" if isinstance(outcome, InventoryReserved) else outcome.reason for outcome in outcomes
    )
    lines = [f"{count:>8,}  {name}" for name, count in sorted(counts.items())]
    if missing := placed - len(outcomes):
        lines.append(f"{missing:>8,}  without an outcome after {OUTCOME_TIMEOUT_S:.0f} s")
    rate = placed / accepted_s if accepted_s else 0.0
    return "\n".join(
        [
            f"{placed:,} orders accepted in {accepted_s:.2f} s ({rate:,.0f}/s)",
            f"all decided after {decided_s:.2f} s:" if len(outcomes) == placed else "decided so far:",
            *lines,
        ]
    )
