"""When each order's outcome became visible on inventory-events: the time at which a reader received it.

The time is taken before anything of a batch is decoded. Only entries that count by the journal rule are
recorded, and only those of this run's users.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any

from campus.addresses import wait_until
from campus.bench.environment import Environment
from campus.bench.load_process import BenchFailed
from campus.domain.events import InventoryFailed, InventoryReserved
from campus.domain.journal import JournalRule
from campus.errors import CampusError
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition

READY_TIMEOUT_S = 120.0  # to read a live journal from its beginning, which the journal rule needs
OUTCOME_TIMEOUT_S = 30.0  # without another outcome


class OutcomeListener:
    """`run` begins the user ids whose outcomes are recorded. Written by one thread, read by any."""

    def __init__(self, run: str) -> None:
        self.decided_at_s: dict[str, float] = {}
        self.error: CampusError | None = None
        self.ready = Event()
        self._run = run
        self._rules: dict[TopicPartition, JournalRule] = defaultdict(JournalRule)

    def on_records(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        now_s = time.monotonic()
        for event in self._rules[tp].counting(records):
            if isinstance(event, InventoryReserved | InventoryFailed) and event.user_id.startswith(self._run):
                self.decided_at_s.setdefault(event.order_id, now_s)

    def wait_for(self, order_ids: Sequence[str]) -> None:
        """Return when each has its outcome, or after OUTCOME_TIMEOUT_S without another one.

        Raises the error that ended the reader.
        """

        def has_news() -> bool:
            return len(self.decided_at_s) > known or self.error is not None

        known = len(self.decided_at_s)  # before each search: an outcome that comes during it is a new one
        while not all(order_id in self.decided_at_s for order_id in order_ids):
            if not wait_until(has_news, Event(), timeout_s=OUTCOME_TIMEOUT_S):
                return
            if self.error is not None:
                raise self.error
            known = len(self.decided_at_s)


@contextmanager
def outcome_listener(target: Environment) -> Iterator[OutcomeListener]:
    """Listens in a thread of its own, from now on, for as long as the block lasts. Raises BenchFailed."""
    listener, stop = OutcomeListener(target.run), Event()
    thread = Thread(target=_follow, args=(listener, target, stop), name="outcomes", daemon=True)
    thread.start()
    try:
        wait_until(lambda: listener.ready.is_set() or not thread.is_alive(), stop, timeout_s=READY_TIMEOUT_S)
        if listener.error is not None:
            raise listener.error
        if not listener.ready.is_set():
            raise BenchFailed(
                f"{target.config.topics.journal_topic} could not be read to its end within "
                f"{READY_TIMEOUT_S:g} s. Probably it is long, or written faster than it can be read. Measure "
                "without --live"
            )
        yield listener
    finally:
        stop.set()
        thread.join()


def _follow(listener: OutcomeListener, target: Environment, stop: Event) -> None:
    topics = target.config.topics
    tps = [TopicPartition(topics.journal_topic, partition) for partition in range(topics.partitions)]
    try:
        with closing(LogReader(target.config.kafka, client_id="bench-outcomes")) as reader:
            bounds = reader.bounds(tps)
            for tp, records in reader.read(bounds, stop):
                listener.on_records(tp, records)
            listener.ready.set()
            for batches in reader.follow_all({tp: log.end for tp, log in bounds.items()}):
                for tp, records in batches.items():
                    listener.on_records(tp, records)
                if stop.is_set():
                    return
    except CampusError as error:
        listener.error = error
