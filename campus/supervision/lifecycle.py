"""The life of a supervised child as data: its states, its legal moves, when it is restarted.

Nothing here runs a thread, reads a clock or writes a line, so every rule is tested by a call.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from campus.supervision.role import Role


class State(Enum):
    WAITING = "waiting"  # for the child before it
    STARTING = "starting"  # its thread runs, and it is not ready yet
    RUNNING = "running"
    CLOSING = "closing"  # its health failed: told to stop, and to be restarted when it has
    BACKOFF = "backoff"
    STOPPING = "stopping"
    DONE = "done"  # returned, as a child of Restart.ONCE may
    STOPPED = "stopped"
    STUCK = "stuck"  # its thread goes on, and cannot be killed: the process ends
    GIVEN_UP = "given up"  # crashed too often, or in a way that no restart can help


MOVES: dict[State, set[State]] = {
    State.WAITING: {State.STARTING, State.STOPPED},
    State.STARTING: {State.RUNNING, State.DONE, State.STOPPING}
    | {State.CLOSING, State.BACKOFF, State.GIVEN_UP, State.STUCK},
    State.RUNNING: {State.DONE, State.STOPPING} | {State.CLOSING, State.BACKOFF, State.GIVEN_UP, State.STUCK},
    State.CLOSING: {State.BACKOFF, State.GIVEN_UP, State.STUCK, State.STOPPING},
    State.BACKOFF: {State.STARTING, State.STOPPED},
    State.STOPPING: {State.STOPPED, State.STUCK},
    State.DONE: set(),
    State.STOPPED: set(),
    State.STUCK: set(),
    State.GIVEN_UP: set(),
}


class Restart(Enum):
    ALWAYS = "always"  # to return without being told is a crash
    ONCE = "once"  # to return is to be done; a crash is restarted all the same


@dataclass(frozen=True, slots=True)
class Child:
    """`build` is called anew for each start, in the child's own thread, so it may block or raise."""

    name: str
    build: Callable[[], Role]
    restart: Restart = Restart.ALWAYS
    shutdown_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """More than `max_restarts` of one child within `period_s`, and the process gives up.

    A child that runs without a beat for `stuck_s` is stuck. One that is not ready yet may be
    silent for `start_stuck_s`: it fetches a broker through a thin line, or waits for one in a
    blocking call.
    """

    max_restarts: int = 5
    period_s: float = 60.0
    backoff_first_s: float = 0.2
    backoff_most_s: float = 5.0
    stuck_s: float = 60.0
    start_stuck_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ChildState:
    """What anyone may know of a child. `since_s`: when it came into its state, on the monotonic clock."""

    name: str
    state: State
    doing: str
    restarts: int
    since_s: float


@dataclass(frozen=True, slots=True)
class ExitResult:
    """0: stopped as asked. 1: gave up. 130: a second signal. Else the exit code of a CampusError."""

    exit_code: int
    reason: str


class Crashes:
    """The crashes of one child that still count, and so how long it pauses before it is started
    again.

    Counted per child and not, as OTP does, over all: one outage of the broker crashes every role
    once.
    """

    def __init__(self, policy: RestartPolicy, random: Random) -> None:
        self._policy, self._random = policy, random
        self._at_s: deque[float] = deque(maxlen=policy.max_restarts + 1)

    def add(self, now_s: float) -> float | None:
        """Note a crash; the pause until the restart, or None if this is one crash too many."""
        policy = self._policy
        while self._at_s and now_s - self._at_s[0] > policy.period_s:
            self._at_s.popleft()
        self._at_s.append(now_s)
        if len(self._at_s) > policy.max_restarts:
            return None
        doublings = min(len(self._at_s) - 1, 60)  # 2.0 ** 1024 would overflow
        most_s = min(policy.backoff_first_s * 2.0**doublings, policy.backoff_most_s)
        # Half of it is chance, so that several processes do not come back in step.
        return most_s * self._random.uniform(0.5, 1.0)
