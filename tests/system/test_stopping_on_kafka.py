"""How it ends: in order at the first signal, at once at the second, with whatever it took answered."""

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
EXIT_S = 3.0  # for the interpreter itself on a busy machine

MakeCampus = Callable[..., Campus]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_load_stops_it_in_order_and_every_order_it_took_is_answered(
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


def test_with_ack_none_too_whatever_it_took_is_in_the_log_when_it_has_stopped(campus: MakeCampus) -> None:
    here = campus({"roles.producer.ack": "none"})
    program = here.start_up("--role", "producer")
    crowd = Crowd(here.endpoint, one_each(MORE_THAN_CAN_BE_PLACED))
    soon(lambda: len(crowd.accepted) > 500)
    program.stops(within_s=SHUTDOWN_S + EXIT_S)
    crowd.stop(within_s=PATIENCE_S)
    assert sorted(order_ids(here.config)) == sorted(crowd.accepted)


def test_what_it_had_not_decided_when_it_stopped_is_decided_at_the_next_start(campus: MakeCampus) -> None:
    here = campus({"roles.inventory.processing_delay_s": 0.02})
    program = here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(500)).wait(within_s=PATIENCE_S)
    program.stops(within_s=SHUTDOWN_S + EXIT_S)
    assert len(crowd.accepted) == 500
    here.start_up("--all", "--set", "roles.inventory.processing_delay_s=0")
    totals = audited(here.config, accepted=crowd.accepted).summed_totals()
    assert (totals.reserved, totals.orders) == (400, 500)


def test_a_second_signal_ends_it_at_once(campus: MakeCampus) -> None:
    program = campus().start_up("--all")
    program.says("claimed partitions")
    program.interrupt()
    program.send(signal.SIGTERM)  # another one: the system would make one of two that are the same
    assert program.ends(within_s=EXIT_S) == 130
    assert "final report" not in program.output


def test_it_stops_at_once_while_its_kafka_is_still_starting(alone: Campus) -> None:
    program = alone.start("--all")
    program.says("starting Apache Kafka")
    program.stops(within_s=SHUTDOWN_S)
    assert alone.processes() == []  # by then, not just soon
    assert "is up" not in program.output


def test_it_stops_at_once_while_it_waits_for_a_kafka_elsewhere(alone: Campus) -> None:
    program = alone.start("--all", "--set", "broker.mode=external", "--set", "kafka.connect_timeout_s=60")
    program.says("waiting for a Kafka")
    program.stops(within_s=EXIT_S)


@pytest.mark.long
def test_its_kafka_ends_with_it_also_when_it_is_killed(alone: Campus) -> None:
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
