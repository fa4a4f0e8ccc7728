"""The order book on a real Kafka: it knows what became of each order, whichever process placed and decided
it."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from campus.book.order_book import OrderBook
from campus.book.views import OrderView
from campus.config.settings import Config
from campus.domain.codec import keyed_record
from campus.domain.events import InventoryReserved, OrderCancelled, OrderPlaced
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.kafka.clients import admin
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.producer.writer import Writer
from campus.kafka.records import AppendResult, TopicPartition
from campus.startup.topics import ensure_topics
from campus.supervision.registry import Registry
from roles import book
from tests.builders import an_order
from tests.support.customers import ITEMS, one_each
from tests.support.kafka import OneKafka
from tests.support.ledgers import outcome
from tests.support.processes import Campus, soon

MakeCampus = Callable[..., Campus]
PARTITIONS = 4
PIZZA = item_partition("pizza", PARTITIONS)
WRONG_PARTITION = (PIZZA + 1) % PARTITIONS
STOP_S = 1.0


class RunningBook:
    """The book role in a thread of this process, without any other role."""

    def __init__(self, config: Config, *, orders_max: int = 1000) -> None:
        self._registry, self._stop = Registry(), threading.Event()
        self.role = book.build(book.Settings(orders_max=orders_max), config, self._registry)
        self.errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.role.run(self._stop)
        except Exception as error:  # the test checks it
            self.errors.append(error)

    @property
    def book(self) -> OrderBook:
        found = self._registry.find(OrderBook)
        assert found is not None, self.errors
        return found

    def is_started(self) -> bool:
        return self._registry.find(OrderBook) is not None

    def caught_up(self) -> "RunningBook":
        soon(lambda: self.is_started() and self.book.window().caught_up)
        return self

    def wait_for(self, order_id: str, status: str) -> OrderView:
        """Wait until the order has this status."""
        soon(lambda: (view := self.book.order(order_id)) is not None and view.status == status, every_s=0.01)
        view = self.book.order(order_id)
        assert view is not None
        return view

    def stop(self) -> float:
        """Stop the role; returns how many seconds that took."""
        began_s = time.monotonic()
        self._stop.set()
        self._thread.join()
        return time.monotonic() - began_s


@contextmanager
def a_book(config: Config, *, orders_max: int = 1000) -> Iterator[RunningBook]:
    running = RunningBook(config, orders_max=orders_max)
    try:
        soon(running.is_started)
        yield running
    finally:
        running.stop()
    assert running.errors == []


@pytest.fixture
def here(campus: MakeCampus) -> Campus:
    """A campus whose topics exist and hold the opening stock."""
    return with_topics(campus())


def with_topics(campus: Campus) -> Campus:
    ensure_topics(campus.config.kafka, campus.config.topics, campus.config.roles["inventory"].stock)
    return campus


def write(config: Config, *events: OrderPlaced | OrderCancelled, to: int | None = None) -> list[int]:
    """Append to order-events like an external client, by item or all to one partition; returns the
    offsets."""
    offsets = []
    with closing(Writer(config.kafka, client_id="external")) as writer:
        for event in events:
            partition = item_partition(event.item, PARTITIONS) if to is None else to
            tp = TopicPartition(config.topics.orders_topic, partition)
            landed: dict[TopicPartition, AppendResult] = writer.append({tp: [keyed_record(event)]})
            offsets.append(landed[tp].first)
    return offsets


def some_orders(first: int, count: int) -> list[OrderPlaced]:
    return [an_order(f"o-{first + n}", item) for n, item in enumerate(one_each(count))]


def test_an_order_is_accepted_until_inventory_decides_it(here: Campus) -> None:
    decided_views: list[OrderView] = []
    with a_book(here.config) as running:
        began_ms = time.time_ns() // 1_000_000
        (offset,) = write(here.config, an_order("o-1", quantity=3))
        accepted = running.wait_for("o-1", "accepted")
        assert (accepted.partition, accepted.offset, accepted.journal_offset) == (PIZZA, offset, None)
        assert accepted.accepted_at is not None
        assert iso_utc(began_ms - 1000) <= accepted.accepted_at <= iso_utc(began_ms + 60_000)
        running.book.when_decided("o-1", decided_views.append)

        inventory = here.start_up("--role", "inventory")
        reserved = running.wait_for("o-1", "reserved")
        assert (reserved.partition, reserved.offset) == (PIZZA, offset)
        entry = outcome(here.config, "o-1")
        assert isinstance(entry, InventoryReserved)
        assert (reserved.seq, reserved.remaining, reserved.decided_at) == (
            entry.seq,
            entry.remaining,
            entry.decided_at,
        )
        assert reserved.accepted_at == accepted.accepted_at
        assert reserved.placed_at == "2026-01-01T12:00:00.000Z"

        write(here.config, an_order("o-2", quantity=5000), an_order("o-3", "caviar"))
        assert running.wait_for("o-2", "failed").reason == "insufficient_stock"
        assert running.wait_for("o-3", "failed").reason == "unknown_item"
        soon(lambda: len(decided_views) == 1)
        assert decided_views == [reserved]
        assert [view.order_id for view in running.book.latest(item="pizza", limit=9)] == ["o-2", "o-1"]
        inventory.stops()


def test_a_cancelled_order_returns_its_portions_to_the_stock(here: Campus) -> None:
    inventory = here.start_up("--role", "inventory")
    with a_book(here.config) as running:
        write(here.config, an_order("o-1", quantity=3), an_order("o-2", quantity=5000))
        running.wait_for("o-2", "failed")
        assert stock_of(running, "pizza") == (97, 3)
        cancels = [OrderCancelled(order_id=order_id, item="pizza") for order_id in ("o-1", "o-2", "o-1")]
        write(here.config, *cancels)
        cancelled = running.wait_for("o-1", "cancelled")
        assert (cancelled.remaining, cancelled.cancel_rejected) == (100, None)
        assert cancelled.cancelled_at is not None
        soon(lambda: running.book.order("o-2").cancel_rejected == "not_reserved")  # type: ignore[union-attr]
        assert stock_of(running, "pizza") == (100, 0)
    inventory.stops()


def stock_of(running: RunningBook, item: str) -> tuple[int, int]:
    (view,) = (view for view in running.book.stock() if view.item == item)
    return view.remaining, view.reserved


def test_a_book_that_starts_late_knows_the_last_orders_and_the_whole_stock(campus: MakeCampus) -> None:
    here = with_topics(campus({"roles.inventory.snapshot_every_orders": 20}))
    inventory = here.start_up("--role", "inventory")
    with a_book(here.config) as first:
        write(here.config, *some_orders(0, 400))
        for n in range(396, 400):
            first.wait_for(f"o-{n}", "reserved")
        inventory.stops()
        write(here.config, *some_orders(400, 8))
        first.wait_for("o-407", "accepted")
        assert first.book.window().orders == 408
        with a_book(here.config, orders_max=100) as late:
            late.caught_up()
            late.wait_for("o-407", "accepted")
            assert late.book.stock() == first.book.stock()
            assert [stock_of(late, item) for item in ITEMS] == [(0, 100)] * 4
            assert late.book.window().orders == 100
            assert late.book.order("o-0") is None
            assert late.book.order("o-390") == first.book.order("o-390") is not None
            latest = late.book.latest(status="reserved", limit=50)
            assert {view.order_id for view in latest[:20]} <= {f"o-{n}" for n in range(370, 400)}
            times = [view.accepted_at or "" for view in latest]
            assert times == sorted(times, reverse=True)


def test_a_misrouted_order_is_known_before_and_after_it_is_rerouted(here: Campus) -> None:
    with a_book(here.config) as running:
        (offset,) = write(here.config, an_order("misrouted"), to=WRONG_PARTITION)
        view = running.wait_for("misrouted", "accepted")
        assert (view.partition, view.offset) == (WRONG_PARTITION, offset)
        inventory = here.start_up("--role", "inventory")
        view = running.wait_for("misrouted", "reserved")
        assert view.partition == PIZZA
        entry = outcome(here.config, "misrouted")
        assert (view.offset, view.seq) == (entry.source_offset, entry.seq)
        assert len(running.book.latest(limit=9)) == 1
        inventory.stops()


@pytest.mark.parametrize("ends", [pytest.param(OneKafka.stop, marks=pytest.mark.long), OneKafka.kill])
def test_an_outage_is_logged_once_and_nothing_is_lost_or_doubled(
    own_broker: OneKafka,
    campus: MakeCampus,
    caplog: pytest.LogCaptureFixture,
    ends: Callable[[OneKafka], object],
) -> None:
    caplog.set_level(logging.INFO, "book")
    here = with_topics(campus(on=own_broker))
    inventory = here.start_up("--role", "inventory")
    with a_book(here.config) as running:
        write(here.config, *some_orders(0, 40))
        running.wait_for("o-39", "reserved")
        running.caught_up()
        ends(own_broker)
        soon(lambda: "waiting for the broker" in caplog.text)
        assert running.role.health().doing == "waiting for the broker"
        assert not running.book.window().caught_up
        assert running.book.order("o-39") is not None  # known orders can still be asked for
        own_broker.start()
        soon(lambda: "the broker is back" in caplog.text)
        write(here.config, *some_orders(40, 40))
        running.wait_for("o-79", "reserved")
        soon(lambda: len(running.book.latest(status="reserved", limit=99)) == 80)
        assert [stock_of(running, item) for item in ITEMS] == [(80, 20)] * 4
        running.caught_up()
        assert caplog.text.count("waiting for the broker") == caplog.text.count("the broker is back") == 1
    inventory.stops()


def test_it_stops_at_once_with_or_without_a_broker(own_broker: OneKafka, campus: MakeCampus) -> None:
    here = with_topics(campus(on=own_broker))
    running = RunningBook(here.config).caught_up()
    assert running.stop() < STOP_S
    running = RunningBook(here.config).caught_up()
    own_broker.stop()
    soon(lambda: running.role.health().doing == "waiting for the broker")
    assert running.stop() < STOP_S
    assert running.errors == []


@pytest.mark.parametrize("topic", ["orders_topic", "journal_topic"])
def test_a_recreated_topic_is_an_error_and_not_a_silent_gap(here: Campus, topic: str) -> None:
    name = getattr(here.config.topics, topic)
    inventory = here.start_up("--role", "inventory")
    running = RunningBook(here.config)
    soon(running.is_started)
    write(here.config, *some_orders(0, 8))
    running.wait_for("o-7", "reserved")
    inventory.stops()
    with admin(here.config.kafka) as client:
        client.delete_topics([name])
        soon(lambda: name not in client.list_topics())
    with_topics(here)
    soon(lambda: bool(running.errors))
    (error,) = running.errors
    assert isinstance(error, HistoryMissing)
    assert name in str(error)
    running.stop()


def test_a_deleted_topic_is_logged_and_waited_for(here: Campus, caplog: pytest.LogCaptureFixture) -> None:
    with a_book(here.config) as running:
        running.caught_up()
        with admin(here.config.kafka) as client:
            client.delete_topics([here.config.topics.journal_topic])
        soon(lambda: running.role.health().doing == "waiting for the broker")
        assert f"it does not know {here.config.topics.journal_topic}[" in caplog.text
        assert not running.book.window().caught_up


def test_a_process_with_only_the_book_starts_and_stops_cleanly(here: Campus) -> None:
    program = here.start_up("--role", "book")
    program.stops()
