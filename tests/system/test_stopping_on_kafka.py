"""How the program stops: in order at the first signal, at once at the second; placed orders are answered."""

import re
import signal
from collections.abc import Callable

import pytest

from tests.support.customers import Crowd, one_each, order
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, order_ids
from tests.support.processes import PATIENCE_S, Campus, soon

MORE_THAN_CAN_BE_PLACED = 1_000_000
SHUTDOWN_S = 10.0  # the default
EXIT_S = 3.0  # for the interpreter to exit on a busy machine

MakeCampus = Callable[..., Campus]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_under_load_stops_it_in_order_and_every_placed_order_is_answered(
    campus: MakeCampus, number: signal.Signals
) -> None:
    here = campus()
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(MORE_THAN_CAN_BE_PLACED))
    soon(lambda: len(crowd.accepted) > 500)
    program.send(number)
    assert program.ends(within_s=SHUTDOWN_S + EXIT_S) == 0
    crowd.stop(within_s=PATIENCE_S)
    assert sorted(order_ids(here.config)) == sorted(crowd.accepted)
    assert re.search(r"── final report ─.*\n  Total orders +[1-9]", program.output)
    assert "crashed" not in program.output


def test_with_ack_none_every_accepted_order_is_in_the_log_after_the_stop(campus: MakeCampus) -> None:
    here = campus({"roles.producer.ack": "none"})
    program = here.start_up("--role", "producer")
    crowd = Crowd(here.endpoint, one_each(MORE_THAN_CAN_BE_PLACED))
    soon(lambda: len(crowd.accepted) > 500)
    program.stops(within_s=SHUTDOWN_S + EXIT_S)
    crowd.stop(within_s=PATIENCE_S)
    assert sorted(order_ids(here.config)) == sorted(crowd.accepted)


def test_orders_undecided_at_the_stop_are_decided_after_the_next_start(campus: MakeCampus) -> None:
    here = campus({"roles.inventory.processing_delay_s": 0.02})
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(500)).wait(within_s=PATIENCE_S)
    program.stops(within_s=SHUTDOWN_S + EXIT_S)
    assert len(crowd.accepted) == 500
    here.start_up("--all", "--set", "roles.inventory.processing_delay_s=0")
    totals = audited(here.config, accepted=crowd.accepted).summed_totals()
    assert (totals.reserved, totals.orders) == (400, 500)


def test_a_second_signal_ends_the_process_at_once(campus: MakeCampus) -> None:
    program = campus().start_up("--all")
    program.says("claimed partitions")
    program.interrupt()
    program.send(signal.SIGTERM)  # not SIGINT again: two pending signals of one kind are merged
    assert program.ends(within_s=EXIT_S) == 130
    assert "final report" not in program.output


def test_it_stops_at_once_while_its_kafka_is_starting(alone: Campus) -> None:
    program = alone.start("--all")
    program.says("starting Apache Kafka")
    program.stops(within_s=SHUTDOWN_S)
    assert alone.processes() == []  # already when it has stopped
    assert "is up" not in program.output


def test_it_stops_at_once_while_it_waits_for_an_external_kafka(alone: Campus) -> None:
    program = alone.start("--all", "--set", "broker.mode=external", "--set", "kafka.connect_timeout_s=60")
    program.says("waiting for a Kafka")
    program.stops(within_s=EXIT_S)


@pytest.mark.long
def test_its_kafka_ends_also_when_the_process_is_killed(alone: Campus) -> None:
    program = alone.start_up("--all")
    answer = order(alone.endpoint)
    assert answer.status == 202
    program.kill()
    soon(lambda: alone.processes() == [])
    program = alone.start_up("--all")
    audited(alone.config, accepted=[answer.body["order_id"]])
    program.stops(within_s=SHUTDOWN_S + EXIT_S)
    assert alone.processes() == []
    assert re.search(r"── final report ─.*\n  Total orders +1\n", program.output)


def test_it_stops_in_order_without_a_broker(own_broker: OneKafka, campus: MakeCampus) -> None:
    here = campus(on=own_broker)
    program = here.start_up("--all")
    assert order(here.endpoint).status == 202
    program.says("claimed partitions 0, 1, 2, 3")
    own_broker.stop()
    program.says(r"inventory .*waiting for the broker")
    program.stops(within_s=SHUTDOWN_S + EXIT_S)
    assert "── final report ─" in program.output
    assert "crashed" not in program.output
