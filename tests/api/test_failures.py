"""An outage is logged once when it begins and once when it ends."""

import logging

import pytest

from campus.api.failures import CALM_S, FailureLog


class World:
    def __init__(self):
        self.now_s = 100.0
        self.failures = FailureLog("orders", logging.getLogger("test"), clock=lambda: self.now_s)

    def after(self, seconds):
        self.now_s += seconds
        return self.failures


@pytest.fixture
def world(caplog):
    caplog.set_level(logging.INFO)
    return World()


def test_without_failures_nothing_is_logged(world, caplog):
    world.failures.record_success()
    assert not world.failures.report()
    world.failures.close()
    assert caplog.messages == []


def test_many_failures_are_one_line_with_the_first_error(world, caplog):
    world.failures.record_failure(3, ValueError("first"))
    world.after(1).record_failure(2, ValueError("second"))
    assert world.failures.report()
    assert world.after(1).report()
    assert caplog.messages == ["orders fail: first"]


def test_the_end_of_an_outage_logs_how_many_failed_and_how_long(world, caplog):
    world.failures.record_failure(3, ValueError("first"))
    world.failures.report()
    world.after(12.5).record_failure(1, ValueError("last"))
    world.after(0.1).record_success()
    assert not world.after(CALM_S).report()
    assert caplog.messages[1:] == ["orders go through again; 4 failed, in 12.5 s"]


def test_one_success_among_failures_does_not_end_the_outage(world, caplog):
    world.failures.record_failure(1, ValueError("first"))
    world.failures.report()
    world.after(5).record_success()
    world.after(0.1).record_failure(1, ValueError("again"))
    assert world.after(CALM_S).report()
    assert len(caplog.messages) == 1


def test_silence_does_not_end_the_outage(world):
    world.failures.record_failure(1, ValueError("first"))
    assert world.after(1000).report()


def test_a_second_outage_is_logged_anew(world, caplog):
    for why in ("first", "second"):
        world.after(1).record_failure(1, ValueError(why))
        world.failures.report()
        world.after(0.1).record_success()
        world.after(CALM_S).report()
    assert caplog.messages[2] == "orders fail: second"
    assert caplog.messages[3].startswith("orders go through again; 1 failed")


def test_close_logs_the_count_of_an_outage_that_has_not_ended(world, caplog):
    world.failures.record_failure(2, ValueError("first"))
    world.failures.report()
    world.after(1).record_failure(5, ValueError("second"))
    world.failures.close()
    assert caplog.messages[1:] == ["7 orders failed until the end"]


def test_close_logs_failures_that_were_not_reported_yet(world, caplog):
    world.failures.record_failure(3, ValueError("first"))
    world.failures.close()
    assert caplog.messages == ["3 orders failed: first"]
