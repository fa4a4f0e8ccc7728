"""What the supervisor does, one sentence at a time, on a clock that is moved by hand."""

import logging
import math
import os
import signal
import time
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from random import Random
from threading import Event

import pytest

from campus.errors import CampusError
from campus.supervision.lifecycle import MOVES, Crashes
from campus.supervision.role import Health
from campus.supervision.supervisor import (
    Child,
    ChildState,
    ExitResult,
    Restart,
    RestartPolicy,
    State,
    Supervisor,
    install_signals,
)
from campus.supervision.worker import Worker
from tests.supervision.supervised import World

ONCE = Restart.ONCE


class NoBroker(CampusError):
    exit_code = 3


class NoLeader(CampusError):
    pass


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, logger="supervisor"):
        yield caplog


def three(**kwargs: object) -> World:
    return World(**kwargs).child("broker").child("inventory").child("http")  # type: ignore[arg-type]


# Starting


def test_children_start_in_order_each_when_the_one_before_is_ready():
    world = World().child("broker", ready_after_s=2.0).child("inventory", ready_after_s=1.0).child("http")
    assert world.at(9, "stop").run() == ExitResult(0, "stopped as asked")
    assert world.names("start") == ["broker", "inventory", "http"]
    assert world.times("start", "inventory") == [pytest.approx(2.0, abs=0.051)]
    assert world.times("start", "http") == [pytest.approx(3.0, abs=0.11)]


def test_a_child_of_once_lets_the_next_one_start_when_it_has_returned():
    world = World().child("topics", restart=ONCE, ready_after_s=math.inf).child("http")
    world.at(4, "return", "topics").at(9, "stop").run()
    assert world.times("start", "http") == [4.0]
    assert world.names("start") == ["topics", "http"]
    assert world.states() == {"topics": State.DONE, "http": State.STOPPED}


def test_when_every_child_is_done_the_supervisor_is_done():
    world = World().child("topics", restart=ONCE).child("welcome", restart=ONCE)
    assert world.at(1, "return", "topics").at(2, "return", "welcome").run() == ExitResult(0, "all is done")


def test_a_child_of_once_that_crashes_is_started_again():
    world = World().child("topics", restart=ONCE, builds={1: OSError("no route")})
    assert world.at(5, "return", "topics").run().exit_code == 0
    assert len(world.times("start", "topics")) == 2


def test_the_next_child_waits_while_the_one_before_is_down():
    world = World().child("broker", ready_after_s=1.0).child("http")
    world.at(0.5, "crash", "broker", OSError("port taken")).at(9, "stop").run()
    assert world.names("start") == ["broker", "broker", "http"]


def test_a_long_wait_for_the_child_before_is_said_once(lines: pytest.LogCaptureFixture):
    world = World().child("broker", ready_after_s=60.0).child("inventory").child("http")
    world.at(90, "stop").run()
    assert lines.messages == ["inventory waits for broker (working)"]


# Crashing


def test_a_crash_is_one_line_and_so_is_the_return(lines: pytest.LogCaptureFixture):
    three().at(3, "crash", "inventory", ValueError("boom")).at(9, "stop").run()
    assert lines.messages == ["inventory crashed (ValueError: boom); again in 0.1 s", "inventory is back"]
    assert [record.levelname for record in lines.records] == ["WARNING", "INFO"]


def test_the_traceback_of_a_crash_is_there_at_debug(caplog: pytest.LogCaptureFixture):
    error = ValueError("boom")
    with caplog.at_level(logging.DEBUG, logger="supervisor"):
        three().at(3, "crash", "inventory", error).at(9, "stop").run()
    assert [r.levelname for r in caplog.records if r.exc_info and r.exc_info[1] is error] == ["DEBUG"]


def test_an_error_of_ours_needs_no_class_name(lines: pytest.LogCaptureFixture):
    three().at(3, "crash", "http", NoLeader("order-events has no leader")).at(9, "stop").run()
    assert lines.messages[0].startswith("http crashed (order-events has no leader); again in")


def test_an_error_that_cannot_be_told_does_not_take_the_supervisor_along(lines: pytest.LogCaptureFixture):
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("not even this")

    assert three().at(3, "crash", "http", Broken()).at(9, "stop").run().exit_code == 0
    assert "http crashed (Broken: <its text raised RuntimeError>)" in lines.messages[0]


