"""Runs the children: starts them in order, restarts what crashes, stops them in reverse.

The supervisor lives in the main thread and waits on one queue of commands: "stop" from a signal, "check"
from a child's thread that has ended. Between commands it checks the health of every child. It alone changes
the state of a child, and it starts a new thread for a child only after the last one has ended. A thread
cannot be killed, so a child that makes no progress, or does not stop, ends the process, which says its name.
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
    ExitResult,
    Restart,
    RestartBackoff,
    RestartPolicy,
    State,
)
from campus.supervision.worker import ChildRun, Worker

STOP = "stop"  # a signal came

FAST_CHECK_EVERY_S = 0.05  # while a child is starting or closing
CHECK_EVERY_S = 1.0  # otherwise; Windows notices Ctrl-C only between two waits

# Share of the shutdown time that is reserved for the first child, however the others hang: it is the broker,
# a process of its own, which would outlive us if nobody asked it to stop.
FIRST_CHILD_SHARE = 0.1

log = logging.getLogger("supervisor")


def install_signals(commands: SimpleQueue[str]) -> None:
    """Make SIGINT and SIGTERM put "stop" on `commands`, and do nothing else. Main thread only."""

    # Not Queue: a signal may interrupt the holder of its lock. SimpleQueue.put is reentrant.
    def put_stop(_signal: int, _frame: FrameType | None) -> None:
        commands.put(STOP)

    signal.signal(signal.SIGINT, put_stop)
    signal.signal(signal.SIGTERM, put_stop)


class Supervisor:
    """Runs the children until a command, a fault or the end of the last one; returns an `ExitResult`.

    The caller exits with its code. If that is not 0, threads may still be running (stuck, or not waited for
    after a second signal), and an ordinary exit could hang or crash on them: flush stdout, stderr and the
    log, then call `os._exit`. Every fault has already been logged.
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
        self._workers = tuple(Worker(child, RestartBackoff(policy, random), clock()) for child in children)
        self._stop_commands = 0

    def run(self) -> ExitResult:
        """Block, in the main thread, until every child has stopped or a second signal came."""
        try:
            return self._stop_all(self._run_children())
        except _SecondSignal:
            for worker in self._workers:
                worker.request_stop()
            return ExitResult(130, "stopped at once by a second signal")

    def states(self) -> tuple[ChildState, ...]:
        """The children in start order. Callable from any thread; a child that changes may be half old."""
        return tuple(worker.snapshot() for worker in self._workers)

    # Running: wait for a command, check every child, start what is due; repeat.

    def _run_children(self) -> ExitResult:
        wait_s = 0.0  # so that a stop command that is already queued starts nothing
        while True:
            result = self._next_command(wait_s) or self._check_all()
            if result:
                return result
            self._start_due()
            wait_s = self._until_next_check_s()

    def _next_command(self, wait_s: float) -> ExitResult | None:
        """Wait for a command, at most `wait_s`. Raises _SecondSignal if it is the second "stop"."""
        try:
            command = self._commands.get(timeout=max(wait_s, 0.0))
        except Empty:
            return None
        if command != STOP:
            return None
        self._stop_commands += 1
        if self._stop_commands > 1:
            raise _SecondSignal
        return ExitResult(0, "stopped as asked")

    def _check_all(self) -> ExitResult | None:
        for worker in self._workers:
            if result := self._check(worker):
                return result
        if all(worker.state is State.DONE for worker in self._workers):
            return ExitResult(0, "all is done")
        return None

    def _check(self, worker: Worker) -> ExitResult | None:
        run, now_s = worker.current_run, self._clock()
        if run is None:
            return None
        if run.ended:
            return self._handle_exit(worker, run)
        if worker.state is State.CLOSING:
            if now_s < worker.deadline_s:
                return None
            return self._stuck(
                worker, f"did not stop in {worker.child.shutdown_s:g} s after its health check failed"
            )
        try:
            silent_s = worker.check_health(run, now_s)
        except Exception as error:  # noqa: BLE001 (a crash of the child; logged when its thread has ended)
            worker.health_error = error
            worker.request_stop()
            worker.deadline_s = now_s + worker.child.shutdown_s
            worker.move(State.CLOSING, f"closing after {summary(error)}", now_s)
            return None
        if worker.ready and worker.state is State.STARTING:
            worker.move(State.RUNNING, worker.doing, now_s)
            if worker.restarts:
                log.info("%s is back", worker.child.name)
        is_running = worker.state is State.RUNNING
        if silent_s <= (self._policy.stuck_s if is_running else self._policy.start_stuck_s):
            return None
        return self._stuck(
            worker,
            f"is stuck: no progress for {silent_s:.0f} s ({worker.doing}). "
            "The process ends, since a thread cannot be killed",
        )

    def _handle_exit(self, worker: Worker, run: ChildRun) -> ExitResult | None:
        """A child's thread ended and was not asked to: the child is done, restarted, or ends the process."""
        child, now_s = worker.child, self._clock()
        error = run.error or worker.health_error
        worker.current_run = worker.health_error = None
        if error is None and child.restart is Restart.ON_CRASH:
            log.debug("%s is done", child.name)
            worker.move(State.DONE, "done", now_s)
            return None
        reason = summary(error) if error else "returned without being asked to stop"
        if error:
            log.debug("traceback of the crash of %s", child.name, exc_info=error)
        if isinstance(error, CampusError) and error.exit_code is not None:
            worker.move(State.GIVEN_UP, reason, now_s)
            return self._fault(error.exit_code, printable(str(error)))
        pause_s = worker.backoff.record_crash(now_s)
        if pause_s is None:
            worker.move(State.GIVEN_UP, f"crashed ({reason})", now_s)
            policy = self._policy
            return self._fault(
                1,
                f"{child.name} crashed ({reason}), and its {policy.max_restarts} restarts within "
                f"{policy.period_s:g} s are used up. --set logging.level=DEBUG shows the traceback",
            )
        log.warning("%s crashed (%s); restarting in %.1f s", child.name, reason, pause_s)
        worker.deadline_s = now_s + pause_s
        worker.move(State.BACKOFF, f"crashed ({reason})", now_s)
        return None

    def _start_due(self) -> None:
        before: Worker | None = None
        for worker in self._workers:
            now_s = self._clock()
            if worker.state is State.BACKOFF and now_s >= worker.deadline_s:
                worker.restarts += 1
                worker.start(self._commands, now_s)
            elif worker.state is State.WAITING:
                if before is None or before.state in (State.RUNNING, State.DONE):
                    worker.start(self._commands, now_s)
                else:
                    worker.wait_for(before, now_s)
            before = worker

    def _until_next_check_s(self) -> float:
        wait_s = CHECK_EVERY_S
        for worker in self._workers:
            if worker.state in (State.STARTING, State.CLOSING):
                wait_s = min(wait_s, FAST_CHECK_EVERY_S)
            elif worker.state is State.BACKOFF:
                wait_s = min(wait_s, worker.deadline_s - self._clock())
        return wait_s

    # Stopping: one time budget for all, the last child first.

    def _stop_all(self, result: ExitResult) -> ExitResult:
        deadline_s = self._clock() + self._shutdown_s
        stuck = [self._stop(worker, deadline_s) for worker in reversed(self._workers)]
        reasons = [fault.reason for fault in stuck if fault]
        if not reasons:
            return result
        if result.exit_code:
            reasons.insert(0, result.reason)
        return ExitResult(result.exit_code or 1, "; ".join(reasons))

    def _stop(self, worker: Worker, deadline_s: float) -> ExitResult | None:
        run, name, asked_at_s = worker.current_run, worker.child.name, self._clock()
        if run is None or worker.state is State.STUCK:
            if State.STOPPED in MOVES[worker.state]:
                worker.move(State.STOPPED, "stopped", asked_at_s)
            return None
        log.debug("stopping %s", name)
        worker.move(State.STOPPING, worker.doing, asked_at_s)
        worker.request_stop()
        if worker is not self._workers[0]:
            deadline_s -= self._shutdown_s * FIRST_CHILD_SHARE
        deadline_s = min(asked_at_s + worker.child.shutdown_s, deadline_s)
        while not run.ended and (left_s := deadline_s - self._clock()) > 0:
            self._next_command(min(left_s, CHECK_EVERY_S))
        now_s = self._clock()
        if not run.ended:
            return self._stuck(worker, f"did not stop within {now_s - asked_at_s:.1f} s")
        if run.error:
            log.warning("%s crashed while stopping (%s)", name, summary(run.error))
            log.debug("traceback of the crash of %s", name, exc_info=run.error)
        worker.current_run = None
        worker.move(State.STOPPED, "stopped", now_s)
        return None

    # Shared by both phases.

    def _stuck(self, worker: Worker, fact: str) -> ExitResult:
        worker.request_stop()
        worker.move(State.STUCK, worker.doing, self._clock())
        return self._fault(1, f"{worker.child.name} {fact}")

    def _fault(self, exit_code: int, reason: str) -> ExitResult:
        log.error("%s", reason)
        return ExitResult(exit_code, reason)


class _SecondSignal(Exception):
    """The user does not want to wait for an orderly stop."""
