"""OTP's rules for threads: children start in order, stop in reverse, and are built anew when they crash.

The supervisor lives in the main thread and waits on one queue of words: "stop" from a signal, "look" from
a child's thread that has ended; in between it looks at every child's health. It alone moves a child from
state to state, and it starts a child's next thread only after the last one has ended. A thread cannot be
killed, so a child that makes no progress, or does not stop, ends the process by name.
"""

import logging
import signal
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from random import Random
from types import FrameType

from campus.errors import CampusError
from campus.logs import printable, summary
from campus.supervision.lifecycle import (
    MOVES,
    Child,
    ChildState,
    Crashes,
    ExitResult,
    Restart,
    RestartPolicy,
    State,
)
from campus.supervision.worker import ChildRun, Worker

__all__ = [
    "Child",
    "ChildState",
    "ExitResult",
    "Restart",
    "RestartPolicy",
    "State",
    "Supervisor",
    "install_signals",
]

STOP = "stop"  # a signal came

READY_EVERY_S = 0.05  # between looks while a child starts or closes
LOOK_EVERY_S = 1.0  # between looks otherwise; and Windows hears Ctrl-C only between two waits

# Of the time to stop, kept for the first child however the others hang: it is the broker, a process of
# its own, and would outlive us if it were not told.
FIRST_CHILD_SHARE = 0.1

SETTLED = {State.RUNNING, State.DONE}  # the next child may start

log = logging.getLogger("supervisor")


def install_signals(commands: SimpleQueue[str]) -> None:
    """From now on SIGINT and SIGTERM put "stop" on `commands`, and do nothing else. Main thread only."""

    # Not Queue: a signal may interrupt the holder of its lock. SimpleQueue.put is reentrant.
    def say_stop(_signal: int, _frame: FrameType | None) -> None:
        commands.put(STOP)

    signal.signal(signal.SIGINT, say_stop)
    signal.signal(signal.SIGTERM, say_stop)


