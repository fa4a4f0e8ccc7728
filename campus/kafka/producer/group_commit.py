"""Gathers single records into produce batches: what arrives while one is in flight is sent in the next.

Nothing lingers: a lone record is sent at once, and under load the batches grow by themselves. The number and
size of unreported records are limited. Each submitted record is reported exactly once: it landed, it was
refused, or its deadline passed (AckTimeout), and then it may still land. Failed records are sent again until
their deadline, without delaying others. So a record can land twice: readers must be able to skip the second.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from queue import Empty, SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from campus.errors import CampusError
from campus.kafka.producer.batches import BATCH_BYTES_MAX, size_bound
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.writer import Outcome, Writer
from campus.kafka.records import ProducerRecord, TopicPartition

# Of all partitions together, so that each takes one batch in one produce request.
PRODUCE_BATCH_BYTES_MAX = BATCH_BYTES_MAX
# Of a produce batch, for records that failed before: a leaderless partition must not delay the others.
RETRY_SHARE = 1 / 8
# So that a broker that hangs leaves time for another attempt, at the next leader.
ATTEMPT_SHARE_OF_DEADLINE = 0.5

T = TypeVar("T")

# report(landed, failed): the tokens of the records that landed, and of the others with the reason.
Report: TypeAlias = Callable[[Sequence[T], Sequence[tuple[T, CampusError]]], None]


class Backpressure(CampusError):
    """The record was not accepted and will not land."""

    def __init__(self, waiting: int, waiting_bytes: int) -> None:
        super().__init__(
            f"{waiting} records ({waiting_bytes} bytes) wait for the broker already. Probably it is away or "
            "slower than the records come in. Try again in a moment"
        )


class GroupCommitClosed(CampusError):
    def __init__(self) -> None:
        super().__init__(
            "no more records are accepted: probably the process is stopping. Try again in a moment"
        )


class AckTimeout(CampusError):
    """The deadline passed before the acknowledgement came; whether the record landed is not known."""

    def __init__(self, when: str, last: CampusError | None) -> None:
        self.last = last
        super().__init__(
            f"not acknowledged {when}: {last or 'the broker has not answered'}. "
            "It may still land: look for it before sending it again"
        )


@dataclass(slots=True, eq=False)
class _Pending(Generic[T]):
    tp: TopicPartition
    record: ProducerRecord
    token: T
    size: int
    deadline: float
    is_reported: bool = False


class GroupCommit(Generic[T]):
    """`report` is called in the writer's loop, once for each produce batch, and must not block.

    `_in_flight`, `_retries` and `_waiting` are in the order of their deadlines. Whoever sets `_is_sending`
    sends a produce batch, and its end sends the next until nothing waits: so one is in flight at a time.
    """

    def __init__(
        self,
        writer: Writer,
        report: Report[T],
        *,
        waiting_max: int,
        waiting_bytes_max: int,
        deadline_s: float,
        schedule: Callable[[Callable[[], None]], object] = lambda send: send(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`schedule` runs the first send. In an event loop it should do so at the end of the turn: else the
        first record goes alone, and those that came with it wait (half the rate at 256 connections)."""
        self._writer = writer
        self._report = report
        self._waiting_max = waiting_max
        self._waiting_bytes_max = waiting_bytes_max
        self._deadline_s = deadline_s
        self._schedule = schedule
        self._clock = clock
        self._lock = threading.Lock()  # guards everything below
        self._waiting: deque[_Pending[T]] = deque()
        self._retries: deque[_Pending[T]] = deque()
        self._in_flight: list[_Pending[T]] = []
        self._retries_in_flight = 0  # the first of `_in_flight` so many are retries
        self._count = 0  # of unreported records
        self._bytes = 0
        self._is_sending = False
        self._timer_is_set = False
        self._last_failure: CampusError | None = None
        self._closed = False
        self._all_reported: SimpleQueue[None] = SimpleQueue()

    def submit(self, tp: TopicPartition, record: ProducerRecord, token: T) -> None:
        """Accept a record; `token` identifies it in a report. Raises Backpressure, GroupCommitClosed."""
        size = size_bound(record)
        with self._lock:
            if self._closed:
                raise GroupCommitClosed
            if self._count >= self._waiting_max or self._bytes + size > self._waiting_bytes_max:
                raise Backpressure(self._count, self._bytes)
            deadline = self._clock() + self._deadline_s
            self._waiting.append(_Pending(tp, record, token, size, deadline))
            self._count += 1
            self._bytes += size
            set_timer, self._timer_is_set = not self._timer_is_set, True
            send, self._is_sending = not self._is_sending, True
        if set_timer:
            self._set_timer(self._deadline_s)
        if send:
            self._schedule(self._send)

    def probe(self, on_answer: Callable[[], None], *, timeout_s: float) -> None:
        """See `Writer.probe`."""
        self._writer.probe(on_answer, timeout_s=timeout_s)

    def close(self, *, timeout_s: float) -> None:
        """Accept no more, wait until all is reported, and report the rest as AckTimeout."""
        with self._lock:
            self._closed = True
            if not self._count:
                return
        try:
            self._writer.wait_for(self._all_reported, timeout_s)
        except Empty:
            self._expire("before the end", self._last_failure)

    def _send(self) -> None:
        with self._lock:
            self._in_flight = self._next_batch()
            self._is_sending = bool(self._in_flight)
            if not self._in_flight:
                return
            records: dict[TopicPartition, list[ProducerRecord]] = {}
            for pending in self._in_flight:
                records.setdefault(pending.tp, []).append(pending.record)
        try:
            timeout_s = self._deadline_s * ATTEMPT_SHARE_OF_DEADLINE
            self._writer.append_soon(records, self._on_batch_done, timeout_s=timeout_s)
        except WriterClosed as closed:
            with self._lock:
                self._closed = True
            self._expire("before the writer was closed", closed)

    def _next_batch(self) -> list[_Pending[T]]:
        """As many records as fit: retries first, but after a failure they leave room for new records."""
        batch: list[_Pending[T]] = []
        share = RETRY_SHARE if self._waiting and self._last_failure else 1
        _move(self._retries, batch, round(PRODUCE_BATCH_BYTES_MAX * share))
        self._retries_in_flight = len(batch)
        _move(self._waiting, batch, PRODUCE_BATCH_BYTES_MAX - sum(pending.size for pending in batch))
        return batch

    def _on_batch_done(self, outcome: Outcome) -> None:
        """Send the next produce batch, then report this one."""
        failure = outcome if isinstance(outcome, AppendFailed) else None
        landed: list[_Pending[T]] = []
        failed: list[tuple[_Pending[T], CampusError]] = []
        with self._lock:
            old, new = list[_Pending[T]](), list[_Pending[T]]()  # retries: sent before, or for the first time
            for number, pending in enumerate(self._in_flight):
                if pending.is_reported:  # as AckTimeout, while it was in flight
                    continue
                if failure is None or pending.tp in failure.landed:
                    landed.append(pending)
                elif pending.tp in failure.refused:
                    failed.append((pending, failure))
                else:
                    (old if number < self._retries_in_flight else new).append(pending)
                    continue
                pending.is_reported = True
            self._in_flight = []
            self._retries.extendleft(reversed(old))
            self._retries.extend(new)
            self._last_failure = failure
        self._send()
        self._run_report(landed, failed)

    def _run_report(self, landed: list[_Pending[T]], failed: list[tuple[_Pending[T], CampusError]]) -> None:
        reported = [*landed, *(pending for pending, _ in failed)]
        try:
            if reported:
                why_failed = [(pending.token, error) for pending, error in failed]
                self._report([pending.token for pending in landed], why_failed)
        finally:
            with self._lock:
                self._count -= len(reported)
                self._bytes -= sum(pending.size for pending in reported)
                if self._closed and not self._count:
                    self._all_reported.put(None)

    def _set_timer(self, delay_s: float) -> None:
        with suppress(WriterClosed):  # then the next send fails too, and reports everything
            self._writer.call_later(delay_s, self._on_timer)

    def _on_timer(self) -> None:
        """Report what has passed its deadline, also in flight, and wait for the next deadline."""
        now = self._clock()
        self._expire(f"within {self._deadline_s:g} s", self._last_failure, until=now)
        with self._lock:
            due = min(map(_first_deadline, (self._in_flight, self._retries, self._waiting)))
            self._timer_is_set = due < math.inf
        if due < math.inf:
            self._set_timer(due - now)

    def _expire(self, when: str, cause: CampusError | None, *, until: float = math.inf) -> None:
        """Report every record with a deadline up to `until` as AckTimeout."""
        timeout = AckTimeout(when, cause)
        failed: list[tuple[_Pending[T], CampusError]] = []
        with self._lock:
            for queue in (self._in_flight, self._retries, self._waiting):
                for pending in takewhile(lambda pending: pending.deadline <= until, queue):
                    if not pending.is_reported:
                        failed.append((pending, timeout))
                        pending.is_reported = True
            for unsent in (self._retries, self._waiting):
                while unsent and unsent[0].is_reported:
                    unsent.popleft()
        self._run_report([], failed)


def _move(queue: deque[_Pending[T]], batch: list[_Pending[T]], room: int) -> None:
    """Move records into the batch while there is room; at least one if the batch is empty."""
    while queue and (queue[0].size <= room or not batch):
        pending = queue.popleft()
        room -= pending.size
        batch.append(pending)


def _first_deadline(queue: Iterable[_Pending[T]]) -> float:
    return next((pending.deadline for pending in queue if not pending.is_reported), math.inf)
