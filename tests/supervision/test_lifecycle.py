"""The table of moves and the restart pauses, by plain calls."""

from random import Random

import pytest

from campus.supervision.lifecycle import (
    MOVES,
    Child,
    RestartBackoff,
    RestartPolicy,
    State,
)
from campus.supervision.worker import Worker


def test_each_pause_doubles_up_to_the_maximum_and_half_of_it_is_random():
    policy = RestartPolicy(max_restarts=9, period_s=1_000, backoff_first_s=0.2, backoff_most_s=1.0)
    for seed in range(50):
        backoff = RestartBackoff(policy, Random(seed))
        pauses = [backoff.record_crash(float(at_s)) for at_s in range(5)]
        for pause_s, most_s in zip(pauses, (0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
            assert pause_s is not None and most_s / 2 <= pause_s <= most_s
    assert len({RestartBackoff(policy, Random(seed)).record_crash(0.0) for seed in range(50)}) == 50


def test_crashes_before_the_period_do_not_lengthen_the_pause():
    backoff = RestartBackoff(RestartPolicy(period_s=60, backoff_first_s=0.2, backoff_most_s=9), Random(1))
    assert [backoff.record_crash(at_s) for at_s in (0.0, 1.0, 2.0)][-1] > 0.3  # type: ignore[operator]
    assert backoff.record_crash(100.0) <= 0.2  # type: ignore[operator]


def test_thousands_of_crashes_do_not_overflow():
    backoff = RestartBackoff(RestartPolicy(max_restarts=5_000, period_s=1e9), Random(1))
    assert all(backoff.record_crash(float(n)) <= 5.0 for n in range(4_000))  # type: ignore[operator]


def test_an_illegal_move_is_refused():
    worker = Worker(
        Child("http", lambda: pytest.fail("never")), RestartBackoff(RestartPolicy(), Random(1)), 0.0
    )
    with pytest.raises(AssertionError, match=r"http: State\.WAITING to State\.RUNNING"):
        worker.move(State.RUNNING, "", 0.0)


def test_every_state_is_in_the_table_and_can_be_reached():
    assert set(MOVES) == set(State)
    assert set().union(*MOVES.values()) == set(State) - {State.WAITING}
