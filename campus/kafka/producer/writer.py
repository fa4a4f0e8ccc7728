"""Appends batches of records and says where they landed: one produce request a round to each leader.

One round is in flight at a time, so calls are served whole and in the order they came. A call tries each
of its rounds once: it waits for one attempt to connect, not for a broker to appear, and a failure is
told at once. No linger, no record futures, no idempotent-producer state: what a late or repeated batch
would do is the reader's rule (campus/domain/journal.py) to make harmless. The parts of kafka-python that
it does not promise are used here and in the modules that only this one uses: rounds.py, produce.py,
leaders.py, drivers.py.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

from kafka import errors as kafka_errors
from kafka.net.selector import NetworkSelector

from campus.config.settings import KafkaConfig
from campus.kafka.clients import kafka_settings
from campus.kafka.producer.batches import Answer, Batch, Remaining, answers_in, produce_request
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.event_loops import MakeDriver, OwnThread, Watch
from campus.kafka.producer.leaders import Leaders, NodeId
from campus.kafka.records import AppendResult, Records, TopicPartition

PAUSE_AFTER_FAILURE_S = 0.05  # so that no caller can make a broken cluster a busy loop

Outcome: TypeAlias = dict[TopicPartition, AppendResult] | AppendFailed

T = TypeVar("T")

log = logging.getLogger("writer")


class Writer:
    """Makes no connection until the first append.

    With a thread of its own, `append` and `close` may be called from any thread but that; driven otherwise
    (drivers.py), all of it in the thread that made it.
    """

    def __init__(self, kafka: KafkaConfig, *, client_id: str, driver: MakeDriver = OwnThread) -> None:
        self._timeout_s = kafka.request_timeout_s
        self._net = NetworkSelector(client_id=client_id, selector=Watch)
        self._leaders = Leaders(
            self._net,
            client_id=client_id,
            connect_timeout_s=kafka.connect_timeout_s,
            **kafka_settings(kafka),
        )
        self._line: deque[_Call] = deque()
        self._serving: _Call | None = None
        self._not_before = 0.0
        self._closed = False
        self._lock = threading.Lock()  # of `_closed` against those who would still get in line
        self._driver = driver(self._net, f"{client_id}-writer", self._ended)

    def append(
        self, records: Records, *, timeout_s: float | None = None
    ) -> dict[TopicPartition, AppendResult]:
        """Write all the records and say where, or raise AppendFailed; blocks for as long as that takes.

        More than BATCH_BYTES_MAX of a place goes in several rounds. A place without records is left out.
        The time runs from now on; a call that is still in line when it is over fails, unsent.
        """
        assert not self._driver.is_here(), (
            "append would wait for the loop it is called from: use append_soon in a writer's callback"
        )
        outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.append_soon(records, outcomes.put, timeout_s=timeout_s)
        outcome = self._driver.wait_for(outcomes, None)
        if isinstance(outcome, AppendFailed):
            raise outcome
        return outcome

    def append_soon(
        self, records: Records, done: Callable[[Outcome], None], *, timeout_s: float | None = None
    ) -> None:
        """As `append`, without waiting: `done` is called in the writer's loop, once, and must not block."""
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        call = _Call(records, done, time.monotonic() + timeout_s)
        with self._lock:
            if self._closed:
                raise WriterClosed
            self._line.append(call)
            self._driver.soon(self._serve)

    def ask_soon(self, answered: Callable[[], None], *, timeout_s: float) -> None:
        """Write nothing, and have `answered` called in the writer's loop if a broker is there, and says that
        all partitions of the topics that were written to have a leader.

        Nothing comes of it while something is being written: that tells more, and would be disturbed.
        """
        deadline = time.monotonic() + timeout_s

        async def ask() -> None:
            if self._serving is not None:
                return
            with suppress(kafka_errors.KafkaError):
                await self._leaders.refresh(deadline)
                if self._leaders.are_complete():
                    answered()

        with self._lock:
            if self._closed:
                raise WriterClosed
            self._driver.soon(ask)

    def after(self, pause_s: float, callback: Callable[[], None]) -> None:
        """Call a function in the writer's loop after a pause; never if the writer is closed before."""
        due = time.monotonic() + pause_s

        def set_timer() -> None:  # timers are the loop's own business, so it sets them itself
            self._net.call_at(due, callback)

        with self._lock:
            if self._closed:
                raise WriterClosed
            self._driver.soon(set_timer)

    def wait_for(self, told: "SimpleQueue[T]", timeout_s: float) -> T:
        """What a callback of this writer puts there. Raises queue.Empty when the time is over."""
        assert not self._driver.is_here(), "it would wait for the loop it is called from"
        return self._driver.wait_for(told, timeout_s)

    def close(self, *, timeout_s: float = 2.0) -> None:
        """Fail what is in flight and in line, now, and end the loop with its connections."""
        assert not self._driver.is_here(), "a writer's callback cannot close it"
        with self._lock:
            self._closed = True
        self._driver.stop(timeout_s)

    # From here on everything is in the writer's own loop.

    def _ended(self) -> None:
        with self._lock:
            self._closed = True
        self._fail_all(WriterClosed())
        self._leaders.close()
        self._net.close()

    def _fail_all(self, why: Exception) -> None:
        calls = [self._serving, *self._line] if self._serving else list(self._line)
        self._line.clear()
        for call in calls:
            call.fail(why)

    async def _serve(self) -> None:
        """Serve the line, one call after the other; who comes meanwhile is served by the one at work."""
        while self._line and self._serving is None:
            self._serving = call = self._line.popleft()
            try:
                call.finish(await self._append(call))
            except Exception as bug:  # noqa: BLE001 - whatever broke, the one who waits must hear of it
                call.fail(bug)
            finally:
                self._serving = None

    async def _append(self, call: "_Call") -> Outcome:
        remaining = Remaining(call.records)
        await self._pause_after_failure(call.deadline)
        while batches := remaining.cut():
            answers = await self._round(batches, call.deadline)
            remaining.note(batches, answers)
            if errors := {p: answer for p, answer in answers.items() if isinstance(answer, Exception)}:
                failed = AppendFailed(errors, remaining.landed)
                self._mind(failed)
                return failed
        return remaining.landed

    async def _round(
        self, batches: Mapping[TopicPartition, Batch], deadline: float
    ) -> dict[TopicPartition, Answer]:
        """Send each leader its batches, all leaders at once; what became of each place."""
        try:
            led, leaderless = await self._leaders.of(batches, deadline)
        except kafka_errors.KafkaError as error:
            return _all_failed(batches, error)
        asked = [(leader, {tp: batches[tp] for tp in led[leader]}) for leader in led]
        beside = [
            self._net.call_soon_with_future(self._produce, leader, part, deadline)
            for leader, part in asked[1:]
        ]
        answers: dict[TopicPartition, Answer] = dict(leaderless)
        for leader, part in asked[:1]:  # mostly there is but one, and a task of its own would cost a wake-up
            answers |= await self._produce(leader, part, deadline)
        for others in beside:
            answers |= await others
        return answers

    async def _produce(
        self, leader: NodeId, batches: Mapping[TopicPartition, Batch], deadline: float
    ) -> dict[TopicPartition, Answer]:
        try:
            request = produce_request(batches, timeout_s=deadline - time.monotonic())
            return answers_in(await self._leaders.ask(leader, request, deadline), batches)
        except kafka_errors.KafkaError as error:
            return _all_failed(batches, error)

    def _mind(self, failed: AppendFailed) -> None:
        """Whatever can be mended by trying again may have moved, and needs a moment."""
        if failed.errors.keys() - failed.refused.keys():
            self._leaders.doubt()
            self._not_before = time.monotonic() + PAUSE_AFTER_FAILURE_S

    async def _pause_after_failure(self, deadline: float) -> None:
        now = time.monotonic()
        if now < self._not_before:
            await self._net.sleep(min(self._not_before, max(now, deadline)) - now)


class _Call:
    """One append: its records, its time, and whom to tell, once."""

    __slots__ = ("_done", "deadline", "records")

    def __init__(self, records: Records, done: Callable[[Outcome], None], deadline: float) -> None:
        self.records = records
        self.deadline = deadline
        self._done: Callable[[Outcome], None] | None = done

    def finish(self, outcome: Outcome) -> None:
        done, self._done = self._done, None
        if done is None:  # it was told already, that the writer was closed
            return
        try:
            done(outcome)
        except Exception:
            log.exception("a callback of append_soon failed; what was appended stays so")

    def fail(self, why: Exception) -> None:
        failed = AppendFailed(dict.fromkeys(self.records, why))
        failed.__cause__ = why
        self.finish(failed if self.records else {})


def _all_failed(batches: Mapping[TopicPartition, Batch], error: Exception) -> dict[TopicPartition, Answer]:
    # Without its traceback, which holds a socket that did not connect open for as long as the error is kept.
    return dict.fromkeys(batches, error.with_traceback(None))
