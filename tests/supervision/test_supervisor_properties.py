"""The supervisor's rules hold for any sequence of crashes, returns, silences and stops.

Each example is a small system with a script of faults. It runs with real threads on a clock that the test
advances. Invariants are checked at each wait of the supervisor, the other rules afterwards by counting.
"""

import math
from itertools import pairwise

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from campus.errors import CampusError
from campus.supervision.lifecycle import MOVES, ExitResult, Restart, RestartPolicy, State
from campus.supervision.worker import Worker
from tests.supervision.scenario import Scenario

NAMES = ("broker", "inventory", "analytics", "http")
END_AT_S = 90.0

TIMES = st.floats(0.0, END_AT_S - 1, allow_nan=False).map(lambda at_s: round(at_s, 3))
STOP_TAKES = st.sampled_from([0.0, 0.0, 0.3, 2.5, math.inf])


class FatalError(CampusError):
    exit_code = 3


policies = st.builds(
    RestartPolicy,
    max_restarts=st.integers(0, 4),
    period_s=st.sampled_from([1.0, 10.0, 40.0]),
    backoff_first_s=st.sampled_from([0.0, 0.2, 3.0]),
    backoff_most_s=st.sampled_from([0.2, 5.0]),
    stuck_s=st.sampled_from([10.0, 60.0]),
    start_stuck_s=st.sampled_from([20.0, 600.0]),
)
children = st.fixed_dictionaries(
    {
        "ready_after_s": st.sampled_from([0.0, 0.0, 0.0, 1.0, 7.0]),
        "stop_takes_s": STOP_TAKES,
        "shutdown_s": st.sampled_from([1.0, 4.0, 10.0]),
        "restart": st.sampled_from([Restart.ALWAYS, Restart.ALWAYS, Restart.ON_CRASH]),
        "builds": st.dictionaries(st.integers(1, 4), st.just(OSError("port taken")), max_size=2),
    }
)
faults = st.lists(
    st.tuples(
        TIMES, st.sampled_from(["crash"] * 6 + ["return", "unhealthy", "silent"]), st.sampled_from(NAMES)
    ),
    max_size=20,
)
fatal_crashes = st.lists(st.tuples(TIMES, st.sampled_from(NAMES)), max_size=1)
stops = st.one_of(
    st.just([]),
    st.tuples(TIMES),
    st.tuples(TIMES, st.sampled_from([0.0, 0.1, 2.0, 5.0])).map(lambda two: [two[0], sum(two)]),
)


