"""A world for a supervisor: its clock, its queue of words and its roles, driven by a script, with no sleep.

The supervisor under test is the real one and its threads are real. It waits by `commands.get(timeout=…)`,
and here that is `World.get`: it moves the clock to the next thing in the script, lets it happen, and
returns only when the thread that it happens to has answered. So a run is the same each time, and takes
no longer than its threads take to start. Every wait is a chance to check what must hold at any moment.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from random import Random
from threading import Condition, Event

from campus.supervision.role import Health
from campus.supervision.supervisor import (
    Child,
    ChildState,
    ExitResult,
    Restart,
    RestartPolicy,
    State,
    Supervisor,
)

PATIENCE_S = 20.0  # of a test with a thread that does not do what the script says: it has failed
START_S = 1_000.0
LOOKS_MAX = 200_000  # a supervisor that looks so often does not wait at all


@dataclass
class Habits:
    """How a fake child behaves, in every one of its lives."""

    ready_after_s: float = 0.0
    stop_takes_s: float = 0.0  # math.inf: it does not heed its stop event
    crash_at_stop: BaseException | None = None
    restart: Restart = Restart.ALWAYS
    shutdown_s: float = 10.0
    builds: dict[int, BaseException] = field(default_factory=dict)  # which starts fail, and how


class World:
    """Children, a script of what happens when, and a record of what did: `events` and `seen`."""

    def __init__(
        self, policy: RestartPolicy | None = None, *, shutdown_s: float = 10.0, seed: int = 1
    ) -> None:
        self.now_s = START_S
        self.policy, self.shutdown_s, self.random = policy or RestartPolicy(), shutdown_s, Random(seed)
        self.events: list[tuple[float, str, str]] = []  # when, what, who: start, end, crash
        self.timeouts: list[float] = []
        self.each_look: Callable[[], None] = lambda: None
        self.roles: dict[str, FakeRole] = {}
        self.active: Counter[str] = Counter()
        self.changed = Condition()
        self._habits: dict[str, Habits] = {}
        self._script: list[tuple[float, int, str, str, BaseException | None]] = []
        self._entered: Counter[str] = Counter()
        self._commands: SimpleQueue[str] = SimpleQueue()
        self._order = count()  # of what happens at the same time
        self._looks = 0
        self._failed_builds = 0  # whose word has not been handed on
        self.supervisor: Supervisor | None = None

    # The script

    def child(self, name: str, **habits: object) -> "World":
        self._habits[name] = Habits(**habits)  # type: ignore[arg-type]
        return self

    def at(self, at_s: float, what: str, who: str = "", error: BaseException | None = None) -> "World":
        """At that many seconds from the start: stop | crash | return | sick | silent | pause | jump."""
        heapq.heappush(self._script, (START_S + at_s, next(self._order), what, who, error))
        return self

    def run(self) -> ExitResult:
        children = [
            Child(name, self._builder(name), habits.restart, habits.shutdown_s)
            for name, habits in self._habits.items()
        ]
        self.supervisor = Supervisor(
            children,
            self.policy,
            shutdown_s=self.shutdown_s,
            commands=self,  # type: ignore[arg-type]
            clock=lambda: self.now_s,
            random=self.random,
        )
        try:
            return self.supervisor.run()
        finally:
            self._free_all_threads()

    # What came of it

    def snapshot(self) -> tuple[ChildState, ...]:
        assert self.supervisor
        return self.supervisor.states()

    def states(self) -> dict[str, State]:
        return {child.name: child.state for child in self.snapshot()}

    def names(self, what: str) -> list[str]:
        return [who for _, happened, who in self.events if happened == what]

    def times(self, what: str, who: str) -> list[float]:
        return [at_s - START_S for at_s, happened, name in self.events if (happened, name) == (what, who)]

    # The queue of words, as the supervisor and its threads see it

    def put(self, word: str) -> None:
        self._commands.put(word)

    def get(self, timeout: float) -> str:
        assert timeout >= 0
        self._looks += 1
        assert self._looks < LOOKS_MAX, "the supervisor spins"
        self.timeouts.append(timeout)
        self._await_started_threads()
        self.each_look()
        if self._failed_builds:
            self._failed_builds -= 1
            return self._commands.get(timeout=PATIENCE_S)
        self._plan_returns_of_the_stopped()
        until_s = self.now_s + timeout
        while self._script and self._script[0][0] <= until_s:
            at_s, _, what, who, error = heapq.heappop(self._script)
            self.now_s = max(self.now_s, at_s)
            word = self._happens(what, who, error)
            if word:
                return word
        self.now_s = max(self.now_s, until_s)
        raise Empty

    def _happens(self, what: str, who: str, error: BaseException | None) -> str | None:
        """Let it happen; the word that comes of it, if any. What befalls an absent role does not happen."""
        if what == "stop":
            return "stop"
        if what == "jump":  # the whole process was paused, and wakes late
            self.now_s += float(who)
            return None
        role = self.roles.get(who)
        if not role or not self.active[who]:
            return None
        if what == "sick":
            role.health_error = error
        elif what == "silent":
            role.silent_from_s = self.now_s
        else:
            role.orders.put(error)
            return self._commands.get(timeout=PATIENCE_S)
        return None

    def _builder(self, name: str) -> Callable[[], "FakeRole"]:
        def build() -> FakeRole:
            start = self._entered[name] + 1
            error = self._habits[name].builds.get(start)
            if error:
                self.note("start", name)
                self.note("crash", name)
                with self.changed:
                    self._entered[name] = start
                    self._failed_builds += 1
                    self.changed.notify_all()
                raise error
            role = FakeRole(self, name, self._habits[name])
            self.roles[name] = role
            return role

        return build

    def enters(self, role: "FakeRole") -> None:
        with self.changed:
            self.active[role.name] += 1
            self.note("start", role.name)
            self._entered[role.name] += 1
            self.changed.notify_all()

    def leaves(self, role: "FakeRole", what: str) -> None:
        with self.changed:
            self.active[role.name] -= 1
            self.note(what, role.name)

    def note(self, what: str, who: str) -> None:
        self.events.append((self.now_s, what, who))

    def _await_started_threads(self) -> None:
        """Until each child that was started has built its role and runs, or has failed to."""
        with self.changed:
            for child in self.snapshot():
                started = child.restarts + 1 if child.state is State.STARTING else 0
                arrived = self.changed.wait_for(lambda: self._entered[child.name] >= started, PATIENCE_S)  # noqa: B023
                assert arrived, f"start {started} of {child.name} has no thread"

    def _plan_returns_of_the_stopped(self) -> None:
        for role in self.roles.values():
            if self.active[role.name] and role.stop.is_set() and not role.heard_stop:
                role.heard_stop = True
                if role.habits.stop_takes_s < float("inf"):
                    back_s = self.now_s - START_S + role.habits.stop_takes_s
                    self.at(back_s, "return", role.name, role.habits.crash_at_stop)

    def _free_all_threads(self) -> None:
        for role in self.roles.values():
            role.orders.put(None)


class FakeRole:
    """Runs until it is given an order: an exception to raise, or None to return."""

    def __init__(self, world: World, name: str, habits: Habits) -> None:
        self.world, self.name, self.habits = world, name, habits
        self.orders: SimpleQueue[BaseException | None] = SimpleQueue()
        self.stop = Event()
        self.heard_stop = False
        self.health_error: BaseException | None = None
        self.silent_from_s: float | None = None
        self.built_at_s = world.now_s

    def run(self, stop: Event) -> None:
        self.stop = stop
        self.world.enters(self)
        error = self.orders.get(timeout=PATIENCE_S * 5)
        asked = stop.is_set() or self.habits.restart is Restart.ONCE
        self.world.leaves(self, "crash" if error or not asked else "end")
        if error:
            raise error

    def health(self) -> Health:
        if self.health_error:
            raise self.health_error
        now_s = self.world.now_s
        ready = now_s >= self.built_at_s + self.habits.ready_after_s
        return Health(ready, "working", now_s if self.silent_from_s is None else self.silent_from_s)
