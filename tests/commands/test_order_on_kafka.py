"""`order` as a process: on a system that chose its port, on one without a book, and with none running."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, outcome
from tests.support.processes import Campus

MakeCampus = Callable[..., Campus]
ANY_PORT = {"roles.producer.port": 0}


@pytest.fixture(scope="module")
def running(kafka: OneKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    """A system on any free port, for the tests that only order from it; each has an item of its own."""
    stock = dict.fromkeys(("pizza", "burger", "noodles"), 100)
    settings = {"broker.mode": "external", "roles.inventory.stock": stock, **ANY_PORT}
    folder: Path = tmp_path_factory.mktemp("running")
    campus = Campus(folder, settings, bootstrap_servers=kafka.bootstrap_servers, prefix="order-command-")
    try:
        campus.start_up("--all")
        yield campus
    finally:
        campus.close()


def test_a_reserved_order(running: Campus) -> None:
    done = running.run("order", "pizza", "2", "--user", "bo")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        r"reserved: 2 × pizza for bo; 98 left  \(order .*, order-command-inventory-events\[\d\] "
        r"seq \d+, \d+ ms\)\n",
        done.stdout,
    )


def test_a_failed_order(running: Campus) -> None:
    done = running.run("order", "burger", "5000")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("failed (insufficient_stock): 5000 × burger for ana; 100 left  (order ")


def test_many_orders_are_summed_up(running: Campus) -> None:
    done = running.run("order", "noodles", "3", "--count", "150")
    assert (done.returncode, done.stderr) == (0, "")
    first, second, *outcomes = done.stdout.splitlines()
    assert re.fullmatch(r"150 orders accepted in .* s \(.*/s\)", first)
    assert re.fullmatch(r"all decided after .* s:", second)
    assert [line.split() for line in outcomes] == [["117", "insufficient_stock"], ["33", "reserved"]]


def test_a_refused_order(running: Campus) -> None:
    done = running.run("order", "pizza", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("campuskafka: the order was refused: 422 ")


def test_without_the_role_book_the_order_is_accepted_and_its_outcome_is_not_known(campus: MakeCampus) -> None:
    here = campus(ANY_PORT)
    here.start_up("--role", "producer", "--role", "inventory")
    done = here.run("order", "pizza", "2")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    said = re.fullmatch(
        r"campuskafka: order (\S+) was accepted, but the process at \S+ runs without the role book.*", line
    )
    assert said, line
    assert outcome(here.config, said[1]).remaining == 98


@pytest.mark.parametrize("settings", [{}, ANY_PORT])
def test_if_no_system_runs_one_is_started_for_as_long_as_it_takes(
    campus: MakeCampus, settings: dict[str, int]
) -> None:
    here = campus(settings)
    for left in (98, 96):
        done = here.run("order", "pizza", "2")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"reserved: 2 × pizza for ana; {left} left  (order ")
    assert audited(here.config).summed_totals().reserved == 2


def test_what_a_killed_system_has_left_behind_is_ignored(campus: MakeCampus) -> None:
    here = campus(ANY_PORT)
    here.start_up("--all").kill()
    assert list((here.config.broker.data_dir / "producers").iterdir()) != []
    done = here.run("order", "pizza", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("reserved: 2 × pizza for ana; 98 left  (order ")