class Supervisor:
    """Runs the children until a word, a fault or the last of them ends it; says so in an `ExitResult`.

    The caller exits with the ending's code. If that is not 0, threads may still run (they are daemons:
    stuck, or never waited for after a second signal), and an ordinary exit could hang or crash on them:
    flush stdout, stderr and the log, then leave by `os._exit`. A fault has been logged when it was found.
    """

    def __init__(
        self,
        children: Sequence[Child],
        policy: RestartPolicy,
        *,
        shutdown_s: float,
        commands: SimpleQueue[str],
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
    ) -> None:
        names = [child.name for child in children]
        assert len(set(names)) == len(names), f"two children of one name in {names}"
        random = random or Random()  # noqa: S311 (jitter, no secret)
        self._policy, self._shutdown_s, self._commands, self._clock = policy, shutdown_s, commands, clock
        self._workers = tuple(Worker(child, Crashes(policy, random), clock()) for child in children)
        self._stops_heard = 0
        self._publish()

    def run(self) -> ExitResult:
        """Blocks, in the main thread, until everything has been stopped, or a second signal came."""
        try:
            return self._stop_all(self._watch())
        except _SecondSignal:
            for worker in self._workers:
                worker.tell_to_stop()
            return ExitResult(130, "stopped at once by a second signal")
        finally:
            self._publish()

    def states(self) -> tuple[ChildState, ...]:
        """The children as they were at the last look, in start order; from any thread."""
        return self._states

    # Running: hear a word, look at every child, start what is due; again.

    def _watch(self) -> ExitResult:
        wait_s = 0.0  # a stop that came before us starts nothing
        while True:
            ending = self._hear(wait_s) or self._look_at_all()
            if ending:
                return ending
            self._start_what_is_due()
            wait_s = self._until_next_look_s()

    def _hear(self, wait_s: float) -> ExitResult | None:
        """Wait for a word, that long at most. The second stop ends everything, wherever we are."""
        self._publish()
        try:
            word = self._commands.get(timeout=max(wait_s, 0.0))
        except Empty:
            return None
        if word != STOP:
            return None
        self._stops_heard += 1
        if self._stops_heard > 1:
            raise _SecondSignal
        return ExitResult(0, "stopped as asked")

    def _look_at_all(self) -> ExitResult | None:
        for worker in self._workers:
            ending = self._look_at(worker)
            if ending:
                return ending
        if all(worker.state is State.DONE for worker in self._workers):
            return ExitResult(0, "all is done")
        return None

    def _look_at(self, worker: Worker) -> ExitResult | None:
        life, now_s = worker.life, self._clock()
        if life is None:
            return None
        if life.ended:
            return self._after(worker, life)
        if worker.state is State.CLOSING:
            if now_s < worker.due_at_s:
                return None
            closing_s = worker.child.shutdown_s
            return self._stuck(worker, f"did not stop in {closing_s:g} s after its health failed")
        try:
            silent_s = worker.look(life, now_s)
        except Exception as error:  # noqa: BLE001 (a crash of the child; it is told when it has ended)
            worker.health_error = error
            worker.tell_to_stop()
            worker.due_at_s = now_s + worker.child.shutdown_s
            worker.move(State.CLOSING, f"closing after {summary(error)}", now_s)
            return None
        if worker.ready and worker.state is State.STARTING:
            worker.move(State.RUNNING, worker.doing, now_s)
            if worker.restarts:
                log.info("%s is back", worker.child.name)
        running = worker.state is State.RUNNING
        silent_most_s = self._policy.stuck_s if running else self._policy.start_stuck_s
        if silent_s <= silent_most_s:
            return None
        what = f"is stuck: no progress for {silent_s:.0f} s ({worker.doing})"
        return self._stuck(worker, f"{what}. The process ends, since a thread cannot be killed")

    def _after(self, worker: Worker, life: ChildRun) -> ExitResult | None:
        """A thread has ended unasked: done, or a restart, or the end."""
        child, now_s = worker.child, self._clock()
        error = life.error or worker.health_error
        worker.life = worker.health_error = None
        if error is None and child.restart is Restart.ONCE:
            log.debug("%s is done", child.name)
            worker.move(State.DONE, "done", now_s)
            return None
        why = summary(error) if error else "returned, though nobody asked it to"
        if error:
            log.debug("%s crashed, by way of", child.name, exc_info=error)
        if isinstance(error, CampusError) and error.exit_code is not None:
            worker.move(State.GIVEN_UP, why, now_s)
            return self._fault(error.exit_code, printable(str(error)))
        pause_s = worker.crashes.add(now_s)
        if pause_s is None:
            worker.move(State.GIVEN_UP, f"crashed ({why})", now_s)
            policy = self._policy
            return self._fault(
                1,
                f"{child.name} crashed ({why}), and its {policy.max_restarts} restarts within "
                f"{policy.period_s:g} s are used up. --set logging.level=DEBUG shows the traceback",
            )
        log.warning("%s crashed (%s); again in %.1f s", child.name, why, pause_s)
        worker.due_at_s = now_s + pause_s
        worker.move(State.BACKOFF, f"crashed ({why})", now_s)
        return None

    def _start_what_is_due(self) -> None:
        before: Worker | None = None
        for worker in self._workers:
            now_s = self._clock()
            if worker.state is State.BACKOFF and now_s >= worker.due_at_s:
                worker.restarts += 1
                worker.start(self._commands, now_s)
            elif worker.state is State.WAITING:
                if before is None or before.state in SETTLED:
                    worker.start(self._commands, now_s)
                else:
                    worker.wait_for(before, now_s)
            before = worker

    def _until_next_look_s(self) -> float:
        wait_s = LOOK_EVERY_S
        for worker in self._workers:
            if worker.state in (State.STARTING, State.CLOSING):
                wait_s = min(wait_s, READY_EVERY_S)
            elif worker.state is State.BACKOFF:
                wait_s = min(wait_s, worker.due_at_s - self._clock())
        return wait_s

    # Ending: one budget of time for all, the last child first.

    def _stop_all(self, ending: ExitResult) -> ExitResult:
        deadline_s = self._clock() + self._shutdown_s
        late = [self._stop(worker, deadline_s) for worker in reversed(self._workers)]
        faults = [fault.reason for fault in late if fault]
        if not faults:
            return ending
        if ending.exit_code:
            faults.insert(0, ending.reason)
        return ExitResult(ending.exit_code or 1, "; ".join(faults))

    def _stop(self, worker: Worker, deadline_s: float) -> ExitResult | None:
        life, name, asked_at_s = worker.life, worker.child.name, self._clock()
        if life is None or worker.state is State.STUCK:
            if State.STOPPED in MOVES[worker.state]:
                worker.move(State.STOPPED, "stopped", asked_at_s)
            return None
        log.debug("stopping %s", name)
        worker.move(State.STOPPING, worker.doing, asked_at_s)
        worker.tell_to_stop()
        if worker is not self._workers[0]:
            deadline_s -= self._shutdown_s * FIRST_CHILD_SHARE
        until_s = min(asked_at_s + worker.child.shutdown_s, deadline_s)
        while not life.ended and (left_s := until_s - self._clock()) > 0:
            self._hear(min(left_s, LOOK_EVERY_S))
        now_s = self._clock()
        if not life.ended:
            return self._stuck(worker, f"did not stop within {now_s - asked_at_s:.1f} s")
        if life.error:
            log.warning("%s crashed while stopping (%s)", name, summary(life.error))
            log.debug("%s crashed, by way of", name, exc_info=life.error)
        worker.life = None
        worker.move(State.STOPPED, "stopped", now_s)
        return None

    # Faults, and what others see.

    def _stuck(self, worker: Worker, what: str) -> ExitResult:
        worker.tell_to_stop()
        worker.move(State.STUCK, worker.doing, self._clock())
        return self._fault(1, f"{worker.child.name} {what}")

    def _fault(self, exit_code: int, reason: str) -> ExitResult:
        log.error("%s", reason)
        return ExitResult(exit_code, reason)

    def _publish(self) -> None:
        self._states = tuple(worker.snapshot() for worker in self._workers)


class _SecondSignal(Exception):
    """The user does not want to wait any longer."""
