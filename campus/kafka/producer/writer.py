"""The batch producer: appends batches of records and returns the offsets they got.

One produce batch is in flight at a time, so appends are served whole and in order. Each is tried once, with
at most one attempt to connect to each broker; the caller decides whether to retry. There is no linger, no
future per record and no idempotent-producer state: readers must be able to skip a late or repeated batch.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

from kafka import errors as kafka_errors
from kafka.net.selector import NetworkSelector

from campus.config.settings import KafkaConfig
from campus.kafka.producer.batches import Batches, encode_batch
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.event_loops import FdSelector, RunnerFactory, ThreadRunner
from campus.kafka.producer.leaders import Leaders, NodeId
from campus.kafka.producer.produce_request import Answers, ProduceRequest, ProduceResponse
from campus.kafka.records import AppendResult, Records, TopicPartition

PAUSE_AFTER_FAILURE_S = 0.05  # so that no caller can retry in a busy loop

AppendResults: TypeAlias = dict[TopicPartition, AppendResult]
Outcome: TypeAlias = AppendResults | AppendFailed

T = TypeVar("T")

log = logging.getLogger("writer")


class Writer:
    """Connects at the first append. With `ThreadRunner` any thread may use it; with `AsyncioRunner` only the
    one that made it. After `close`, the other methods raise WriterClosed."""

    def __init__(self, kafka: KafkaConfig, *, client_id: str, runner: RunnerFactory = ThreadRunner) -> None:
        self._timeout_s = kafka.request_timeout_s
        self._net = NetworkSelector(client_id=client_id, selector=FdSelector)
        self._leaders = Leaders(self._net, kafka, client_id=client_id)
        self._waiting: deque[_Append] = deque()
        self._current: _Append | None = None
        self._pause_until = 0.0
        self._closed = False
        self._lock = threading.Lock()  # so that nothing is scheduled after `_closed` is set
        self._runner = runner(self._net, f"{client_id}-writer", self._on_loop_closed)

    def append(self, records: Records, *, timeout_s: float | None = None) -> AppendResults:
        """Write the records, wait for the acknowledgement, and return where they landed. Raises AppendFailed.

        More than BATCH_BYTES_MAX for a partition takes several produce batches. The timeout includes the wait
        for earlier appends; when it is over, an append that is still waiting fails unsent.
        """
        assert not self._runner.is_current(), (
            "append would wait for the loop it is called from: use append_soon in a writer's callback"
        )
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.append_soon(records, outcomes.put, timeout_s=timeout_s)
        outcome = self._runner.wait_for(outcomes, None)
        if isinstance(outcome, AppendFailed):
            raise outcome
        return outcome

    def append_soon(
        self, records: Records, on_done: Callable[[Outcome], None], *, timeout_s: float | None = None
    ) -> None:
        """Like `append`, without waiting: `on_done` is called once, in the loop, and must not block."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        self._call_soon(self._serve, _Append(records, time.monotonic() + timeout_s, on_done))

    def probe(self, on_answer: Callable[[], None], *, timeout_s: float) -> None:
        """Call `on_answer` in the loop if a broker answers, and names a leader for every partition of the
        topics written to. Does nothing while an append is in flight: that tells more."""
        deadline = time.monotonic() + timeout_s

        async def ask() -> None:
            if self._current is not None:
                return
            with suppress(kafka_errors.KafkaError):
                await self._leaders.refresh(deadline)
                if self._leaders.are_complete():
                    on_answer()

        self._call_soon(ask)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        """Call a function in the loop after a delay, unless the writer is closed before."""
        self._call_soon(lambda: self._net.call_later(delay_s, callback))

    def wait_for(self, queue: "SimpleQueue[T]", timeout_s: float) -> T:
        """The next item that a callback of this writer puts into the queue. Raises queue.Empty."""
        assert not self._runner.is_current(), "this would wait for the loop it is called from"
        return self._runner.wait_for(queue, timeout_s)

    def close(self) -> None:
        """Fail all appends at once, and end the loop and its connections."""
        assert not self._runner.is_current(), "a writer's callback cannot close it"
        with self._lock:
            self._closed = True
        self._runner.stop()

    def _call_soon(self, callback: Callable[[], Any], *appends: "_Append") -> None:
        with self._lock:
            if self._closed:
                raise WriterClosed
            self._waiting.extend(appends)
            self._runner.call_soon(callback)

    # Everything below runs in the loop.

    def _on_loop_closed(self) -> None:
        with self._lock:
            self._closed = True
        appends = [self._current, *self._waiting] if self._current else list(self._waiting)
        self._waiting.clear()
        for append in appends:
            append.fail(WriterClosed())
        self._leaders.close()
        self._net.close()

    async def _serve(self) -> None:
        while self._waiting and self._current is None:
            self._current = append = self._waiting.popleft()
            try:
                append.finish(await self._append(append))
            except Exception as bug:  # noqa: BLE001 - whatever broke, the caller must not wait for ever
                append.fail(bug)
            finally:
                self._current = None

    async def _append(self, append: "_Append") -> Outcome:
        records, landed = append.records, AppendResults()
        sent: Counter[TopicPartition] = Counter()  # records by partition
        now = time.monotonic()
        if now < self._pause_until:
            await self._net.sleep(min(self._pause_until, max(now, append.deadline)) - now)
        while unsent := [tp for tp in records if sent[tp] < len(records[tp])]:
            batches = {tp: encode_batch(records[tp], sent[tp]) for tp in unsent}
            errors: dict[TopicPartition, Exception] = {}
            for tp, answer in (await self._send(batches, append.deadline)).items():
                if isinstance(answer, Exception):
                    errors[tp] = answer
                else:
                    first = landed[tp].first if tp in landed else answer
                    landed[tp] = AppendResult(first, answer + batches[tp].count)
                    sent[tp] += batches[tp].count
            if errors:
                complete = {tp: at for tp, at in landed.items() if sent[tp] == len(records[tp])}
                failed = AppendFailed(errors, complete)
                if errors.keys() - failed.refused.keys():  # a retry may find another leader, after a pause
                    self._leaders.invalidate()
                    self._pause_until = time.monotonic() + PAUSE_AFTER_FAILURE_S
                return failed
        return landed

    async def _send(self, batches: Batches, deadline: float) -> Answers:
        """Send one produce batch: to each leader its part, all leaders at once."""
        try:
            led, leaderless = await self._leaders.group_by_leader(batches, deadline)
        except kafka_errors.KafkaError as error:
            return _all_failed(batches, error)
        parts = [(leader, {tp: batches[tp] for tp in tps}) for leader, tps in led.items()]
        others = [
            self._net.call_soon_with_future(self._produce, leader, part, deadline)
            for leader, part in parts[1:]
        ]
        answers: Answers = dict(leaderless)
        for leader, part in parts[:1]:  # mostly the only one; a task of its own would cost a wake-up
            answers |= await self._produce(leader, part, deadline)
        for other in others:
            answers |= await other
        return answers

    async def _produce(self, leader: NodeId, batches: Batches, deadline: float) -> Answers:
        try:
            request = ProduceRequest(batches, timeout_s=deadline - time.monotonic())
            response: ProduceResponse = await self._leaders.send(leader, request, deadline)
        except kafka_errors.KafkaError as error:
            return _all_failed(batches, error)
        missing = kafka_errors.KafkaTimeoutError("the broker's response does not mention this partition")
        return dict.fromkeys(batches, missing) | response.answers


@dataclass(slots=True)
class _Append:
    records: Records
    deadline: float
    on_done: Callable[[Outcome], None] | None

    def finish(self, outcome: Outcome) -> None:
        """Calls `on_done` only once: closing the writer fails appends before they end."""
        on_done, self.on_done = self.on_done, None
        if on_done is None:
            return
        try:
            on_done(outcome)
        except Exception:
            log.exception("a callback of append_soon failed; the appended records stay")

    def fail(self, error: Exception) -> None:
        if not self.records:
            self.finish({})
            return
        failed = AppendFailed(dict.fromkeys(self.records, error))
        failed.__cause__ = error
        self.finish(failed)


def _all_failed(batches: Batches, error: Exception) -> Answers:
    # Without its traceback, which keeps the socket of a failed connection open as long as the error is kept.
    return dict.fromkeys(batches, error.with_traceback(None))
