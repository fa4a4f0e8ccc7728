"""`order` against the real HTTP API without a Kafka: real ledgers decide each order as soon as it lands."""

import re
import socket
from argparse import ArgumentParser
from contextlib import suppress
from threading import Thread

import pytest

from campus.commands import Context, order
from campus.commands.order import NoOutcome, OrderRefused
from campus.config.settings import BrokerConfig, Config
from campus.http.problems import Response
from roles.producer import Settings
from tests.api.book_fixture import BookFixture
from tests.api.serving import FakeCommit, a_producer, a_server

ANY_ID = r"[0-9a-f]{8}-[0-9a-f-]{27}"


class DecidingCommit(FakeCommit):
    """Acknowledges each order, and decides it at once, or only when `decides` is called."""

    def __init__(self, book_fixture, *, decides_at_once=True):
        super().__init__()
        self.book_fixture, self.decides_at_once = book_fixture, decides_at_once

    def submit(self, tp, record, token):
        super().submit(tp, record, token)
        if self.decides_at_once:
            self.book_fixture.decides(self)


@pytest.fixture
def config(tmp_path):
    return Config(broker=BrokerConfig(data_dir=tmp_path), roles={"producer": Settings(port=0)})


@pytest.fixture
def book_fixture():
    return BookFixture(pizza=100)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(order, "OUTCOME_TIMEOUT_S", 1)


def run_order(config, *words):
    parser = ArgumentParser()
    order.add_arguments(parser)
    context = Context(config=config, system=lambda *names: pytest.fail("a system is running"))
    return order.run(parser.parse_args(words), context)


# One order


def test_a_reserved_order_is_printed_in_one_line(config, book_fixture, capsys):
    with a_producer(commit=DecidingCommit(book_fixture), book=book_fixture.book, config=config):
        assert run_order(config, "pizza", "2", "--user", "bo") == 0
    assert re.fullmatch(
        rf"reserved: 2 × pizza for bo; 98 left  \(order {ANY_ID}, inventory-events\[1\] seq 2, \d+ ms\)\n",
        capsys.readouterr().out,
    )


def test_a_failed_order_is_printed_with_its_reason_and_exits_with_0(config, book_fixture, capsys):
    with a_producer(commit=DecidingCommit(book_fixture), book=book_fixture.book, config=config):
        assert run_order(config, "pizza", "5000") == 0
        assert run_order(config, "caviar") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("failed (insufficient_stock): 5000 × pizza for ana; 100 left  (order ")
    assert second.startswith("failed (unknown_item): 1 × caviar for ana  (order ")


def test_an_outcome_that_comes_after_the_answer_is_polled_for(config, book_fixture, capsys):
    with a_producer(commit=DecidingCommit(book_fixture), book=book_fixture.book, config=config, wait_max_s=0):
        assert run_order(config, "pizza", "2") == 0
    assert capsys.readouterr().out.startswith("reserved: 2 × pizza for ana; 98 left  (order ")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("wait_max_s", [0, 30])
def test_without_an_outcome_in_time_the_order_counts_as_accepted(config, book_fixture, wait_max_s):
    commit = DecidingCommit(book_fixture, decides_at_once=False)
    with a_producer(commit=commit, book=book_fixture.book, config=config, wait_max_s=wait_max_s):
        expected = rf"order {ANY_ID} was accepted, but no outcome came within 1 s\."
        with pytest.raises(NoOutcome, match=expected) as raised:
            run_order(config, "pizza")
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("count", [1, 3])
def test_without_an_order_book_the_orders_are_accepted_and_their_outcome_is_not_known(config, count):
    with a_producer(config=config) as served:
        expected = r"accepted.*, but the process at 127\.0\.0\.1:\d+ runs without the role book"
        with pytest.raises(NoOutcome, match=expected) as raised:
            run_order(config, "pizza", "--count", str(count))
        assert len(served.commit.taken) == count
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_refused_order_is_an_error_with_the_reason(config, book_fixture, count):
    says = "the order was refused: 422 quantity must be"
    with a_producer(book=book_fixture.book, config=config), pytest.raises(OrderRefused, match=says) as raised:
        run_order(config, "pizza", "0", "--count", str(count))
    assert raised.value.exit_code == 1


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("body", [b"hello", b'{"hello": "world"}', b'"\xff"'])
def test_an_answer_that_is_not_from_campuskafka_is_an_error_with_what_to_check(config, count, body):
    with a_server(lambda _environ: Response(200, (("Content-Type", "text/plain"),), body)) as served:
        elsewhere = Config(broker=config.broker, roles={"producer": Settings(port=served.port)})
        with pytest.raises(OrderRefused, match=rf"no sensible answer from http://127\.0\.0\.1:{served.port}"):
            run_order(elsewhere, "pizza", "--count", str(count))


# Many


def test_a_lost_connection_says_that_accepted_orders_are_safe(config):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def close_every_connection():
            with suppress(OSError):
                while True:
                    listener.accept()[0].close()

        Thread(target=close_every_connection, daemon=True).start()
        port = listener.getsockname()[1]
        settings = config.with_changes(roles={"producer": Settings(port=port)})
        with pytest.raises(
            OrderRefused, match=rf"the connection to http://127\.0\.0\.1:{port} broke .* accepted"
        ):
            run_order(settings, "pizza")
        listener.shutdown(socket.SHUT_RDWR)


def test_many_orders_are_counted_by_outcome(config, book_fixture, capsys):
    with a_producer(commit=DecidingCommit(book_fixture), book=book_fixture.book, config=config):
        assert run_order(config, "pizza", "3", "--count", "250") == 0
    first, second, *outcomes = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"250 orders accepted in \d+\.\d\d s \([\d,]+/s\)", first)
    assert re.fullmatch(r"all decided after \d+\.\d\d s:", second)
    assert [line.split() for line in outcomes] == [["217", "insufficient_stock"], ["33", "reserved"]]


def test_a_batch_is_no_larger_than_the_api_takes(config, book_fixture, capsys):
    small = Config(broker=config.broker, roles={"producer": Settings(port=0, batch_orders_max=2)})
    with a_producer(
        commit=DecidingCommit(book_fixture), book=book_fixture.book, config=small, batch_orders_max=2
    ):
        assert run_order(small, "pizza", "--count", "5") == 0
    assert "5 orders accepted" in capsys.readouterr().out


def test_more_orders_than_the_book_remembers_are_all_counted(config, capsys):
    book_fixture = BookFixture(orders_max=100, pizza=1000)
    with a_producer(commit=DecidingCommit(book_fixture), book=book_fixture.book, config=config):
        assert run_order(config, "pizza", "--count", "350") == 0
    assert capsys.readouterr().out.endswith("     350  reserved\n")


@pytest.mark.usefixtures("impatient")
def test_what_is_not_decided_in_time_is_counted(config, book_fixture, capsys):
    commit = DecidingCommit(book_fixture, decides_at_once=False)
    with a_producer(commit=commit, book=book_fixture.book, config=config):
        assert run_order(config, "pizza", "--count", "3") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["decided so far:", "       3  without an outcome after 1 s"]


# The system


def test_a_system_is_started_for_the_order_if_none_runs(config, book_fixture, capsys):
    served = a_producer(commit=DecidingCommit(book_fixture), book=book_fixture.book, config=config)
    started = []

    def system(*names):
        started.append(names)
        return served

    args = ArgumentParser()
    order.add_arguments(args)
    assert order.run(args.parse_args(["pizza"]), Context(config=config, system=system)) == 0
    assert started == [("inventory", "book", "producer")]
    assert capsys.readouterr().out.startswith("reserved: 1 × pizza")
