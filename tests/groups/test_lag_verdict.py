"""Burrow's rules, each on the shortest window that shows it."""

import pytest

from campus.groups.lag_verdict import Observation, judge


def a_window(*seen, is_assigned=True, start=0):
    """Observations of (committed, end), one per second."""
    return [
        Observation(float(at), start, committed, end, is_assigned) for at, (committed, end) in enumerate(seen)
    ]


def verdict(*seen, **of):
    return judge(a_window(*seen, **of)).verdict


# Verdicts


def test_a_group_that_keeps_up_is_ok():
    assert verdict((5, 5), (9, 9), (12, 12)) == "OK"


def test_a_lag_that_was_zero_once_in_the_window_is_ok():
    assert verdict((5, 5), (5, 50), (5, 500)) == "OK"


def test_a_group_that_catches_up_is_ok_however_far_behind_it_is():
    assert verdict((0, 1_000_000), (10, 1_000_005), (20, 1_000_008)) == "OK"


def test_a_lag_that_goes_up_and_down_is_ok():
    assert verdict((0, 10), (5, 30), (28, 40), (30, 60)) == "OK"


def test_a_constant_lag_while_the_offset_moves_is_ok():
    assert verdict((0, 10), (10, 20), (20, 30)) == "OK"


def test_a_lag_that_grows_while_the_offset_moves_is_a_warning():
    assert verdict((0, 10), (5, 30), (10, 30 + 30)) == "WARN"


def test_a_lag_that_is_constant_for_a_while_and_then_grows_is_a_warning():
    assert verdict((0, 10), (5, 15), (6, 40)) == "WARN"


@pytest.mark.parametrize("ends", [(10, 10, 10), (10, 20, 30)], ids=["fixed", "growing"])
def test_an_assigned_partition_whose_offset_does_not_move_is_stalled(ends):
    assert verdict(*((5, end) for end in ends)) == "STALL"


@pytest.mark.parametrize("ends", [(10, 10, 10), (10, 20, 30)], ids=["fixed", "growing"])
def test_a_partition_without_a_member_whose_offset_does_not_move_is_stopped(ends):
    assert verdict(*((5, end) for end in ends), is_assigned=False) == "STOP"


def test_a_group_that_stopped_within_the_window_is_still_ok():
    assert verdict((5, 20), (10, 20), (10, 20), is_assigned=False) == "OK"


def test_a_partition_without_a_member_and_without_lag_is_ok():
    assert verdict((9, 9), (9, 9), is_assigned=False) == "OK"


def test_an_offset_that_went_back_is_a_rewind():
    assert verdict((9, 20), (0, 20), (4, 20)) == "REWIND"


def test_an_offset_that_went_back_is_a_rewind_even_if_the_lag_was_zero():
    assert verdict((20, 20), (0, 20), is_assigned=False) == "REWIND"


def test_the_lag_of_a_group_that_never_committed_is_the_whole_log():
    assert a_window((None, 20), start=5)[0].lag == 15
    assert verdict((None, 20), (None, 20), is_assigned=False) == "STOP"
    assert verdict((None, 20), (None, 20)) == "STALL"


def test_a_first_commit_is_not_a_rewind():
    assert verdict((None, 20), (10, 20)) == "OK"


def test_a_single_sample_is_ok():
    assert verdict((0, 10), is_assigned=False) == "OK"


# Rates


def test_rates_are_averages_over_the_whole_window():
    found = judge(a_window((0, 100), (30, 100), (40, 120)))
    assert (found.rate_in, found.rate_out) == (10.0, 20.0)
    assert found.time_to_drain_s == 80 / 10


def test_records_read_again_after_a_rewind_count_but_the_rewind_itself_does_not():
    found = judge(a_window((100, 100), (0, 100), (50, 100)))
    assert found.rate_out == 25.0


@pytest.mark.parametrize("seen", [[(0, 10), (0, 10)], [(0, 10), (5, 15)], [(0, 10), (5, 30)]])
def test_a_lag_that_is_not_read_faster_than_it_grows_never_drains(seen):
    assert judge(a_window(*seen)).time_to_drain_s is None


def test_without_lag_the_time_to_drain_is_zero():
    assert judge(a_window((0, 10), (10, 10))).time_to_drain_s == 0.0


def test_a_single_sample_has_no_rates():
    found = judge(a_window((3, 10)))
    assert (found.rate_in, found.rate_out, found.time_to_drain_s) == (None, None, None)
