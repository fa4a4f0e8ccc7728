"""A scripted environment for a supervisor: its clock, its command queue and its roles. Nothing sleeps.

The supervisor under test is the real one, and its threads are real. It waits with `commands.get(timeout=…)`,
which here is `Scenario.get`: it advances the clock to the next step of the script, performs that step, and
returns only when the affected thread has responded. So a run is the same each time, and takes no longer than
its threads take to start. A test can check an invariant at each wait (`on_check`).
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from random import Random
from threading import Condition, Event

from campus.errors import CampusError
from campus.supervision.lifecycle import Child, ChildState, ExitResult, Restart, RestartPolicy, State
from campus.supervision.role import Health
from campus.supervision.supervisor import Supervisor

PATIENCE_S = 20.0  # a thread that has not done its step of the script by then has failed
START_S = 1_000.0
CHECKS_MAX = 200_000  # a supervisor that checks more often than that does not wait at all


class NoBroker(CampusError):
    exit_code = 3


class LeaderMissing(CampusError):
    pass


@dataclass
class Behaviour:
    """How a fake child behaves in each of its runs."""

    ready_after_s: float = 0.0
    stop_takes_s: float = 0.0  # math.inf: it ignores its stop event
    crash_at_stop: BaseException | None = None
    restart: Restart = Restart.ALWAYS
    shutdown_s: float = 10.0
    builds: dict[int, BaseException] = field(
        default_factory=dict
    )  # errors of `build`, by number of the start


class Scenario:
    """Children, a script of what happens when, and a record of what happened (`events`)."""

    def __init__(
        self, policy: RestartPolicy | None = None, *, shutdown_s: float = 10.0, seed: int = 1
    ) -> None:
        self.now_s = START_S
        self.policy, self.shutdown_s, self.random = policy or RestartPolicy(), shutdown_s, Random(seed)
        self.events: list[tuple[float, str, str]] = []  # time, start | end | crash, name
        self.timeouts: list[float] = []
        self.on_check: Callable[[], None] = lambda: None
        self.roles: dict[str, FakeRole] = {}
        self.active: Counter[str] = Counter()
        self.changed = Condition()
        self._behaviours: dict[str, Behaviour] = {}
        self._script: list[tuple[float, int, str, str, BaseException | None]] = []
        self._entered: Counter[str] = Counter()
        self._commands: SimpleQueue[str] = SimpleQueue()
        self._order = count()  # of steps at the same time
        self._checks = 0
        self._failed_builds = 0  # whose "check" command was not delivered yet
        self.supervisor: Supervisor | None = None

    # The script

    def child(self, name: str, **behaviour: object) -> "Scenario":
        self._behaviours[name] = Behaviour(**behaviour)  # type: ignore[arg-type]
        return self

    def at(self, at_s: float, action: str, name: str = "", error: BaseException | None = None) -> "Scenario":
        """Add a step, in seconds from the start: stop | crash | return | unhealthy | silent | jump."""
        heapq.heappush(self._script, (START_S + at_s, next(self._order), action, name, error))
        return self

    def run(self) -> ExitResult:
        children = [
            Child(name, self._builder(name), behaviour.restart, behaviour.shutdown_s)
            for name, behaviour in self._behaviours.items()
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

    # The result

    def snapshot(self) -> tuple[ChildState, ...]:
        assert self.supervisor
        return self.supervisor.states()

    def states(self) -> dict[str, State]:
        return {child.name: child.state for child in self.snapshot()}

    def names(self, event: str) -> list[str]:
        return [name for _, each, name in self.events if each == event]

    def times(self, event: str, name: str) -> list[float]:
        return [at_s - START_S for at_s, *rest in self.events if rest == [event, name]]

    # The command queue, as the supervisor and its threads see it

    def put(self, command: str) -> None:
        self._commands.put(command)

    def get(self, timeout: float) -> str:
        assert timeout >= 0
        self._checks += 1
        assert self._checks < CHECKS_MAX, "the supervisor spins"
        self.timeouts.append(timeout)
        self._await_started_threads()
        self.on_check()
        if self._failed_builds:
            self._failed_builds -= 1
            return self._commands.get(timeout=PATIENCE_S)
        self._plan_returns_of_the_stopped()
        until_s = self.now_s + timeout
        while self._script and self._script[0][0] <= until_s:
            at_s, _, action, name, error = heapq.heappop(self._script)
            self.now_s = max(self.now_s, at_s)
            command = self._perform(action, name, error)
            if command:
                return command
        self.now_s = max(self.now_s, until_s)
        raise Empty

    def _perform(self, action: str, name: str, error: BaseException | None) -> str | None:
        """Perform a step; return the command that results, if any. Steps of absent roles are skipped."""
        if action == "stop":
            return "stop"
        if action == "jump":  # the whole process was paused
            self.now_s += float(name)
            return None
        role = self.roles.get(name)
        if not role or not self.active[name]:
            return None
        if action == "unhealthy":
            role.health_error = error
        elif action == "silent":
            role.silent_from_s = self.now_s
        else:
            role.instructions.put(error)
            return self._commands.get(timeout=PATIENCE_S)
        return None

    def _builder(self, name: str) -> Callable[[], "FakeRole"]:
        def build() -> FakeRole:
            start = self._entered[name] + 1
            error = self._behaviours[name].builds.get(start)
            if error:
                self.note("start", name)
                self.note("crash", name)
                with self.changed:
                    self._entered[name] = start
                    self._failed_builds += 1
                    self.changed.notify_all()
                raise error
            role = FakeRole(self, name, self._behaviours[name])
            self.roles[name] = role
            return role

        return build

    def enters(self, role: "FakeRole") -> None:
        with self.changed:
            self.active[role.name] += 1
            self.note("start", role.name)
            self._entered[role.name] += 1
            self.changed.notify_all()

    def leaves(self, role: "FakeRole", event: str) -> None:
        with self.changed:
            self.active[role.name] -= 1
            self.note(event, role.name)

    def note(self, event: str, name: str) -> None:
        self.events.append((self.now_s, event, name))

    def _await_started_threads(self) -> None:
        """Wait until each started child has built its role and runs, or has failed to."""
        with self.changed:
            for child in self.snapshot():
                started = child.restarts + 1 if child.state is State.STARTING else 0
                arrived = self.changed.wait_for(lambda: self._entered[child.name] >= started, PATIENCE_S)  # noqa: B023
                assert arrived, f"start {started} of {child.name} has no thread"

    def _plan_returns_of_the_stopped(self) -> None:
        for role in self.roles.values():
            if self.active[role.name] and role.stop.is_set() and not role.saw_stop:
                role.saw_stop = True
                if role.behaviour.stop_takes_s < float("inf"):
                    back_s = self.now_s - START_S + role.behaviour.stop_takes_s
                    self.at(back_s, "return", role.name, role.behaviour.crash_at_stop)

    def _free_all_threads(self) -> None:
        for role in self.roles.values():
            role.instructions.put(None)


class FakeRole:
    """Runs until it gets an instruction: an exception to raise, or None to return."""

    def __init__(self, scenario: Scenario, name: str, behaviour: Behaviour) -> None:
        self.scenario, self.name, self.behaviour = scenario, name, behaviour
        self.instructions: SimpleQueue[BaseException | None] = SimpleQueue()
        self.stop = Event()
        self.saw_stop = False
        self.health_error: BaseException | None = None
        self.silent_from_s: float | None = None
        self.built_at_s = scenario.now_s

    def run(self, stop: Event) -> None:
        self.stop = stop
        self.scenario.enters(self)
        error = self.instructions.get(timeout=PATIENCE_S * 5)
        may_return = stop.is_set() or self.behaviour.restart is Restart.ON_CRASH
        self.scenario.leaves(self, "crash" if error or not may_return else "end")
        if error:
            raise error

    def health(self) -> Health:
        if self.health_error:
            raise self.health_error
        now_s = self.scenario.now_s
        ready = now_s >= self.built_at_s + self.behaviour.ready_after_s
        return Health(ready, "working", now_s if self.silent_from_s is None else self.silent_from_s)


def three_children(**kwargs: object) -> Scenario:
    return Scenario(**kwargs).child("broker").child("inventory").child("http")  # type: ignore[arg-type]