class InvariantChecker:
    """Checks what must hold at each moment, and records the moves."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.moves: list[tuple[float, str, State, State]] = []

    def check(self) -> None:
        scenario = self.scenario
        assert all(count <= 1 for count in scenario.active.values()), f"two threads: {scenario.active}"
        snapshot = scenario.snapshot()
        waits = [child.state is State.WAITING for child in snapshot]
        assert waits == sorted(waits), "a child was started before the one that precedes it"
        stopping = [i for i, child in enumerate(snapshot) if child.state is State.STOPPING]
        assert len(stopping) <= 1
        for child in snapshot[stopping[0] + 1 :] if stopping else ():
            assert MOVES[child.state] == set(), f"{child} should have stopped before the one that is stopping"


def record_moves(checker: InvariantChecker, patch: pytest.MonkeyPatch) -> None:
    move = Worker.move

    def recorded(worker: Worker, state: State, doing: str, now_s: float) -> None:
        checker.moves.append((now_s, worker.child.name, worker.state, state))
        move(worker, state, doing, now_s)

    patch.setattr(Worker, "move", recorded)


@given(policies, st.lists(children, min_size=1, max_size=4), faults, fatal_crashes, stops, st.integers(0, 99))
def test_the_rules_hold_for_any_script(policy, behaviours, faults, fatal_crashes, stops, seed):  # type: ignore[no-untyped-def]
    scenario = Scenario(policy, shutdown_s=6.0, seed=seed)
    for name, behaviour in zip(NAMES, behaviours, strict=False):
        scenario.child(name, **behaviour)
    for at_s, action, name in faults:
        scenario.at(at_s, action, name, ValueError(action) if action in ("crash", "unhealthy") else None)
    for at_s, name in fatal_crashes:
        scenario.at(at_s, "crash", name, FatalError("no broker"))
    for at_s in [*stops, END_AT_S]:
        scenario.at(at_s, "stop")
    checker = InvariantChecker(scenario)
    scenario.on_check = checker.check
    with pytest.MonkeyPatch.context() as patch:
        record_moves(checker, patch)
        result = scenario.run()
    checker.check()
    event(f"exit code {result.exit_code}")

    names = NAMES[: len(behaviours)]
    check_every_move_is_legal_and_follows_from_the_last(checker, names)
    check_children_start_when_the_one_before_is_ready(checker, names)
    check_the_restart_limit_is_exact(checker, scenario, policy, result)
    check_pauses_grow_within_their_bounds(checker, policy)
    check_the_result_and_the_time_of_the_stop(checker, scenario, result)


def moves_of(checker: InvariantChecker, name: str) -> list[tuple[float, State, State]]:
    return [(at_s, before, after) for at_s, child, before, after in checker.moves if child == name]


def check_every_move_is_legal_and_follows_from_the_last(
    checker: InvariantChecker, names: tuple[str, ...]
) -> None:
    for name in names:
        moves = moves_of(checker, name)
        assert all(after in MOVES[before] for _, before, after in moves)
        assert all(move[2] is following[1] for move, following in pairwise(moves))


def check_children_start_when_the_one_before_is_ready(
    checker: InvariantChecker, names: tuple[str, ...]
) -> None:
    state = dict.fromkeys(names, State.WAITING)
    for _, name, before, after in checker.moves:
        if (before, after) == (State.WAITING, State.STARTING) and name != names[0]:
            assert state[names[names.index(name) - 1]] in (State.RUNNING, State.DONE)
        state[name] = after


def check_the_restart_limit_is_exact(
    checker: InvariantChecker, scenario: Scenario, policy: RestartPolicy, result: ExitResult
) -> None:
    for child in scenario.snapshot():
        moves = moves_of(checker, child.name)
        crashes = [at_s for at_s, _, to in moves if to in (State.BACKOFF, State.GIVEN_UP)]
        starts = [at_s for at_s, _, to in moves if to is State.STARTING]
        assert child.restarts == max(len(starts) - 1, 0)
        for i, (at_s, _, to) in enumerate(m for m in moves if m[2] in (State.BACKOFF, State.GIVEN_UP)):
            within = sum(at_s - other_s <= policy.period_s for other_s in crashes[: i + 1])
            if to is State.BACKOFF:
                assert within <= policy.max_restarts
            elif result.exit_code == 1:
                assert within == policy.max_restarts + 1


def check_pauses_grow_within_their_bounds(checker: InvariantChecker, policy: RestartPolicy) -> None:
    for name in NAMES:
        crashes: list[float] = []
        for (crash_s, _, state), (next_s, _, next_state) in pairwise(moves_of(checker, name)):
            if state is State.BACKOFF:
                crashes.append(crash_s)
                nth = sum(crash_s - at_s <= policy.period_s for at_s in crashes)
                most_s = min(policy.backoff_first_s * 2 ** (nth - 1), policy.backoff_most_s)
                if next_state is State.STARTING:
                    assert most_s / 2 - 1e-9 <= next_s - crash_s <= most_s + 1e-6


def check_the_result_and_the_time_of_the_stop(
    checker: InvariantChecker, scenario: Scenario, result: ExitResult
) -> None:
    states = scenario.states()
    by = {state: [name for name in states if states[name] is state] for state in State}
    stops = [at_s for at_s, _, _, to in checker.moves if to is State.STOPPING]
    if stops:
        assert scenario.now_s - min(stops) <= scenario.shutdown_s + 1e-6
    if result.exit_code == 130:
        return
    assert all(MOVES[state] == set() for state in states.values()), "a child is in no final state"
    assert not [name for name in states if scenario.active[name] and name not in by[State.STUCK]]
    assert all(name in result.reason for name in by[State.STUCK])
    if result.exit_code == 0:
        assert not by[State.STUCK] and not by[State.GIVEN_UP]
        assert result.reason in ("stopped as asked", "all is done")
    elif result.exit_code == 1:
        assert by[State.STUCK] or by[State.GIVEN_UP]
    else:
        assert result.exit_code == 3 and len(by[State.GIVEN_UP]) == 1
