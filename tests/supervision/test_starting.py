"""The order in which children start."""

import math

import pytest

from campus.supervision.lifecycle import (
    ExitResult,
    Restart,
    State,
)
from tests.supervision.scenario import Scenario

ON_CRASH = Restart.ON_CRASH


def test_children_start_in_order_each_when_the_one_before_is_ready():
    scenario = (
        Scenario().child("broker", ready_after_s=2.0).child("inventory", ready_after_s=1.0).child("http")
    )
    assert scenario.at(9, "stop").run() == ExitResult(0, "stopped as asked")
    assert scenario.names("start") == ["broker", "inventory", "http"]
    assert scenario.times("start", "inventory") == [pytest.approx(2.0, abs=0.051)]
    assert scenario.times("start", "http") == [pytest.approx(3.0, abs=0.11)]


def test_after_an_on_crash_child_has_returned_the_next_child_starts():
    scenario = Scenario().child("topics", restart=ON_CRASH, ready_after_s=math.inf).child("http")
    scenario.at(4, "return", "topics").at(9, "stop").run()
    assert scenario.times("start", "http") == [4.0]
    assert scenario.names("start") == ["topics", "http"]
    assert scenario.states() == {"topics": State.DONE, "http": State.STOPPED}


def test_when_every_child_is_done_the_supervisor_returns():
    scenario = Scenario().child("topics", restart=ON_CRASH).child("welcome", restart=ON_CRASH)
    assert scenario.at(1, "return", "topics").at(2, "return", "welcome").run() == ExitResult(0, "all is done")


def test_an_on_crash_child_that_crashes_is_started_again():
    scenario = Scenario().child("topics", restart=ON_CRASH, builds={1: OSError("no route")})
    assert scenario.at(5, "return", "topics").run().exit_code == 0
    assert len(scenario.times("start", "topics")) == 2


def test_the_next_child_waits_while_the_one_before_is_down():
    scenario = Scenario().child("broker", ready_after_s=1.0).child("http")
    scenario.at(0.5, "crash", "broker", OSError("port taken")).at(9, "stop").run()
    assert scenario.names("start") == ["broker", "broker", "http"]


def test_a_long_wait_for_the_child_before_is_logged_once(lines: pytest.LogCaptureFixture):
    scenario = Scenario().child("broker", ready_after_s=60.0).child("inventory").child("http")
    scenario.at(90, "stop").run()
    assert lines.messages == ["inventory waits for broker (working)"]
