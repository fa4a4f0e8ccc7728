"""One supervised child at work: the thread of its present life, and what is known of it over all its lives.

A `ChildRun` belongs to its own thread, which writes it, and the supervisor reads it; a `Worker` belongs to
the supervisor's thread alone. So neither needs a lock. Not here: what follows from it all (supervisor.py).
"""

import logging
from queue import SimpleQueue
from threading import Event, Thread

from campus.supervision.lifecycle import MOVES, Child, ChildState, Crashes, State
from campus.supervision.role import Role

LOOK = "look"  # the word that wakes the supervisor; what happened, it sees for itself

START_NOTICE_S = 5.0  # a wait for the child before is worth a line after that long
LOOK_SILENCE_MOST_S = 2.0  # of one look, as silence of a role: twice the time between looks

log = logging.getLogger("supervisor")


class ChildRun:
    """One start of a child: a thread, a stop event, a role. Its thread writes it, the supervisor reads."""

    def __init__(self, child: Child, commands: SimpleQueue[str]) -> None:
        self._child, self._commands = child, commands
        self.stop = Event()
        self.role: Role | None = None
        self.error: BaseException | None = None
        self.ended = False

    def begin(self) -> None:
        # A daemon: the interpreter waits for no thread that cannot be killed.
        thread = Thread(target=self._live, name=self._child.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads: a crash like any other
            self._end(error)

    def _live(self) -> None:
        try:
            self.role = self._child.build()
            self.role.run(self.stop)
        except BaseException as error:  # noqa: BLE001 (SystemExit too: threading drops it unseen)
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        """After everything that the role did; the word comes last, so that who hears it sees the rest."""
        self.error = error
        self.ended = True
        self._commands.put(LOOK)


class Worker:
    """What the supervisor knows of one child. Touched by the supervisor's thread alone."""

    def __init__(self, child: Child, crashes: Crashes, now_s: float) -> None:
        self.child, self.crashes = child, crashes
        self.state, self.doing, self.since_s = State.WAITING, "waiting", now_s
        self.ready = False
        self.restarts = 0
        self.life: ChildRun | None = None
        self.health_error: Exception | None = None
        self.due_at_s = now_s  # the restart in BACKOFF, the end of patience in CLOSING
        self._heartbeat_at_s, self._looked_at_s, self._silent_s = now_s, now_s, 0.0
        self._told_wait = False

    def move(self, state: State, doing: str, now_s: float) -> None:
        assert state in MOVES[self.state], f"{self.child.name}: {self.state} to {state}"
        self.state, self.doing, self.since_s = state, doing, now_s

    def start(self, commands: SimpleQueue[str], now_s: float) -> None:
        self.move(State.STARTING, "starting", now_s)
        self.ready = False
        self._heartbeat_at_s, self._looked_at_s, self._silent_s = now_s, now_s, 0.0
        self.life = ChildRun(self.child, commands)
        self.life.begin()

    def wait_for(self, other: "Worker", now_s: float) -> None:
        self.doing = f"waiting for {other.child.name}"
        slow = other.state is State.STARTING and now_s - other.since_s >= START_NOTICE_S
        if slow and not self._told_wait:
            self._told_wait = True
            log.info("%s waits for %s (%s)", self.child.name, other.child.name, other.doing)

    def look(self, life: ChildRun, now_s: float) -> float:
        """Read the role's health, which may raise; returns for how long it has made no progress.

        Silence is added up look by look and bounded for each: after the whole process was paused
        (SIGSTOP, a closed lid), roles have not been silent, they have been asleep with us.
        """
        slept_s, self._looked_at_s = now_s - self._looked_at_s, now_s
        self._silent_s += min(slept_s, LOOK_SILENCE_MOST_S)
        if life.role is None:  # being built
            return self._silent_s
        health = life.role.health()
        if health.heartbeat_at_s != self._heartbeat_at_s:
            self._heartbeat_at_s, self._silent_s = health.heartbeat_at_s, 0.0
        self.ready, self.doing = health.ready, health.doing
        return self._silent_s

    def tell_to_stop(self) -> None:
        if self.life:
            self.life.stop.set()

    def snapshot(self) -> ChildState:
        return ChildState(self.child.name, self.state, self.doing, self.restarts, self.since_s)
