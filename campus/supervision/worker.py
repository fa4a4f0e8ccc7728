"""One supervised child: the thread of its current run, and what the supervisor knows over all its runs.

Neither class needs a lock: a `ChildRun` is written by its own thread and read by the supervisor; a `Worker`
is used by the supervisor's thread alone. Not here: the decisions that follow from it (supervisor.py).
"""

import logging
from queue import SimpleQueue
from threading import Event, Thread

from campus.supervision.lifecycle import MOVES, Child, ChildState, RestartBackoff, State
from campus.supervision.role import Role

CHECK = "check"  # the command that wakes the supervisor; it finds out itself what happened

WAIT_NOTICE_S = 5.0  # a child that waits longer for the one before it is worth a log line
SILENCE_PER_CHECK_MAX_S = 2.0  # twice the time between two checks

log = logging.getLogger("supervisor")


class ChildRun:
    """One start of a child: a thread, a stop event, a role."""

    def __init__(self, child: Child, commands: SimpleQueue[str]) -> None:
        self._child, self._commands = child, commands
        self.stop = Event()
        self.role: Role | None = None
        self.error: BaseException | None = None
        self.ended = False

    def begin(self) -> None:
        # A daemon thread, because the interpreter waits at exit for all others, and this one may be stuck.
        thread = Thread(target=self._run, name=self._child.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads: a crash like any other
            self._end(error)

    def _run(self) -> None:
        try:
            self.role = self._child.build()
            self.role.run(self.stop)
        except BaseException as error:  # noqa: BLE001 (SystemExit too: threading would drop it silently)
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        """The command goes last, so that the supervisor sees the rest when it wakes up."""
        self.error = error
        self.ended = True
        self._commands.put(CHECK)


class Worker:
    """The supervisor's record of one child."""

    def __init__(self, child: Child, backoff: RestartBackoff, now_s: float) -> None:
        self.child, self.backoff = child, backoff
        self.state, self.doing, self.since_s = State.WAITING, "waiting", now_s
        self.ready = False
        self.restarts = 0
        self.current_run: ChildRun | None = None
        self.health_error: Exception | None = None
        self.deadline_s = now_s  # in BACKOFF: when to restart; in CLOSING: until when it has to stop
        self._heartbeat_at_s, self._checked_at_s, self._silent_s = now_s, now_s, 0.0
        self._wait_was_logged = False

    def move(self, state: State, doing: str, now_s: float) -> None:
        assert state in MOVES[self.state], f"{self.child.name}: {self.state} to {state}"
        self.state, self.doing, self.since_s = state, doing, now_s

    def start(self, commands: SimpleQueue[str], now_s: float) -> None:
        self.move(State.STARTING, "starting", now_s)
        self.ready = False
        self._heartbeat_at_s, self._checked_at_s, self._silent_s = now_s, now_s, 0.0
        self.current_run = ChildRun(self.child, commands)
        self.current_run.begin()

    def wait_for(self, other: "Worker", now_s: float) -> None:
        self.doing = f"waiting for {other.child.name}"
        is_slow = other.state is State.STARTING and now_s - other.since_s >= WAIT_NOTICE_S
        if is_slow and not self._wait_was_logged:
            self._wait_was_logged = True
            log.info("%s waits for %s (%s)", self.child.name, other.child.name, other.doing)

    def check_health(self, run: ChildRun, now_s: float) -> float:
        """Read the role's health; return for how many seconds it has made no progress.

        Raises whatever the role's `health` raises. Each check adds a bounded amount of silence: if the whole
        process was paused (SIGSTOP, a closed lid), its roles were paused with it and are not stuck.
        """
        elapsed_s, self._checked_at_s = now_s - self._checked_at_s, now_s
        self._silent_s += min(elapsed_s, SILENCE_PER_CHECK_MAX_S)
        if run.role is None:  # still being built
            return self._silent_s
        health = run.role.health()
        if health.heartbeat_at_s != self._heartbeat_at_s:
            self._heartbeat_at_s, self._silent_s = health.heartbeat_at_s, 0.0
        self.ready, self.doing = health.ready, health.doing
        return self._silent_s

    def request_stop(self) -> None:
        if self.current_run:
            self.current_run.stop.set()

    def snapshot(self) -> ChildState:
        return ChildState(self.child.name, self.state, self.doing, self.restarts, self.since_s)
