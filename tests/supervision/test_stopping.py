"""How children stop, and what happens if one does not stop or makes no progress."""

import math

import pytest

from campus.supervision.lifecycle import (
    ExitResult,
    RestartPolicy,
    State,
)
from tests.supervision.scenario import NoBroker, Scenario, three_children

# No progress


def test_a_running_child_without_a_heartbeat_is_stuck_and_ends_the_process():
    scenario = Scenario(RestartPolicy(stuck_s=60.0)).child("broker").child("inventory", stop_takes_s=math.inf)
    result = scenario.child("http").at(100, "silent", "inventory").run()
    assert result.exit_code == 1
    assert result.reason.startswith("inventory is stuck: no progress for 6")
    assert "(working)" in result.reason
    assert scenario.now_s == pytest.approx(1_161.0, abs=1.1)
    assert scenario.names("end") == ["http", "broker"]
    assert scenario.roles["inventory"].stop.is_set()


def test_a_child_that_is_not_ready_yet_may_be_silent_for_longer():
    policy = RestartPolicy(stuck_s=60.0, start_stuck_s=600.0)
    scenario = Scenario(policy).child("broker", ready_after_s=math.inf).at(10, "silent", "broker")
    assert scenario.run().reason.startswith("broker is stuck")
    assert scenario.now_s == pytest.approx(1_610.0, abs=1.1)


def test_after_a_pause_of_the_whole_process_no_role_counts_as_stuck():
    scenario = three_children(policy=RestartPolicy(stuck_s=60.0)).at(10, "silent", "inventory")
    assert scenario.at(20, "jump", "5000").at(5_030, "stop").run().exit_code == 0


# Stopping


def test_children_stop_in_reverse_one_after_the_other():
    scenario = Scenario().child("broker", stop_takes_s=1).child("inventory", stop_takes_s=2).child("http")
    scenario.at(9, "stop").run()
    ends = [(name, at_s - 1_009) for at_s, event, name in scenario.events if event == "end"]
    assert ends == [("http", 0.0), ("inventory", 2.0), ("broker", 3.0)]
    assert set(scenario.states().values()) == {State.STOPPED}


def test_a_child_that_does_not_stop_in_time_is_reported_and_the_others_still_stop():
    scenario = (
        Scenario().child("broker").child("inventory", stop_takes_s=math.inf, shutdown_s=3.0).child("http")
    )
    assert scenario.at(9, "stop").run() == ExitResult(1, "inventory did not stop within 3.0 s")
    assert scenario.names("end") == ["http", "broker"]
    assert scenario.now_s == 1_012.0


def test_all_children_share_one_time_budget():
    scenario = Scenario(shutdown_s=10.0).child("broker").child("inventory", stop_takes_s=9.0)
    scenario.child("analytics", stop_takes_s=math.inf, shutdown_s=3.0).child("http", stop_takes_s=2.0)
    result = scenario.at(9, "stop").run()
    assert result.reason == "analytics did not stop within 3.0 s; inventory did not stop within 4.0 s"
    assert scenario.now_s == 1_018.0


def test_a_tenth_of_the_budget_is_reserved_for_the_first_child():
    scenario = Scenario(shutdown_s=10.0).child("broker", stop_takes_s=0.9)
    scenario.child("inventory", stop_takes_s=math.inf).child("http", stop_takes_s=math.inf)
    result = scenario.at(9, "stop").run()
    assert result.reason == "http did not stop within 9.0 s; inventory did not stop within 0.0 s"
    assert scenario.names("end") == ["broker"]
    assert scenario.now_s == pytest.approx(1_018.9)


def test_the_stop_never_takes_longer_than_the_budget():
    scenario = (
        Scenario(shutdown_s=10.0).child("broker", stop_takes_s=math.inf).child("http", stop_takes_s=math.inf)
    )
    assert scenario.at(9, "stop").run().exit_code == 1
    assert scenario.now_s == 1_019.0
    assert all(role.stop.is_set() for role in scenario.roles.values())


def test_a_fault_keeps_its_exit_code_when_another_child_does_not_stop():
    scenario = Scenario().child("broker", stop_takes_s=math.inf, shutdown_s=2.0).child("http")
    result = scenario.at(3, "crash", "http", NoBroker("no broker")).run()
    assert result == ExitResult(3, "no broker; broker did not stop within 2.0 s")


def test_a_stop_during_the_start_stops_what_was_started():
    scenario = Scenario().child("broker").child("inventory", ready_after_s=60.0).child("http")
    assert scenario.at(9, "stop").run().exit_code == 0
    assert scenario.names("start") == ["broker", "inventory"]
    assert scenario.names("end") == ["inventory", "broker"]
    assert set(scenario.states().values()) == {State.STOPPED}


def test_a_stop_before_the_run_starts_nothing():
    scenario = three_children().at(0, "stop")
    assert scenario.run() == ExitResult(0, "stopped as asked")
    assert scenario.events == []


def test_a_stop_during_a_restart_pause_is_immediate():
    policy = RestartPolicy(backoff_first_s=30.0, backoff_most_s=30.0)
    scenario = Scenario(policy).child("broker").child("http")
    scenario.at(5, "crash", "http", OSError()).at(6, "stop").run()
    assert scenario.now_s == 1_006.0
    assert scenario.names("start") == ["broker", "http"]


def test_a_crash_while_stopping_is_logged_and_not_restarted(lines: pytest.LogCaptureFixture):
    scenario = Scenario().child("http", stop_takes_s=1.0, crash_at_stop=OSError("half a report"))
    assert scenario.at(9, "stop").run().exit_code == 0
    assert lines.messages == ["http crashed while stopping (OSError: half a report)"]
    assert scenario.names("start") == ["http"]


@pytest.mark.parametrize(("second_at_s", "ended"), [(9.0, []), (9.5, ["http"])])
def test_a_second_signal_ends_the_run_at_once(second_at_s: float, ended: list[str]):
    scenario = Scenario().child("broker").child("inventory", stop_takes_s=math.inf).child("http")
    result = scenario.at(9, "stop").at(second_at_s, "stop").run()
    assert result == ExitResult(130, "stopped at once by a second signal")
    assert scenario.now_s == 1_000 + second_at_s
    assert scenario.names("end") == ended
    assert all(role.stop.is_set() for role in scenario.roles.values())


def test_the_first_signal_after_a_fault_does_not_shorten_the_stop():
    scenario = Scenario().child("broker", stop_takes_s=3.0).child("http")
    result = scenario.at(3, "crash", "http", NoBroker("no broker")).at(4, "stop").run()
    assert result == ExitResult(3, "no broker")
    assert scenario.names("end") == ["broker"]
