"""The whole system on a real Kafka: orders by HTTP, outcomes in the journal, the report."""

import http.client
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from campus.domain.events import InventoryFailed, InventoryReserved
from tests.support.customers import Crowd, one_each, order
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, order_ids, outcome, outcomes
from tests.support.processes import Campus, soon

MakeCampus = Callable[..., Campus]


@pytest.fixture(scope="module")
def running(kafka: OneKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    """A running system for the tests that only place orders; each test uses an item of its own."""
    folder: Path = tmp_path_factory.mktemp("running")
    stock = dict.fromkeys(("pizza", "burger", "salad", "sandwich", "noodles"), 100)
    settings = {"broker.mode": "external", "roles.inventory.stock": stock}
    campus = Campus(folder, settings, bootstrap_servers=kafka.bootstrap_servers, prefix="running-")
    try:
        campus.start_up("--all")
        yield campus
    finally:
        campus.close()


def test_check_succeeds_while_the_system_runs(running: Campus) -> None:
    done = running.run("check")
    assert done.returncode == 0, done.stdout
    assert f"a CampusKafka takes orders at {running.endpoint}" in done.stdout


# One order at a time


def test_an_order_is_accepted_and_then_reserved(running: Campus) -> None:
    answer = order(running.endpoint, "pizza", 2, "ana")
    assert (answer.status, answer.body["status"]) == (202, "accepted")
    reserved = outcome(running.config, answer.body["order_id"])
    assert isinstance(reserved, InventoryReserved)
    assert (reserved.user_id, reserved.item, reserved.quantity) == ("ana", "pizza", 2)
    assert reserved.remaining == 98


def test_an_order_for_more_than_the_stock_fails_and_changes_no_stock(running: Campus) -> None:
    too_many, enough = order(running.endpoint, "burger", 101), order(running.endpoint, "burger", 100)
    failed = outcome(running.config, too_many.body["order_id"])
    assert isinstance(failed, InventoryFailed)
    assert (failed.reason, failed.remaining) == ("insufficient_stock", 100)
    reserved = outcome(running.config, enough.body["order_id"])
    assert isinstance(reserved, InventoryReserved)
    assert reserved.remaining == 0


def test_an_order_for_an_unknown_item_is_accepted_and_fails(running: Campus) -> None:
    answer = order(running.endpoint, "caviar")
    assert answer.status == 202
    failed = outcome(running.config, answer.body["order_id"])
    assert isinstance(failed, InventoryFailed)
    assert (failed.reason, failed.remaining) == ("unknown_item", None)


def test_an_invalid_order_is_refused_with_the_name_of_the_field_and_not_placed(running: Campus) -> None:
    placed = len(order_ids(running.config))
    answer = order(running.endpoint, "pizza", 0)
    assert answer.status == http.client.UNPROCESSABLE_ENTITY
    assert "quantity" in str(answer.body)
    assert len(order_ids(running.config)) == placed


def test_the_order_command_prints_the_outcome_of_its_order(running: Campus) -> None:
    done = running.run("order", "salad", "2", "--user", "ana")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"reserved: 2 × salad for ana; 98 left  \(order .*, running-.* seq \d+, \d+ ms\)\n", done.stdout
    )
    done = running.run("order", "salad", "5000")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("failed (insufficient_stock): 5000 × salad for ana; 98 left  (order ")


def test_the_order_command_summarizes_many_orders(running: Campus) -> None:
    done = running.run("order", "noodles", "3", "--count", "50")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"50 orders accepted in .* s \(.*/s\)", first)
    assert re.fullmatch(r"all decided after .* s:", rest[0])
    assert [line.split() for line in rest[1:]] == [["17", "insufficient_stock"], ["33", "reserved"]]


def test_the_order_command_prints_why_an_order_was_refused(running: Campus) -> None:
    done = running.run("order", "pizza", "0")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("campuskafka: the order was refused: 422 ")


# The report


def test_the_report_is_printed_periodically_and_at_the_end(campus: MakeCampus) -> None:
    here = campus({"roles.analytics.report_every_s": 0.5})
    program = here.start_up("--all")
    accepted = [
        order(here.endpoint, "pizza", 60),
        order(here.endpoint, "pizza", 60),
        order(here.endpoint, "sushi"),
    ]
    soon(lambda: len(outcomes(here.config)) == len(accepted))
    program.says(r"(?s)(── report ─.*){2}Total orders +3\n")
    program.stops()
    final = program.output.partition("── final report ─")[2]
    assert re.search(r"Total orders +3\n +Successful +1\n +Failed +2\n +Failure rate +66\.67 %\n", final)
    assert re.search(r"Cancelled +0\n", final)
    assert re.search(r"pizza +1 +1 +0 +60\n", final)
    assert re.search(r"insufficient_stock +1\n +unknown_item +1\n", final)


def test_with_ack_none_orders_are_decided_too(campus: MakeCampus) -> None:
    here = campus({"roles.producer.ack": "none"})
    here.start_up("--all")
    crowd = Crowd(here.endpoint, one_each(40)).wait(within_s=60)
    findings = audited(here.config, accepted=crowd.accepted)
    assert findings.summed_totals().reserved == 40


def test_log_lines_are_json_if_configured(campus: MakeCampus) -> None:
    here = campus({"logging.format": "json"})
    program = here.start_up("--all")
    program.says("claimed partitions 0, 1, 2, 3")
    lines = [json.loads(line) for line in program.output.splitlines() if line.startswith("{")]
    claimed = next(line for line in lines if "claimed" in line["message"])
    assert (claimed["role"], claimed["level"]) == ("inventory", "INFO")
    roles = {"inventory", "analytics", "book", "producer"}
    assert {line["role"] for line in lines} <= {"broker", "topics", *roles}
