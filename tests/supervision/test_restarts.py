"""What a crash leads to: a restart, or the end of the process."""

import logging
import math
from queue import SimpleQueue
from random import Random
from threading import Event

import pytest

from campus.supervision.lifecycle import (
    Child,
    ExitResult,
    Restart,
    RestartBackoff,
    RestartPolicy,
    State,
)
from campus.supervision.supervisor import Supervisor
from campus.supervision.worker import Worker
from tests.supervision.scenario import LeaderMissing, NoBroker, Scenario, three_children

ON_CRASH = Restart.ON_CRASH


# What counts as a crash, and what is logged


def test_a_crash_and_the_recovery_are_one_log_line_each(lines: pytest.LogCaptureFixture):
    three_children().at(3, "crash", "inventory", ValueError("boom")).at(9, "stop").run()
    assert lines.messages == [
        "inventory crashed (ValueError: boom); restarting in 0.1 s",
        "inventory is back",
    ]
    assert [record.levelname for record in lines.records] == ["WARNING", "INFO"]


def test_the_traceback_of_a_crash_is_logged_at_debug(caplog: pytest.LogCaptureFixture):
    error = ValueError("boom")
    with caplog.at_level(logging.DEBUG, logger="supervisor"):
        three_children().at(3, "crash", "inventory", error).at(9, "stop").run()
    assert [r.levelname for r in caplog.records if r.exc_info and r.exc_info[1] is error] == ["DEBUG"]


def test_a_campus_error_is_logged_without_its_class_name(lines: pytest.LogCaptureFixture):
    three_children().at(3, "crash", "http", LeaderMissing("order-events has no leader")).at(9, "stop").run()
    assert lines.messages[0].startswith("http crashed (order-events has no leader); restarting in")


def test_an_error_whose_text_cannot_be_read_does_not_crash_the_supervisor(lines: pytest.LogCaptureFixture):
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert three_children().at(3, "crash", "http", Broken()).at(9, "stop").run().exit_code == 0
    assert "http crashed (Broken: <its text raised RuntimeError>)" in lines.messages[0]


def test_a_crash_is_logged_in_one_line_of_bounded_length(lines: pytest.LogCaptureFixture):
    three_children().at(3, "crash", "http", ValueError("a\nb\x1b[2J" + "x" * 9_000)).at(9, "stop").run()
    assert r"ValueError: a\nb\x1b[2Jxxx" in lines.messages[0]
    assert "\n" not in lines.messages[0] and len(lines.messages[0]) < 330


def test_the_other_children_keep_running_while_one_is_restarted():
    scenario = three_children().at(3, "crash", "broker", OSError("killed")).at(9, "stop")
    scenario.run()
    assert scenario.names("start") == ["broker", "inventory", "http", "broker"]


def test_every_start_builds_a_new_role():
    scenario = Scenario().child("http").at(1, "crash", "http", OSError()).at(9, "stop")
    seen = []
    scenario.on_check = lambda: seen.append(scenario.roles["http"]) if "http" in scenario.roles else None
    scenario.run()
    assert len({id(role) for role in seen}) == 2


def test_returning_without_being_asked_is_a_crash(lines: pytest.LogCaptureFixture):
    three_children().at(3, "return", "http").at(9, "stop").run()
    assert lines.messages[0].startswith("http crashed (returned without being asked to stop); restarting in")


@pytest.mark.parametrize("error", [SystemExit(4), KeyboardInterrupt(), GeneratorExit()])
def test_exceptions_that_a_thread_ignores_are_crashes_too(
    error: BaseException, lines: pytest.LogCaptureFixture
):
    assert three_children().at(3, "crash", "http", error).at(9, "stop").run().exit_code == 0
    assert lines.messages[0].startswith(f"http crashed ({type(error).__name__}")


def test_a_build_that_raises_is_a_crash(lines: pytest.LogCaptureFixture):
    scenario = (
        Scenario().child("broker", builds={1: ValueError("no jars"), 2: ValueError("no Java")}).child("http")
    )
    scenario.at(9, "stop").run()
    assert scenario.names("start") == ["broker", "broker", "broker", "http"]
    assert [line.split(";")[0] for line in lines.messages] == [
        "broker crashed (ValueError: no jars)",
        "broker crashed (ValueError: no Java)",
        "broker is back",
    ]


