"""Whatever crashes, returns, falls silent or does not stop, and whenever: the supervisor's rules hold.

Each example is a small system with a script of misfortunes, run on a clock moved by hand with real
threads. What must hold at any moment is checked at each wait of the supervisor; the rest afterwards,
against a count that is as plain as the rule.
"""

import math
from itertools import pairwise

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from campus.errors import CampusError
from campus.supervision.lifecycle import MOVES
from campus.supervision.supervisor import ExitResult, Restart, RestartPolicy, State
from campus.supervision.worker import Worker
from tests.supervision.supervised import World

NAMES = ("broker", "inventory", "analytics", "http")
END_AT_S = 90.0

TIMES = st.floats(0.0, END_AT_S - 1, allow_nan=False).map(lambda at_s: round(at_s, 3))
STOP_TAKES = st.sampled_from([0.0, 0.0, 0.3, 2.5, math.inf])


class Hopeless(CampusError):
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
        "restart": st.sampled_from([Restart.ALWAYS, Restart.ALWAYS, Restart.ONCE]),
        "builds": st.dictionaries(st.integers(1, 4), st.just(OSError("port taken")), max_size=2),
    }
)
misfortunes = st.lists(
    st.tuples(TIMES, st.sampled_from(["crash"] * 6 + ["return", "sick", "silent"]), st.sampled_from(NAMES)),
    max_size=20,
)
lasting = st.lists(st.tuples(TIMES, st.sampled_from(NAMES)), max_size=1)
stops = st.one_of(
    st.just([]),
    st.tuples(TIMES),
    st.tuples(TIMES, st.sampled_from([0.0, 0.1, 2.0, 5.0])).map(lambda two: [two[0], sum(two)]),
)


class Watch:
    """What must hold at each moment, and the moves that were made."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.moves: list[tuple[float, str, State, State]] = []

    def look(self) -> None:
        world = self.world
        assert all(count <= 1 for count in world.active.values()), f"two threads: {world.active}"
        snapshot = world.snapshot()
        waits = [child.state is State.WAITING for child in snapshot]
        assert waits == sorted(waits), "a child was started before the one ahead of it"
        stopping = [i for i, child in enumerate(snapshot) if child.state is State.STOPPING]
        assert len(stopping) <= 1
        for child in snapshot[stopping[0] + 1 :] if stopping else ():
            assert MOVES[child.state] == set(), f"{child} is behind one that stops already"


def watched_moves(watch: Watch, patch: pytest.MonkeyPatch) -> None:
    move = Worker.move

    def noted(worker: Worker, state: State, doing: str, now_s: float) -> None:
        watch.moves.append((now_s, worker.child.name, worker.state, state))
        move(worker, state, doing, now_s)

    patch.setattr(Worker, "move", noted)


@given(policies, st.lists(children, min_size=1, max_size=4), misfortunes, lasting, stops, st.integers(0, 99))
def test_the_rules_hold_whatever_happens(policy, habits, misfortunes, hopeless, stops, seed):  # type: ignore[no-untyped-def]
    world = World(policy, shutdown_s=6.0, seed=seed)
    for name, habit in zip(NAMES, habits, strict=False):
        world.child(name, **habit)
    for at_s, what, who in misfortunes:
        world.at(at_s, what, who, ValueError(what) if what in ("crash", "sick") else None)
    for at_s, who in hopeless:
        world.at(at_s, "crash", who, Hopeless("no broker"))
    for at_s in [*stops, END_AT_S]:
        world.at(at_s, "stop")
    watch = Watch(world)
    world.each_look = watch.look
    with pytest.MonkeyPatch.context() as patch:
        watched_moves(watch, patch)
        ending = world.run()
    watch.look()
    event(f"exit code {ending.exit_code}")

    names = NAMES[: len(habits)]
    every_move_is_legal_and_links_to_the_last(watch, names)
    children_start_when_the_one_before_is_settled(watch, names)
    the_intensity_is_exact(watch, world, policy, ending)
    pauses_grow_within_their_bounds(watch, policy)
    the_end_is_told_and_within_the_budget(watch, world, ending)


def moves_of(watch: Watch, name: str) -> list[tuple[float, State, State]]:
    return [(at_s, before, after) for at_s, who, before, after in watch.moves if who == name]


def every_move_is_legal_and_links_to_the_last(watch: Watch, names: tuple[str, ...]) -> None:
    for name in names:
        moves = moves_of(watch, name)
        assert all(after in MOVES[before] for _, before, after in moves)
        assert all(one[2] is two[1] for one, two in pairwise(moves))


def children_start_when_the_one_before_is_settled(watch: Watch, names: tuple[str, ...]) -> None:
    state = dict.fromkeys(names, State.WAITING)
    for _, name, before, after in watch.moves:
        if (before, after) == (State.WAITING, State.STARTING) and name != names[0]:
            assert state[names[names.index(name) - 1]] in (State.RUNNING, State.DONE)
        state[name] = after


def the_intensity_is_exact(watch: Watch, world: World, policy: RestartPolicy, ending: ExitResult) -> None:
    for child in world.snapshot():
        moves = moves_of(watch, child.name)
        crashes = [at_s for at_s, _, to in moves if to in (State.BACKOFF, State.GIVEN_UP)]
        starts = [at_s for at_s, _, to in moves if to is State.STARTING]
        assert child.restarts == max(len(starts) - 1, 0)
        for i, (at_s, _, to) in enumerate(m for m in moves if m[2] in (State.BACKOFF, State.GIVEN_UP)):
            within = sum(at_s - other_s <= policy.period_s for other_s in crashes[: i + 1])
            if to is State.BACKOFF:
                assert within <= policy.max_restarts
            elif ending.exit_code == 1:
                assert within == policy.max_restarts + 1


def pauses_grow_within_their_bounds(watch: Watch, policy: RestartPolicy) -> None:
    for name in NAMES:
        crashes: list[float] = []
        for one, two in pairwise(moves_of(watch, name)):
            if one[2] is State.BACKOFF:
                crashes.append(one[0])
                nth = sum(one[0] - at_s <= policy.period_s for at_s in crashes)
                most_s = min(policy.backoff_first_s * 2 ** (nth - 1), policy.backoff_most_s)
                if two[2] is State.STARTING:
                    assert most_s / 2 - 1e-9 <= two[0] - one[0] <= most_s + 1e-6


def the_end_is_told_and_within_the_budget(watch: Watch, world: World, ending: ExitResult) -> None:
    states = world.states()
    by = {state: [name for name in states if states[name] is state] for state in State}
    stops = [at_s for at_s, _, _, to in watch.moves if to is State.STOPPING]
    if stops:
        assert world.now_s - min(stops) <= world.shutdown_s + 1e-6
    if ending.exit_code == 130:
        return
    assert all(MOVES[state] == set() for state in states.values()), "a child was left in between"
    assert not [name for name in states if world.active[name] and name not in by[State.STUCK]]
    assert all(name in ending.reason for name in by[State.STUCK])
    if ending.exit_code == 0:
        assert not by[State.STUCK] and not by[State.GIVEN_UP]
        assert ending.reason in ("stopped as asked", "all is done")
    elif ending.exit_code == 1:
        assert by[State.STUCK] or by[State.GIVEN_UP]
    else:
        assert ending.exit_code == 3 and len(by[State.GIVEN_UP]) == 1
