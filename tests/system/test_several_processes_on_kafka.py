"""One system in several processes: a broker, a producer, two inventories and analytics."""

import re
from collections.abc import Callable

import pytest

from tests.support.customers import Crowd, one_each
from tests.support.ledgers import audited
from tests.support.processes import Campus, Program, soon

SESSION_S = 6.0  # session_timeout_ms, the default
TAKEN_OVER_S = SESSION_S + 5.0

MakeCampus = Callable[..., Campus]


def claimed(program: Program) -> list[int]:
    """All partitions that it has claimed so far."""
    lines = re.findall(r"claimed partitions? ([\d, ]+) after", program.output)
    return sorted(int(number) for line in lines for number in line.split(", "))


def test_a_broker_a_producer_two_inventories_and_analytics_work_together(alone: Campus) -> None:
    broker = alone.start("broker")
    broker.says("Apache Kafka is ready")
    others = [
        alone.start_up("--role", "analytics"),
        alone.start_up("--role", "inventory"),
        alone.start_up("--role", "inventory"),
        alone.start_up("--role", "producer"),
    ]
    analytics, first, second, _ = others
    soon(lambda: set(claimed(first)) | set(claimed(second)) == {0, 1, 2, 3} and claimed(second) != [])
    crowd = Crowd(alone.endpoint, one_each(1000)).wait(within_s=60)
    totals = audited(alone.config, accepted=crowd.accepted).summed_totals()
    assert (totals.reserved, totals.orders) == (400, 1000)
    for program in reversed(others):
        program.stops()
    assert re.search(r"── final report ─.*\n  Total orders +1,000\n  Successful +400\n", analytics.output)
    broker.stops()
    assert alone.processes() == []


def test_the_other_inventory_takes_over_from_a_killed_one_with_the_right_stock(
    campus: MakeCampus,
) -> None:
    here = campus()
    here.start_up("--role", "producer", "--role", "analytics")
    stays, dies = here.start_up("--role", "inventory"), here.start_up("--role", "inventory")
    soon(lambda: len(claimed(dies)) == 2)
    crowd = Crowd(here.endpoint, one_each(1_000_000))
    soon(lambda: len(crowd.accepted) > 1000)
    before = len(claimed(stays))
    dies.kill()
    soon(lambda: len(claimed(stays)) == before + 2, within_s=TAKEN_OVER_S)
    crowd.stop(within_s=60)
    assert (crowd.unanswered, crowd.refused) == (0, [])  # the producer is not affected
    assert audited(here.config, accepted=crowd.accepted).summed_totals().reserved == 400


def test_an_inventory_that_stops_in_order_hands_over_before_its_session_expires(
    campus: MakeCampus,
) -> None:
    here = campus()
    leaving, staying = here.start_up("--role", "inventory"), here.start_up("--role", "inventory")
    soon(lambda: claimed(staying) != [] and {*claimed(leaving), *claimed(staying)} == {0, 1, 2, 3})
    leaving.interrupt()
    handed_over_s = soon(lambda: set(claimed(staying)) == {0, 1, 2, 3}, every_s=0.01)
    print(f"handed over after {handed_over_s:.2f} s")
    assert handed_over_s < SESSION_S
    leaving.ends()


def test_two_processes_that_start_together_run_one_broker(alone: Campus) -> None:
    programs = [alone.start("--role", "inventory"), alone.start("--role", "analytics")]
    for program in programs:
        program.says("CampusKafka is up")
    assert sum("is ready at" in program.output for program in programs) == 1
    assert len(alone.processes()) == 2  # Kafka and its guardian
    # Stop the one that runs the broker last.
    for program in sorted(programs, key=lambda program: "is ready at" in program.output):
        program.stops()
    assert alone.processes() == []


@pytest.mark.long
def test_the_order_command_starts_a_system_if_none_runs_and_keeps_its_data(alone: Campus) -> None:
    for left in (98, 96):
        done = alone.run("order", "pizza", "2", "--user", "ana")
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        assert line.startswith(f"reserved: 2 × pizza for ana; {left} left  (order ")
        assert alone.processes() == []


def test_a_process_may_run_some_of_the_roles(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--role", "producer", "--role", "inventory")
    program.says("CampusKafka is up: inventory, producer, on Kafka at")
    crowd = Crowd(here.endpoint, one_each(20)).wait(within_s=60)
    assert audited(here.config, accepted=crowd.accepted).summed_totals().reserved == 20
    program.stops()
    assert "final report" not in program.output
