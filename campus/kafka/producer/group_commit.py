"""Orders that gather while a round is out go together in the next: one wait for the broker answers many.

Nothing lingers for a time: alone, an order goes at once; under load rounds grow by themselves. Everything
taken and not yet answered is capped, and every order taken is answered once: it landed, it was refused, or
its time is over (Late), and then it may still land. What failed is sent again until then, and holds up nobody
else; an order that is published twice is decided once (campus/inventory/ledger.py).
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from queue import Empty, SimpleQueue
from typing import Generic, Protocol, TypeAlias, TypeVar

from campus.errors import CampusError
from campus.kafka.producer.batches import BATCH_BYTES_MAX, size_most
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.writer import Outcome
from campus.kafka.records import ProducerRecord, Records, TopicPartition

# Of a whole round, so that none of its places has more, and each takes one batch in one produce request.
ROUND_BYTES_MAX = BATCH_BYTES_MAX
# Of a round, for what failed in the last one, as long as others wait: a partition that nobody leads must not
# hold them up.
AGAIN_SHARE = 1 / 8
# So that a broker that hangs leaves time for another try, at the leader that comes after it.
ROUND_SHARE_OF_DEADLINE = 0.5

T = TypeVar("T")

# Who landed, and who did not with the reason: all of a round's at once.
Report: TypeAlias = Callable[[Sequence[T], Sequence[tuple[T, CampusError]]], None]


class NotTaken(CampusError):
    """Nothing was taken, nothing will land."""


class Backpressure(NotTaken):
    def __init__(self, waiting: int, waiting_bytes: int) -> None:
        self.waiting, self.waiting_bytes = waiting, waiting_bytes
        super().__init__(
            f"{waiting} orders ({waiting_bytes} bytes) wait for the broker already. Probably it is away or "
            "slower than what comes in. Try again in a moment"
        )


class GroupClosed(NotTaken):
    def __init__(self) -> None:
        super().__init__("no more orders are taken: probably the process is stopping. Try again in a moment")


class AckTimeout(CampusError):
    """The time was over before the acknowledgement came; whether it landed is not known."""

    def __init__(self, when: str, last: CampusError | None) -> None:
        self.last = last
        super().__init__(
            f"not acknowledged {when}: {last or 'the broker has not answered'}. "
            "It may still land: look for the order before placing it again"
        )


class RoundWriter(Protocol):
    """What of the Writer is used here."""

    def append_soon(
        self, records: Records, done: Callable[[Outcome], None], *, timeout_s: float | None = None
    ) -> None: ...
    def ask_soon(self, answered: Callable[[], None], *, timeout_s: float) -> None: ...
    def after(self, pause_s: float, callback: Callable[[], None]) -> None: ...
    def wait_for(self, told: "SimpleQueue[None]", timeout_s: float) -> None: ...


@dataclass(slots=True, eq=False)
class _Order(Generic[T]):
    tp: TopicPartition
    record: ProducerRecord
    token: T
    size: int
    deadline: float
    answered: bool = False


class GroupCommit(Generic[T]):
    """`submit` and `close` from wherever the writer may be used; `report` is called in the writer's loop,
    once a round, and must not block.

    Orders stand in the order of their deadlines in each of `_out`, `_again` (sent, and to be sent again) and
    `_waiting`. Whoever sets `_sending` sends, and hands it on from round to round until nothing waits, so
    that one round is out at a time.
    """

    def __init__(
        self,
        writer: RoundWriter,
        report: Report[T],
        *,
        waiting_max: int,
        waiting_bytes_max: int,
        deadline_s: float,
        soon: Callable[[Callable[[], None]], object] = lambda send: send(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`soon` has the first round sent: at once, or when its caller has taken in all that is there. A
        caller with an event loop gains by its end of the turn: else the first order goes alone, and all
        that came with it wait for that round (half of the rate, at 256 connections)."""
        self._writer = writer
        self._report = report
        self._waiting_max = waiting_max
        self._waiting_bytes_max = waiting_bytes_max
        self._deadline_s = deadline_s
        self._soon = soon
        self._clock = clock
        self._lock = threading.Lock()  # of everything below
        self._waiting: deque[_Order[T]] = deque()
        self._again: deque[_Order[T]] = deque()
        self._out: list[_Order[T]] = []
        self._out_again = 0  # so many of those, the first, were sent before
        self._count = 0  # taken and not answered
        self._bytes = 0
        self._reporting = 0  # reports under way
        self._sending = False
        self._timer_is_set = False
        self._last_failure: CampusError | None = None
        self._closed = False
        self._all_answered: SimpleQueue[None] = SimpleQueue()

    def submit(self, tp: TopicPartition, record: ProducerRecord, token: T) -> None:
        """Take an order; `token` will be in a report. Raises NotTaken, at once, and then nothing was."""
        size = size_most(record)
        with self._lock:
            if self._closed:
                raise GroupClosed
            if self._count >= self._waiting_max or self._bytes + size > self._waiting_bytes_max:
                raise Backpressure(self._count, self._bytes)
            deadline = self._clock() + self._deadline_s
            self._waiting.append(_Order(tp, record, token, size, deadline))
            self._count += 1
            self._bytes += size
            set_timer, self._timer_is_set = not self._timer_is_set, True
            send, self._sending = not self._sending, True
        if set_timer:
            self._set_timer(self._deadline_s)
        if send:
            self._soon(self._send)

    def ask(self, answered: Callable[[], None], *, timeout_s: float) -> None:
        """Whether a broker is there: `answered` is called in the writer's loop if one answers. As long as
        anything is being sent, that is answer enough. Raises WriterClosed."""
        with self._lock:
            if self._sending:
                return
        self._writer.ask_soon(answered, timeout_s=timeout_s)

    def waiting(self) -> tuple[int, int]:
        """How many orders, and bytes, are taken and not yet answered."""
        return self._count, self._bytes

    def close(self, *, timeout_s: float) -> None:
        """Take no more, wait until what was taken is reported, and report the rest as Late."""
        with self._lock:
            self._closed = True
            self._note_if_all_is_answered()
        try:
            self._writer.wait_for(self._all_answered, timeout_s)
        except Empty:
            self._give_up("before the end", self._last_failure)

    def _send(self) -> None:
        with self._lock:
            self._out = self._next_round()
            self._sending = bool(self._out)
            if not self._out:
                return
            records: dict[TopicPartition, list[ProducerRecord]] = {}
            for order in self._out:
                records.setdefault(order.tp, []).append(order.record)
        try:
            timeout_s = self._deadline_s * ROUND_SHARE_OF_DEADLINE
            self._writer.append_soon(records, self._round_ended, timeout_s=timeout_s)
        except WriterClosed as closed:
            with self._lock:
                self._closed = True
            self._give_up("before the writer was closed", closed)

    def _next_round(self) -> list[_Order[T]]:
        """The first of those that wait, as many as fit into a round; before them, what failed."""
        out: list[_Order[T]] = []
        is_held_up = self._waiting and self._last_failure is not None
        _move(self._again, out, round(ROUND_BYTES_MAX * AGAIN_SHARE) if is_held_up else ROUND_BYTES_MAX)
        self._out_again = len(out)
        _move(self._waiting, out, ROUND_BYTES_MAX - sum(order.size for order in out))
        return out

    def _round_ended(self, outcome: Outcome) -> None:
        """Send the next round, then report the one that ended."""
        landed: list[T] = []
        failed: list[tuple[T, CampusError]] = []
        with self._lock:
            again: list[_Order[T]] = []
            anew: list[_Order[T]] = []  # not for the first time
            for number, order in enumerate(self._out):
                if order.answered:  # as late, while the round was out
                    continue
                if not isinstance(outcome, AppendFailed) or order.tp in outcome.landed:
                    landed.append(order.token)
                elif order.tp in outcome.refused:
                    failed.append((order.token, outcome))
                else:
                    (anew if number < self._out_again else again).append(order)
                    continue
                self._answer(order)
            self._out = []
            self._again.extendleft(reversed(anew))
            self._again.extend(again)
            self._last_failure = outcome if isinstance(outcome, AppendFailed) else None
            self._reporting += 1
        self._send()
        self._tell(landed, failed)

    def _answer(self, order: _Order[T]) -> None:
        order.answered = True
        self._count -= 1
        self._bytes -= order.size

    def _tell(self, landed: Sequence[T], failed: Sequence[tuple[T, CampusError]]) -> None:
        try:
            if landed or failed:
                self._report(landed, failed)
        finally:
            with self._lock:
                self._reporting -= 1
                self._note_if_all_is_answered()

    def _note_if_all_is_answered(self) -> None:
        if self._closed and not self._count and not self._reporting:
            self._all_answered.put(None)

    def _set_timer(self, pause_s: float) -> None:
        try:
            self._writer.after(pause_s, self._time_is_over)
        except WriterClosed:
            return  # then all are answered by whoever sends next: it is told the same

    def _time_is_over(self) -> None:
        """Answer those whose time is over, also of the round that is out, and wait for the next."""
        now = self._clock()
        self._give_up(f"within {self._deadline_s:g} s", self._last_failure, until=now)
        with self._lock:
            lines = (self._out, self._again, self._waiting)
            deadlines = [order.deadline for line in lines for order in _first_open(line)]
            self._timer_is_set = bool(deadlines)
        if deadlines:
            self._set_timer(min(deadlines) - now)

    def _give_up(self, when: str, why: CampusError | None, *, until: float = float("inf")) -> None:
        late = AckTimeout(when, why)
        failed: list[tuple[T, CampusError]] = []
        with self._lock:
            for line in (self._out, self._again, self._waiting):
                for order in takewhile(lambda order: order.deadline <= until, line):
                    if not order.answered:
                        failed.append((order.token, late))
                        self._answer(order)
            for waiting in (self._again, self._waiting):
                while waiting and waiting[0].answered:
                    waiting.popleft()
            self._reporting += 1
        self._tell([], failed)


def _move(line: deque[_Order[T]], out: list[_Order[T]], room: int) -> None:
    """The first in line into a round, as many as there is room for; if it is empty, one at least."""
    while line and (line[0].size <= room or not out):
        order = line.popleft()
        room -= order.size
        out.append(order)


def _first_open(line: Iterable[_Order[T]]) -> Iterator[_Order[T]]:
    return islice((order for order in line if not order.answered), 1)