def test_a_crash_is_told_on_one_line_of_bounded_length(lines: pytest.LogCaptureFixture):
    three().at(3, "crash", "http", ValueError("a\nb\x1b[2J" + "x" * 9_000)).at(9, "stop").run()
    assert r"ValueError: a\nb\x1b[2Jxxx" in lines.messages[0]
    assert "\n" not in lines.messages[0] and len(lines.messages[0]) < 330


def test_the_others_run_on_while_one_is_restarted():
    world = three().at(3, "crash", "broker", OSError("killed")).at(9, "stop")
    world.run()
    assert world.names("start") == ["broker", "inventory", "http", "broker"]


def test_every_start_is_built_anew():
    world = World().child("http").at(1, "crash", "http", OSError()).at(9, "stop")
    seen = []
    world.each_look = lambda: seen.append(world.roles["http"]) if "http" in world.roles else None
    world.run()
    assert len({id(role) for role in seen}) == 2


def test_to_return_unasked_is_a_crash(lines: pytest.LogCaptureFixture):
    three().at(3, "return", "http").at(9, "stop").run()
    assert lines.messages[0].startswith("http crashed (returned, though nobody asked it to); again in")


@pytest.mark.parametrize("error", [SystemExit(4), KeyboardInterrupt(), GeneratorExit()])
def test_what_a_thread_would_swallow_is_a_crash(error: BaseException, lines: pytest.LogCaptureFixture):
    assert three().at(3, "crash", "http", error).at(9, "stop").run().exit_code == 0
    assert lines.messages[0].startswith(f"http crashed ({type(error).__name__}")


def test_a_build_that_raises_is_a_crash(lines: pytest.LogCaptureFixture):
    world = World().child("broker", builds={1: ValueError("no jars"), 2: ValueError("no Java")}).child("http")
    world.at(9, "stop").run()
    assert world.names("start") == ["broker", "broker", "broker", "http"]
    assert [line.split(";")[0] for line in lines.messages] == [
        "broker crashed (ValueError: no jars)",
        "broker crashed (ValueError: no Java)",
        "broker is back",
    ]


