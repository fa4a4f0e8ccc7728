"""Burrow's rules, each on a window that is as short as it can be."""

import pytest

from campus.groups.lag_verdict import Observation, judged


def a_window(*seen, is_held=True, start=0):
    """Of (committed, end), one a second."""
    return [
        Observation(float(at), start, committed, end, is_held) for at, (committed, end) in enumerate(seen)
    ]


def verdict(*seen, **of):
    return judged(a_window(*seen, **of)).verdict


# Verdicts


def test_who_keeps_up_is_ok():
    assert verdict((5, 5), (9, 9), (12, 12)) == "OK"


def test_whose_lag_was_zero_once_is_ok_whatever_came_then():
    assert verdict((5, 5), (5, 50), (5, 500)) == "OK"


def test_who_catches_up_is_ok_however_far_it_is_behind():
    assert verdict((0, 1_000_000), (10, 1_000_005), (20, 1_000_008)) == "OK"


def test_whose_lag_goes_up_and_down_is_ok():
    assert verdict((0, 10), (5, 30), (28, 40), (30, 60)) == "OK"


def test_whose_lag_stays_the_same_while_it_moves_is_ok():
    assert verdict((0, 10), (10, 20), (20, 30)) == "OK"


def test_who_moves_while_its_lag_grows_is_warned_of():
    assert verdict((0, 10), (5, 30), (10, 30 + 30)) == "WARN"


def test_a_lag_that_stays_for_a_moment_and_grows_on_is_warned_of():
    assert verdict((0, 10), (5, 15), (6, 40)) == "WARN"


@pytest.mark.parametrize("ends", [(10, 10, 10), (10, 20, 30)], ids=["fixed", "growing"])
def test_who_holds_a_partition_and_does_not_move_is_stalled(ends):
    assert verdict(*((5, end) for end in ends)) == "STALL"


@pytest.mark.parametrize("ends", [(10, 10, 10), (10, 20, 30)], ids=["fixed", "growing"])
def test_a_partition_that_nobody_holds_and_whose_offset_does_not_move_is_stopped(ends):
    assert verdict(*((5, end) for end in ends), is_held=False) == "STOP"


def test_who_stopped_within_the_window_is_not_yet_stopped():
    assert verdict((5, 20), (10, 20), (10, 20), is_held=False) == "OK"


def test_a_partition_that_nobody_holds_and_that_was_read_to_its_end_is_ok():
    assert verdict((9, 9), (9, 9), is_held=False) == "OK"


def test_an_offset_that_went_back_is_a_rewind():
    assert verdict((9, 20), (0, 20), (4, 20)) == "REWIND"


def test_an_offset_that_went_back_is_a_rewind_also_if_nothing_was_left_to_read_before():
    assert verdict((20, 20), (0, 20), is_held=False) == "REWIND"


def test_who_never_committed_has_the_whole_log_before_it():
    assert a_window((None, 20), start=5)[0].lag == 15
    assert verdict((None, 20), (None, 20), is_held=False) == "STOP"
    assert verdict((None, 20), (None, 20)) == "STALL"


def test_a_first_commit_is_no_rewind():
    assert verdict((None, 20), (10, 20)) == "OK"


def test_one_look_accuses_nobody():
    assert verdict((0, 10), is_held=False) == "OK"


# Rates


def test_rates_are_of_the_whole_window():
    found = judged(a_window((0, 100), (30, 100), (40, 120)))
    assert (found.rate_in, found.rate_out) == (10.0, 20.0)
    assert found.time_to_drain_s == 80 / 10


def test_what_is_read_again_after_a_rewind_is_read_and_the_rewind_itself_is_not():
    found = judged(a_window((100, 100), (0, 100), (50, 100)))
    assert found.rate_out == 25.0


@pytest.mark.parametrize("seen", [[(0, 10), (0, 10)], [(0, 10), (5, 15)], [(0, 10), (5, 30)]])
def test_what_is_not_read_faster_than_it_comes_never_drains(seen):
    assert judged(a_window(*seen)).time_to_drain_s is None


def test_what_is_read_to_its_end_has_drained():
    assert judged(a_window((0, 10), (10, 10))).time_to_drain_s == 0.0


def test_one_look_has_no_rates():
    found = judged(a_window((3, 10)))
    assert (found.rate_in, found.rate_out, found.time_to_drain_s) == (None, None, None)
