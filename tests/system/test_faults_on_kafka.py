"""A broker or a role fails under load, and no accepted order is lost."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

import pytest

from campus.analytics.metrics import OrderMetrics
from campus.inventory.ledger import StockLedger
from campus.startup.topics import create_topics
from campus.supervision.lifecycle import Child, ExitResult, Restart, RestartPolicy
from campus.supervision.registry import Registry
from campus.supervision.role import OneStep
from campus.supervision.supervisor import Supervisor
from roles import analytics, inventory, producer
from tests.support.customers import ITEMS, Crowd, one_each, order
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited
from tests.support.processes import Campus, soon

MORE_THAN_CAN_BE_PLACED = 1_000_000
BACK_S = 5.0  # until orders are accepted again after the broker is back; under 0.5 s on a quiet machine
RESTARTED_S = 60.0  # until a killed Kafka is back; 5 s on a quiet machine

MakeCampus = Callable[..., Campus]


# The broker fails


@pytest.mark.parametrize("ends", [pytest.param(OneKafka.stop, marks=pytest.mark.long), OneKafka.kill])
def test_without_a_broker_orders_get_503_until_it_is_back(
    own_broker: OneKafka, campus: MakeCampus, ends: Callable[[OneKafka], Any]
) -> None:
    here = campus({"roles.producer.ack_timeout_s": 1.0}, on=own_broker)
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(MORE_THAN_CAN_BE_PLACED))
    soon(lambda: len(crowd.accepted) > 1000)
    ends(own_broker)
    soon(lambda: len(crowd.refused) > 0)
    own_broker.start()
    before = len(crowd.accepted)
    soon(lambda: len(crowd.accepted) > before, within_s=BACK_S, every_s=0.01)
    crowd.stop(within_s=60)
    assert {answer.status for answer in crowd.refused} == {503}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in crowd.refused)
    assert crowd.unanswered == 0
    totals = audited(here.config, accepted=crowd.accepted).summed_totals()
    assert (totals.reserved, dict(totals.portions)) == (400, dict.fromkeys(ITEMS, 100))
    # Logged once by each role, not at every retry.
    assert program.output.count("waiting for the broker") <= 3
    # A starting Kafka may accept an order and refuse the next; the last of these lines comes a moment later.
    soon(lambda: program.output.count("orders fail") == program.output.count("orders go through again"))
    assert 1 <= program.output.count("orders fail") <= 2
    program.stops()
    assert "crashed" not in program.output


def test_the_embedded_kafka_is_restarted_after_a_kill(alone: Campus) -> None:
    program = alone.start_up("--all")
    crowd = Crowd(alone.endpoint, one_each(MORE_THAN_CAN_BE_PLACED))
    soon(lambda: len(crowd.accepted) > 1000)
    os.kill(int(program.says(r"is ready at .* \(process (\d+)\)")[1]), signal.SIGKILL)
    program.says(r"WARNING  broker crashed \(Kafka was ended by signal 9 .*; restarting in 0\.\d s")
    before = len(crowd.accepted)
    soon(lambda: len(crowd.accepted) > before, within_s=RESTARTED_S)
    crowd.stop(within_s=60)
    assert audited(alone.config, accepted=crowd.accepted).summed_totals().reserved == 400
    program.stops()
    assert alone.processes() == []


# A role raises an exception


@contextmanager
def supervised(here: Campus) -> Iterator[list[ExitResult]]:
    """The real roles, in the process of the test, so that it can patch them."""
    config = here.config
    children = [
        Child("topics", partial(OneStep, partial(create_topics, config)), Restart.ON_CRASH),
        *(
            Child(role.NAME, partial(role.build, config.roles[role.NAME], config, Registry()))
            for role in (analytics, inventory, producer)
        ),
    ]
    commands: SimpleQueue[str] = SimpleQueue()
    supervisor = Supervisor(children, RestartPolicy(), shutdown_s=10, commands=commands)
    results: list[ExitResult] = []
    thread = threading.Thread(target=lambda: results.append(supervisor.run()))
    thread.start()
    try:
        yield results
    finally:
        commands.put("stop")
        thread.join()


def raising_once(method: Callable[..., Any], at_call: int) -> Callable[..., Any]:
    calls = 0

    def raising(self: Any, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call:
            raise ValueError("a fault of the test")
        return method(self, *arguments)

    return raising


@pytest.mark.parametrize(("fold", "role"), [(StockLedger, "inventory"), (OrderMetrics, "analytics")])
def test_a_role_that_raises_is_back_within_a_second_and_no_order_is_lost(
    campus: MakeCampus,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    fold: Any,
    role: str,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(fold, "apply", raising_once(fold.apply, at_call=300))
    here = campus()
    with supervised(here) as results:
        soon(lambda: "orders: POST" in caplog.text)
        crowd = Crowd(here.endpoint, one_each(1000)).wait(within_s=60)
        soon(lambda: f"{role} is back" in caplog.text)
        totals = audited(here.config, accepted=crowd.accepted).summed_totals()
        assert (totals.reserved, totals.orders) == (400, 1000)
        assert order(here.endpoint).status == 202
    assert results == [ExitResult(0, "stopped as asked")]
    lines = [
        record for record in caplog.records if "crashed" in record.message or "is back" in record.message
    ]
    assert [record.levelname for record in lines] == ["WARNING", "INFO"]
    assert lines[0].message.startswith(f"{role} crashed (ValueError: a fault of the test); restarting in 0.")
    crashed_s, back_s = (record.created for record in lines)
    assert back_s - crashed_s < 1.0 + 2.0  # plus what a busy machine needs
    final = capsys.readouterr().out.partition("final report")[2]
    assert "Total orders                   1,001" in final
