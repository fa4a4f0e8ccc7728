"""What others see of the supervisor: its checks, its states, its signals."""

import os
import signal
import time
from queue import Empty, SimpleQueue
from threading import Event

import pytest

from campus.supervision.lifecycle import (
    Child,
    ChildState,
    ExitResult,
    RestartPolicy,
    State,
)
from campus.supervision.role import Health
from campus.supervision.supervisor import Supervisor, install_signals
from tests.supervision.scenario import Scenario, three_children


def test_running_children_are_checked_once_a_second():
    scenario = three_children().at(100, "stop")
    scenario.run()
    assert scenario.timeouts.count(1.0) > 90 and len(scenario.timeouts) < 120


def test_states_are_a_snapshot_in_start_order():
    scenario = Scenario().child("broker", ready_after_s=2.0).child("http")
    scenario.at(5, "crash", "http", ValueError("boom")).at(9, "stop")
    seen: list[tuple[ChildState, ...]] = []
    scenario.on_check = lambda: seen.append(scenario.snapshot())
    scenario.run()
    assert [(s.name, s.state, s.doing) for s in seen[1]] == [
        ("broker", State.STARTING, "starting"),
        ("http", State.WAITING, "waiting for broker"),
    ]
    crashed = next(http for _, http in seen if http.state is State.BACKOFF)
    assert (crashed.state, crashed.doing) == (State.BACKOFF, "crashed (ValueError: boom)")
    assert (crashed.restarts, crashed.since_s) == (0, 1_005.0)
    last = next(http for _, http in seen if http.state is State.STOPPING)
    assert (last.state, last.doing, last.restarts) == (State.STOPPING, "working", 1)


def test_two_children_with_one_name_are_refused():
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_only_puts_stop_on_the_queue(number: signal.Signals):
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