def test_a_system_without_threads_to_spare_is_a_crash(
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


def test_a_health_that_raises_is_a_crash_of_its_child(lines: pytest.LogCaptureFixture):
    world = World().child("inventory", stop_takes_s=2.0).child("http")
    world.at(3, "sick", "inventory", ZeroDivisionError("no beats")).at(9, "stop").run()
    assert lines.messages[0].startswith("inventory crashed (ZeroDivisionError: no beats); again in")
    ended, again = world.times("end", "inventory")[0], world.times("start", "inventory")[1]
    assert ended == pytest.approx(5.0, abs=1.1) and again > ended
    assert world.names("start") == ["inventory", "http", "inventory"]


def test_a_child_whose_health_failed_and_that_does_not_stop_ends_the_process():
    world = World().child("inventory", stop_takes_s=math.inf, shutdown_s=4.0)
    ending = world.at(3, "sick", "inventory", ZeroDivisionError("no beats")).run()
    assert ending == ExitResult(1, "inventory did not stop in 4 s after its health failed")


def test_a_health_that_raised_is_forgotten_after_the_restart():
    world = World().child("topics", restart=ONCE).at(3, "sick", "topics", ZeroDivisionError("no beats"))
    assert world.at(9, "return", "topics").run() == ExitResult(0, "all is done")
    assert len(world.times("start", "topics")) == 2


def test_while_it_is_built_anew_a_child_is_neither_ready_nor_silent_as_its_last_life_was():
    commands: SimpleQueue[str] = SimpleQueue()
    go_on = Event()
    worker = Worker(
        Child("http", lambda: pytest.fail(str(go_on.wait(20)))), Crashes(RestartPolicy(), Random(1)), 0.0
    )
    worker.state, worker.ready = State.BACKOFF, True
    worker.start(commands, 100.0)
    assert worker.life and worker.look(worker.life, 101.0) == 1.0
    assert not worker.ready
    go_on.set()
    assert commands.get(timeout=20) == "look"


# Restart intensity and backoff


def test_one_crash_more_than_allowed_in_the_period_and_it_gives_up():
    world = World(RestartPolicy(max_restarts=3, period_s=60.0)).child("broker").child("http")
    for at_s in (10, 20, 30, 70):
        world.at(at_s, "crash", "http", ValueError("boom"))
    ending = world.at(99, "stop").run()
    assert ending.exit_code == 1
    assert ending.reason == (
        "http crashed (ValueError: boom), and its 3 restarts within 60 s are used up. "
        "--set logging.level=DEBUG shows the traceback"
    )
    assert world.now_s == 1_070.0
    assert world.states() == {"broker": State.STOPPED, "http": State.GIVEN_UP}


def test_as_many_crashes_as_allowed_just_outside_the_period_are_survived():
    world = World(RestartPolicy(max_restarts=3, period_s=60.0)).child("http")
    for at_s in (10, 20, 30, 70.5, 80.5, 90.5):
        world.at(at_s, "crash", "http", ValueError("boom"))
    assert world.at(99, "stop").run().exit_code == 0


def test_without_restarts_the_first_crash_ends_it():
    world = World(RestartPolicy(max_restarts=0)).child("http").at(5, "crash", "http", ValueError("boom"))
    assert world.run().exit_code == 1


def test_crashes_before_it_was_ever_ready_count_the_same():
    world = World(RestartPolicy(max_restarts=2)).child("broker", ready_after_s=50.0)
    for at_s in (1, 5, 9):
        world.at(at_s, "crash", "broker", OSError("port taken"))
    assert world.run().exit_code == 1
    assert world.now_s == 1_009.0


def test_one_outage_that_crashes_everybody_counts_once_for_each():
    world = three(policy=RestartPolicy(max_restarts=1))
    for name in ("broker", "inventory", "http"):
        world.at(5, "crash", name, OSError("killed"))
    assert world.at(9, "stop").run().exit_code == 0


def test_each_pause_doubles_up_to_the_longest_and_half_of_it_is_chance():
    policy = RestartPolicy(max_restarts=9, period_s=1_000, backoff_first_s=0.2, backoff_most_s=1.0)
    for seed in range(50):
        crashes = Crashes(policy, Random(seed))
        pauses = [crashes.add(float(at_s)) for at_s in range(5)]
        for pause_s, most_s in zip(pauses, (0.2, 0.4, 0.8, 1.0, 1.0), strict=True):
            assert pause_s is not None and most_s / 2 <= pause_s <= most_s
    assert len({Crashes(policy, Random(seed)).add(0.0) for seed in range(50)}) == 50


def test_crashes_long_ago_do_not_lengthen_the_pause():
    crashes = Crashes(RestartPolicy(period_s=60, backoff_first_s=0.2, backoff_most_s=9), Random(1))
    assert [crashes.add(at_s) for at_s in (0.0, 1.0, 2.0)][-1] > 0.3  # type: ignore[operator]
    assert crashes.add(100.0) <= 0.2  # type: ignore[operator]


def test_the_restart_comes_when_the_pause_is_over():
    policy = RestartPolicy(backoff_first_s=4.0, backoff_most_s=4.0)
    world = World(policy, seed=7).child("http").at(3, "crash", "http", OSError()).at(20, "stop")
    world.run()
    pause_s = 4.0 * Random(7).uniform(0.5, 1.0)
    assert world.times("start", "http") == [0.0, pytest.approx(3.0 + pause_s)]


def test_a_policy_without_end_does_not_overflow():
    crashes = Crashes(RestartPolicy(max_restarts=5_000, period_s=1e9), Random(1))
    assert all(crashes.add(float(n)) <= 5.0 for n in range(4_000))  # type: ignore[operator]


# Errors that no restart can help


def test_an_error_with_an_exit_code_ends_the_process_in_order_with_that_code():
    world = three().at(3, "crash", "inventory", NoBroker("nothing answers at 127.0.0.1:9092"))
    assert world.run() == ExitResult(3, "nothing answers at 127.0.0.1:9092")
    assert world.names("end") == ["http", "broker"]
    assert world.states()["inventory"] is State.GIVEN_UP


def test_an_error_with_an_exit_code_during_the_start_starts_nothing_more():
    world = World().child("broker", builds={1: NoBroker("no Java")}).child("http")
    assert world.run() == ExitResult(3, "no Java")
    assert world.names("start") == ["broker"]
    assert world.states()["http"] is State.STOPPED


def test_each_fault_is_logged_when_it_is_found(lines: pytest.LogCaptureFixture):
    three().at(3, "crash", "inventory", NoBroker("nothing answers")).run()
    assert [(r.levelname, r.message) for r in lines.records] == [("ERROR", "nothing answers")]


# Stuck


def test_a_running_child_without_a_beat_is_stuck_and_ends_the_process():
    world = World(RestartPolicy(stuck_s=60.0)).child("broker").child("inventory", stop_takes_s=math.inf)
    ending = world.child("http").at(100, "silent", "inventory").run()
    assert ending.exit_code == 1
    assert ending.reason.startswith("inventory is stuck: no progress for 6")
    assert "(working)" in ending.reason
    assert world.now_s == pytest.approx(1_161.0, abs=1.1)
    assert world.names("end") == ["http", "broker"]
    assert world.roles["inventory"].stop.is_set()


def test_a_child_that_is_not_ready_yet_may_be_silent_for_longer():
    policy = RestartPolicy(stuck_s=60.0, start_stuck_s=600.0)
    world = World(policy).child("broker", ready_after_s=math.inf).at(10, "silent", "broker")
    assert world.run().reason.startswith("broker is stuck")
    assert world.now_s == pytest.approx(1_610.0, abs=1.1)


def test_a_process_that_was_paused_does_not_take_its_roles_for_stuck():
    world = three(policy=RestartPolicy(stuck_s=60.0)).at(10, "silent", "inventory")
    assert world.at(20, "jump", "5000").at(5_030, "stop").run().exit_code == 0


# Stopping


def test_children_stop_in_reverse_each_after_the_one_behind_it():
    world = World().child("broker", stop_takes_s=1).child("inventory", stop_takes_s=2).child("http")
    world.at(9, "stop").run()
    ends = [(who, at_s - 1_009) for at_s, what, who in world.events if what == "end"]
    assert ends == [("http", 0.0), ("inventory", 2.0), ("broker", 3.0)]
    assert set(world.states().values()) == {State.STOPPED}


def test_a_child_that_does_not_stop_in_its_time_is_named_and_the_others_still_stop():
    world = World().child("broker").child("inventory", stop_takes_s=math.inf, shutdown_s=3.0).child("http")
    assert world.at(9, "stop").run() == ExitResult(1, "inventory did not stop within 3.0 s")
    assert world.names("end") == ["http", "broker"]
    assert world.now_s == 1_012.0


def test_all_children_share_one_budget():
    world = World(shutdown_s=10.0).child("broker").child("inventory", stop_takes_s=9.0)
    world.child("analytics", stop_takes_s=math.inf, shutdown_s=3.0).child("http", stop_takes_s=2.0)
    ending = world.at(9, "stop").run()
    assert ending.reason == "analytics did not stop within 3.0 s; inventory did not stop within 4.0 s"
    assert world.now_s == 1_018.0


def test_however_the_others_hang_the_first_child_is_left_a_tenth_of_the_budget():
    world = World(shutdown_s=10.0).child("broker", stop_takes_s=0.9)
    world.child("inventory", stop_takes_s=math.inf).child("http", stop_takes_s=math.inf)
    ending = world.at(9, "stop").run()
    assert ending.reason == "http did not stop within 9.0 s; inventory did not stop within 0.0 s"
    assert world.names("end") == ["broker"]
    assert world.now_s == pytest.approx(1_018.9)


def test_no_child_makes_the_stop_longer_than_the_budget():
    world = World(shutdown_s=10.0).child("broker", stop_takes_s=math.inf).child("http", stop_takes_s=math.inf)
    assert world.at(9, "stop").run().exit_code == 1
    assert world.now_s == 1_019.0
    assert all(role.stop.is_set() for role in world.roles.values())


def test_a_fault_keeps_its_exit_code_when_another_child_does_not_stop():
    world = World().child("broker", stop_takes_s=math.inf, shutdown_s=2.0).child("http")
    ending = world.at(3, "crash", "http", NoBroker("no broker")).run()
    assert ending == ExitResult(3, "no broker; broker did not stop within 2.0 s")


def test_a_stop_during_the_start_stops_what_was_started():
    world = World().child("broker").child("inventory", ready_after_s=60.0).child("http")
    assert world.at(9, "stop").run().exit_code == 0
    assert world.names("start") == ["broker", "inventory"]
    assert world.names("end") == ["inventory", "broker"]
    assert set(world.states().values()) == {State.STOPPED}


def test_a_stop_that_came_before_the_run_starts_nothing():
    world = three().at(0, "stop")
    assert world.run() == ExitResult(0, "stopped as asked")
    assert world.events == []


def test_a_stop_during_a_pause_is_instant():
    policy = RestartPolicy(backoff_first_s=30.0, backoff_most_s=30.0)
    world = World(policy).child("broker").child("http")
    world.at(5, "crash", "http", OSError()).at(6, "stop").run()
    assert world.now_s == 1_006.0
    assert world.names("start") == ["broker", "http"]


def test_a_crash_while_stopping_is_said_and_not_restarted(lines: pytest.LogCaptureFixture):
    world = World().child("http", stop_takes_s=1.0, crash_at_stop=OSError("half a report"))
    assert world.at(9, "stop").run().exit_code == 0
    assert lines.messages == ["http crashed while stopping (OSError: half a report)"]
    assert world.names("start") == ["http"]


@pytest.mark.parametrize(("second_at_s", "ended"), [(9.0, []), (9.5, ["http"])])
def test_a_second_signal_ends_it_at_once(second_at_s: float, ended: list[str]):
    world = World().child("broker").child("inventory", stop_takes_s=math.inf).child("http")
    ending = world.at(9, "stop").at(second_at_s, "stop").run()
    assert ending == ExitResult(130, "stopped at once by a second signal")
    assert world.now_s == 1_000 + second_at_s
    assert world.names("end") == ended
    assert all(role.stop.is_set() for role in world.roles.values())


def test_the_first_signal_during_an_end_by_fault_does_not_cut_it_short():
    world = World().child("broker", stop_takes_s=3.0).child("http")
    ending = world.at(3, "crash", "http", NoBroker("no broker")).at(4, "stop").run()
    assert ending == ExitResult(3, "no broker")
    assert world.names("end") == ["broker"]


# Waiting, and what others see


def test_nothing_is_looked_at_more_often_than_needed():
    world = three().at(100, "stop")
    world.run()
    assert world.timeouts.count(1.0) > 90 and len(world.timeouts) < 120


def test_states_are_a_snapshot_in_start_order():
    world = World().child("broker", ready_after_s=2.0).child("http")
    world.at(5, "crash", "http", ValueError("boom")).at(9, "stop")
    seen: list[tuple[ChildState, ...]] = []
    world.each_look = lambda: seen.append(world.snapshot())
    world.run()
    assert [(s.name, s.state, s.doing) for s in seen[1]] == [
        ("broker", State.STARTING, "starting"),
        ("http", State.WAITING, "waiting for broker"),
    ]
    crashed = next(http for _, http in seen if http.state is State.BACKOFF)
    assert (crashed.state, crashed.doing) == (State.BACKOFF, "crashed (ValueError: boom)")
    assert (crashed.restarts, crashed.since_s) == (0, 1_005.0)
    last = next(http for _, http in seen if http.state is State.STOPPING)
    assert (last.state, last.doing, last.restarts) == (State.STOPPING, "working", 1)


def test_an_illegal_move_is_refused():
    worker = Worker(Child("http", lambda: pytest.fail("never")), Crashes(RestartPolicy(), Random(1)), 0.0)
    with pytest.raises(AssertionError, match=r"http: State\.WAITING to State\.RUNNING"):
        worker.move(State.RUNNING, "", 0.0)


def test_every_state_is_in_the_table_and_can_be_reached():
    assert set(MOVES) == set(State)
    assert set().union(*MOVES.values()) == set(State) - {State.WAITING}


def test_two_children_of_one_name_are_refused():
    child = Child("http", lambda: pytest.fail("never"))
    with pytest.raises(AssertionError, match="two children of one name"):
        Supervisor([child, child], RestartPolicy(), shutdown_s=1.0, commands=SimpleQueue())


def test_with_the_real_queue_and_clock_it_runs_and_stops():
    commands: SimpleQueue[str] = SimpleQueue()
    stopped = []

    class AsksToStop:
        def run(self, stop: Event) -> None:
            commands.put("stop")
            stopped.append(stop.wait(20))

        def health(self) -> Health:
            return Health(ready=True, doing="working", heartbeat_at_s=time.monotonic())

    supervisor = Supervisor([Child("http", AsksToStop)], RestartPolicy(), shutdown_s=20.0, commands=commands)
    assert supervisor.run() == ExitResult(0, "stopped as asked")
    assert stopped == [True]


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_puts_a_word_on_the_queue_and_does_nothing_else(number: signal.Signals):
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    commands: SimpleQueue[str] = SimpleQueue()
    try:
        install_signals(commands)
        os.kill(os.getpid(), number)
        assert commands.get(timeout=10) == "stop"
        with pytest.raises(Empty):
            commands.get_nowait()
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
