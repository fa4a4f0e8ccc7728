"""When each order's outcome became visible on inventory-events: noted as a reader of the journal gets it.

A batch's time is taken before anything in it is decoded. Only what counts by the rule of the journal is
noted, and of that only what a user of this run has ordered.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any

from campus.addresses import wait_until
from campus.bench.load_process import BenchFailed
from campus.config.settings import KafkaConfig, TopicsConfig
from campus.domain.events import InventoryFailed, InventoryReserved
from campus.domain.journal import JournalRule
from campus.errors import CampusError
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition

READY_TIMEOUT_S = 120.0  # a live journal is read from its beginning, to know what counts
PATIENCE_S = 30.0  # for another outcome


class Arrivals:
    """Of orders by users whose names begin with `run`. Written by one thread, read by any."""

    def __init__(self, run: str) -> None:
        self.at_s: dict[str, float] = {}
        self.fault: CampusError | None = None
        self.ready = Event()
        self._run = run

    def note(self, rule: JournalRule, records: Sequence[Any]) -> None:
        now_s = time.monotonic()
        for event in rule.counting(records):
            if isinstance(event, InventoryReserved | InventoryFailed) and event.user_id.startswith(self._run):
                self.at_s.setdefault(event.order_id, now_s)

    def wait_for(self, order_ids: Sequence[str]) -> None:
        """Until each has its outcome, or none has come for a while."""
        while True:
            arrived = len(self.at_s)  # before it is looked who is missing: what comes between is news then
            missing = [order_id for order_id in order_ids if order_id not in self.at_s]
            if not missing or not self._more_than(arrived):
                return

    def _more_than(self, arrived: int) -> bool:
        """Whether another one has come, or comes in time."""
        wait_until(lambda: len(self.at_s) > arrived or self.fault is not None, Event(), timeout_s=PATIENCE_S)
        if self.fault is not None:
            raise self.fault
        return len(self.at_s) > arrived


@contextmanager
def arrivals_of(run: str, kafka: KafkaConfig, topics: TopicsConfig) -> Iterator[Arrivals]:
    """Noted by a thread of its own, from now on and for as long as the block lasts."""
    arrivals, stop = Arrivals(run), Event()
    thread = Thread(target=_follow, args=(arrivals, kafka, topics, stop), name="arrivals", daemon=True)
    thread.start()
    try:
        wait_until(lambda: arrivals.ready.is_set() or not thread.is_alive(), stop, timeout_s=READY_TIMEOUT_S)
        if arrivals.fault is not None:
            raise arrivals.fault
        if not arrivals.ready.is_set():
            raise BenchFailed(
                f"{topics.journal_topic} could not be read to its end within {READY_TIMEOUT_S:g} s. Probably "
                "it is long, or written faster than it is read here. Measure without --live"
            )
        yield arrivals
    finally:
        stop.set()
        thread.join()


def _follow(arrivals: Arrivals, kafka: KafkaConfig, topics: TopicsConfig, stop: Event) -> None:
    tps = [TopicPartition(topics.journal_topic, partition) for partition in range(topics.partitions)]
    try:
        with closing(LogReader(kafka, client_id="bench-arrivals")) as history:
            rules = {tp: JournalRule() for tp in tps}
            bounds = history.bounds(tps)
            for tp, records in history.read(bounds, stop):
                arrivals.note(rules[tp], records)
            arrivals.ready.set()
            for batches in history.follow_all({tp: at.end for tp, at in bounds.items()}):
                _note_all(arrivals, rules, batches)
                if stop.is_set():
                    return
    except CampusError as fault:
        arrivals.fault = fault


def _note_all(
    arrivals: Arrivals,
    rules: Mapping[TopicPartition, JournalRule],
    batches: Mapping[TopicPartition, Sequence[Any]],
) -> None:
    for tp, records in batches.items():
        arrivals.note(rules[tp], records)