def test_a_thread_that_cannot_be_started_is_a_crash(
    monkeypatch: pytest.MonkeyPatch, lines: pytest.LogCaptureFixture
):
    def refuse(_thread: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("campus.supervision.worker.Thread.start", refuse)
    commands: SimpleQueue[str] = SimpleQueue()
    policy = RestartPolicy(max_restarts=0)
    children = [Child("http", lambda: pytest.fail("there is no thread to build it in"))]
    assert Supervisor(children, policy, shutdown_s=1.0, commands=commands).run().exit_code == 1
    assert "http crashed (RuntimeError: can't start new thread)" in lines.messages[0]


def test_a_health_check_that_raises_is_a_crash_of_its_child(lines: pytest.LogCaptureFixture):
    scenario = Scenario().child("inventory", stop_takes_s=2.0).child("http")
    scenario.at(3, "unhealthy", "inventory", ZeroDivisionError("no heartbeat")).at(9, "stop").run()
    assert lines.messages[0].startswith("inventory crashed (ZeroDivisionError: no heartbeat); restarting in")
    ended, again = scenario.times("end", "inventory")[0], scenario.times("start", "inventory")[1]
    assert ended == pytest.approx(5.0, abs=1.1) and again > ended
    assert scenario.names("start") == ["inventory", "http", "inventory"]


def test_a_child_that_does_not_stop_after_a_failed_health_check_ends_the_process():
    scenario = Scenario().child("inventory", stop_takes_s=math.inf, shutdown_s=4.0)
    result = scenario.at(3, "unhealthy", "inventory", ZeroDivisionError("no heartbeat")).run()
    assert result == ExitResult(1, "inventory did not stop in 4 s after its health check failed")


def test_a_failed_health_check_is_forgotten_after_the_restart():
    scenario = (
        Scenario()
        .child("topics", restart=ON_CRASH)
        .at(3, "unhealthy", "topics", ZeroDivisionError("no heartbeat"))
    )
    assert scenario.at(9, "return", "topics").run() == ExitResult(0, "all is done")
    assert len(scenario.times("start", "topics")) == 2


def test_a_restarted_child_does_not_inherit_readiness_or_silence_from_its_last_run():
    commands: SimpleQueue[str] = SimpleQueue()
    go_on = Event()
    worker = Worker(
        Child("http", lambda: pytest.fail(str(go_on.wait(20)))),
        RestartBackoff(RestartPolicy(), Random(1)),
        0.0,
    )
    worker.state, worker.ready = State.BACKOFF, True
    worker.start(commands, 100.0)
    assert worker.current_run and worker.check_health(worker.current_run, 101.0) == 1.0
    assert not worker.ready
    go_on.set()
    assert commands.get(timeout=20) == "check"


# How many restarts, and when


def test_one_crash_more_than_allowed_within_the_period_ends_the_process():
    scenario = Scenario(RestartPolicy(max_restarts=3, period_s=60.0)).child("broker").child("http")
    for at_s in (10, 20, 30, 70):
        scenario.at(at_s, "crash", "http", ValueError("boom"))
    result = scenario.at(99, "stop").run()
    assert result.exit_code == 1
    assert result.reason == (
        "http crashed (ValueError: boom), and its 3 restarts within 60 s are used up. "
        "--set logging.level=DEBUG shows the traceback"
    )
    assert scenario.now_s == 1_070.0
    assert scenario.states() == {"broker": State.STOPPED, "http": State.GIVEN_UP}


def test_crashes_outside_the_period_do_not_count():
    scenario = Scenario(RestartPolicy(max_restarts=3, period_s=60.0)).child("http")
    for at_s in (10, 20, 30, 70.5, 80.5, 90.5):
        scenario.at(at_s, "crash", "http", ValueError("boom"))
    assert scenario.at(99, "stop").run().exit_code == 0


def test_with_max_restarts_0_the_first_crash_ends_the_process():
    scenario = (
        Scenario(RestartPolicy(max_restarts=0)).child("http").at(5, "crash", "http", ValueError("boom"))
    )
    assert scenario.run().exit_code == 1


def test_crashes_before_the_child_was_ready_count_too():
    scenario = Scenario(RestartPolicy(max_restarts=2)).child("broker", ready_after_s=50.0)
    for at_s in (1, 5, 9):
        scenario.at(at_s, "crash", "broker", OSError("port taken"))
    assert scenario.run().exit_code == 1
    assert scenario.now_s == 1_009.0


def test_an_outage_that_crashes_every_child_counts_once_per_child():
    scenario = three_children(policy=RestartPolicy(max_restarts=1))
    for name in ("broker", "inventory", "http"):
        scenario.at(5, "crash", name, OSError("killed"))
    assert scenario.at(9, "stop").run().exit_code == 0


def test_the_restart_happens_after_the_pause():
    policy = RestartPolicy(backoff_first_s=4.0, backoff_most_s=4.0)
    scenario = Scenario(policy, seed=7).child("http").at(3, "crash", "http", OSError()).at(20, "stop")
    scenario.run()
    pause_s = 4.0 * Random(7).uniform(0.5, 1.0)
    assert scenario.times("start", "http") == [0.0, pytest.approx(3.0 + pause_s)]


# Errors that no restart can help


def test_an_error_with_an_exit_code_stops_the_children_and_gives_that_code():
    scenario = three_children().at(3, "crash", "inventory", NoBroker("nothing answers at 127.0.0.1:9092"))
    assert scenario.run() == ExitResult(3, "nothing answers at 127.0.0.1:9092")
    assert scenario.names("end") == ["http", "broker"]
    assert scenario.states()["inventory"] is State.GIVEN_UP


def test_after_an_error_with_an_exit_code_no_further_child_starts():
    scenario = Scenario().child("broker", builds={1: NoBroker("no Java")}).child("http")
    assert scenario.run() == ExitResult(3, "no Java")
    assert scenario.names("start") == ["broker"]
    assert scenario.states()["http"] is State.STOPPED


def test_a_fault_is_logged_once_as_an_error(lines: pytest.LogCaptureFixture):
    three_children().at(3, "crash", "inventory", NoBroker("nothing answers")).run()
    assert [(r.levelname, r.message) for r in lines.records] == [("ERROR", "nothing answers")]
