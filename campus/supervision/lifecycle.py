"""The lifecycle of a supervised child as data: its states, its legal moves, when it is restarted.

Nothing here starts a thread, reads a clock or logs, so every rule is tested by a plain call.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from random import Random

from campus.supervision.role import Role


class State(Enum):
    WAITING = "waiting"  # for the child before it
    STARTING = "starting"  # its thread runs, but it is not ready yet
    RUNNING = "running"
    CLOSING = "closing"  # its health check raised: asked to stop, then restarted
    BACKOFF = "backoff"  # crashed; waits for its restart
    STOPPING = "stopping"
    DONE = "done"  # returned, as a child with Restart.ON_CRASH may
    STOPPED = "stopped"
    STUCK = "stuck"  # its thread does not end and cannot be killed: the process exits
    GIVEN_UP = "given up"  # crashed too often, or with an error that no restart can help


_FAILED = {State.CLOSING, State.BACKOFF, State.GIVEN_UP, State.STUCK}

MOVES: dict[State, set[State]] = {
    State.WAITING: {State.STARTING, State.STOPPED},
    State.STARTING: {State.RUNNING, State.DONE, State.STOPPING, *_FAILED},
    State.RUNNING: {State.DONE, State.STOPPING, *_FAILED},
    State.CLOSING: {State.BACKOFF, State.GIVEN_UP, State.STUCK, State.STOPPING},
    State.BACKOFF: {State.STARTING, State.STOPPED},
    State.STOPPING: {State.STOPPED, State.STUCK},
    State.DONE: set(),
    State.STOPPED: set(),
    State.STUCK: set(),
    State.GIVEN_UP: set(),
}


class Restart(Enum):
    ALWAYS = "always"  # returning before it is asked to stop counts as a crash
    ON_CRASH = "on crash"  # returning means done; only a crash is restarted


@dataclass(frozen=True, slots=True)
class Child:
    """`build` is called for each start, in the child's own thread, so it may block or raise."""

    name: str
    build: Callable[[], Role]
    restart: Restart = Restart.ALWAYS
    shutdown_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """The process gives up after more than `max_restarts` of one child within `period_s`.

    A running child without a heartbeat for `stuck_s` is stuck. One that is not ready yet may be silent for
    `start_stuck_s`: it may be downloading Kafka over a slow network, or block while it waits for a broker.
    """

    max_restarts: int = 5
    period_s: float = 60.0
    backoff_first_s: float = 0.2
    backoff_most_s: float = 5.0
    stuck_s: float = 60.0
    start_stuck_s: float = 600.0


@dataclass(frozen=True, slots=True)
class ChildState:
    """An immutable snapshot of a child. `since_s`: when it entered its state, on the monotonic clock."""

    name: str
    state: State
    doing: str
    restarts: int
    since_s: float


@dataclass(frozen=True, slots=True)
class ExitResult:
    """Exit codes: 0 stopped as asked, 1 gave up, 130 a second signal, else the code of a CampusError."""

    exit_code: int
    reason: str


class RestartBackoff:
    """Counts the recent crashes of one child; they decide how long it pauses before its next start.

    Counted per child, not over all children as OTP does: one broker outage crashes every role once.
    """

    def __init__(self, policy: RestartPolicy, random: Random) -> None:
        self._policy, self._random = policy, random
        self._crashes_at_s: deque[float] = deque(maxlen=policy.max_restarts + 1)

    def record_crash(self, now_s: float) -> float | None:
        """The pause until the restart in seconds, or None if this crash is one too many."""
        policy, crashes_at_s = self._policy, self._crashes_at_s
        while crashes_at_s and now_s - crashes_at_s[0] > policy.period_s:
            crashes_at_s.popleft()
        crashes_at_s.append(now_s)
        if len(crashes_at_s) > policy.max_restarts:
            return None
        doublings = min(len(crashes_at_s) - 1, 60)  # 2.0 ** 1024 would overflow
        most_s = min(policy.backoff_first_s * 2.0**doublings, policy.backoff_most_s)
        # Half of it is random, so that several processes do not restart in step.
        return most_s * self._random.uniform(0.5, 1.0)
