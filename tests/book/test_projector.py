"""The projector, step by step on logs in memory: what it loads, outages, progress."""

from threading import Event

import pytest

from campus.book.order_book import OrderBook
from campus.book.projector import CHECK_EVERY_S, SILENCE_MAX_S, Projector
from campus.kafka.clients import BrokerAway
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import TopicPartition
from tests.book.following_reader import FollowingReader
from tests.builders import an_order
from tests.processing.stepped import PIZZA, AnInventory, order
from tests.simulation.memory_log import TOPICS, MemoryLog

ORDERS, JOURNAL = TopicPartition(TOPICS.orders_topic, PIZZA), TopicPartition(TOPICS.journal_topic, PIZZA)


class SteppedProjector:
    """A projector and its book; the test calls each step and sets the clock."""

    def __init__(self, log, orders_max=100):
        self.clock_s = 0.0
        self.reader = FollowingReader(log)
        self.book = OrderBook(orders_max=orders_max)
        self.projector = Projector(self.book, TOPICS, self.reader, clock=lambda: self.clock_s)

    def steps(self, times=1, *, after_s=0.0):
        self.clock_s += after_s
        for _ in range(times):
            self.confirmed = self.projector.step(Event())
        return self

    def status(self, order_id):
        view = self.book.order(order_id)
        return view and view.status


def decided_log(*orders, stock=1000, **settings):
    """A log where every order is decided, and the inventory that decided them."""
    log = MemoryLog()
    inventory = AnInventory(log, stock={"pizza": stock}, **settings).steps(2)
    for placed in orders:
        order(log, placed)
        inventory.steps()
    return log, inventory


def pizzas(count):
    return [an_order(f"o-{n}") for n in range(count)]


def test_it_loads_the_last_orders_and_then_follows_the_logs():
    log, inventory = decided_log(*pizzas(3))
    stepped = SteppedProjector(log).steps()
    assert [stepped.status(f"o-{n}") for n in range(4)] == ["reserved"] * 3 + [None]
    order(log, an_order("o-3"))
    stepped.steps()
    assert stepped.status("o-3") == "accepted"
    inventory.steps()
    stepped.steps()
    assert stepped.status("o-3") == "reserved"


def test_with_a_snapshot_only_the_tail_and_the_last_orders_are_read_from_the_journal():
    log, inventory = decided_log(*pizzas(60), snapshot_every_orders=20)
    stepped = SteppedProjector(log, orders_max=8).steps()
    end = len(log.at(*JOURNAL))
    starts = [span.start for tp, span in stepped.reader.spans_read if tp == JOURNAL]
    assert len(starts) == 2  # for the stock, and for the orders
    assert min(starts) >= end - 21
    (view,) = stepped.book.stock()
    assert (view.remaining, view.reserved, view.as_of_offset) == (940, 60, end - 1)
    # Of the last eight records three are the other partitions' claims.
    assert [stepped.status(f"o-{n}") for n in (54, 55, 59)] == [None, "reserved", "reserved"]
    assert inventory.fold().stock == {"pizza": view.remaining}


def test_all_undecided_orders_are_read_from_order_events():
    log, _ = decided_log(*pizzas(5))
    order(log, *[an_order(f"new-{n}") for n in range(3)])
    stepped = SteppedProjector(log).steps(2)
    assert [stepped.status(f"new-{n}") for n in range(3)] == ["accepted"] * 3
    assert [view.order_id for view in stepped.book.latest(limit=4)] == ["new-2", "new-1", "new-0", "o-4"]


def test_the_history_is_listed_by_time_over_all_partitions():
    log = MemoryLog()
    inventory = AnInventory(log, stock={"pizza": 9, "burger": 9}).steps(2)
    order(log, *pizzas(4), *[an_order(f"b-{n}", "burger") for n in range(3)])
    inventory.steps()
    views = SteppedProjector(log).steps().book.latest(limit=9)
    times = [view.decided_at for view in views]
    assert times == sorted(times, reverse=True)
    assert {view.item for view in views[:3]} == {"pizza", "burger"}


def test_a_decided_order_that_left_the_window_does_not_return_as_undecided():
    log, inventory = decided_log()
    stepped = SteppedProjector(log, orders_max=4).steps(2)
    order(log, *pizzas(9))
    inventory.steps()
    stepped.steps(2)
    assert [view.status for view in stepped.book.latest(limit=9)] == ["reserved"] * 4


def test_if_the_last_journal_records_are_claims_a_decided_order_is_unknown_not_undecided():
    log, inventory = decided_log(*pizzas(2))
    for _ in range(20):
        inventory.owner.reset()
        inventory.steps()
    stepped = SteppedProjector(log, orders_max=8).steps(2)
    assert stepped.status("o-1") is None


def test_records_that_are_no_orders_are_ignored():
    log, _ = decided_log()
    stepped = SteppedProjector(log).steps()
    log.append({ORDERS: [(None, b"hello", ()), (None, None, ())]})
    order(log, an_order("o-1"))
    assert stepped.steps().status("o-1") == "accepted"


def test_a_journal_without_its_beginning_is_an_error_if_no_snapshot_covers_it():
    log, _ = decided_log(*pizzas(3))
    stepped = SteppedProjector(log)
    stepped.reader.trimmed_to[JOURNAL] = 2
    with pytest.raises(HistoryMissing, match="has lost its records 0 to 1, and no snapshot covers them"):
        stepped.steps()


def test_a_log_that_ends_before_the_read_position_is_an_error():
    log, _ = decided_log(*pizzas(3))
    stepped = SteppedProjector(log).steps(2)
    del log.at(*JOURNAL)[2:]
    with pytest.raises(HistoryMissing, match=r"ends at offset 2, but \d+ was read from it.*made anew"):
        stepped.steps(after_s=CHECK_EVERY_S)


def test_a_stop_while_the_history_loads_leaves_the_book_empty():
    log, _ = decided_log(*pizzas(3))
    stepped, stop = SteppedProjector(log), Event()
    stop.set()
    stepped.projector.step(stop)
    assert stepped.book.window().orders == 0
    assert stepped.steps().book.window().orders == 3


def test_an_outage_while_the_history_loads_starts_the_load_again():
    log, _ = decided_log(*pizzas(3))
    stepped = SteppedProjector(log)
    stepped.reader.is_away = True
    with pytest.raises(BrokerAway):
        stepped.steps()
    stepped.projector.reset()
    stepped.reader.is_away = False
    assert stepped.steps().book.window().orders == 3


def test_one_unanswered_request_is_no_outage_but_a_longer_silence_is():
    log, _ = decided_log()
    stepped = SteppedProjector(log).steps(2)
    stepped.reader.is_away = True
    assert not stepped.steps(after_s=CHECK_EVERY_S).confirmed
    with pytest.raises(BrokerAway):
        stepped.steps(after_s=SILENCE_MAX_S)


def test_while_records_arrive_an_unanswered_request_is_no_outage():
    log, _ = decided_log()
    stepped = SteppedProjector(log).steps(2)
    stepped.reader.is_away = True
    for n in range(5):
        order(log, an_order(f"o-{n}"))
        stepped.steps(after_s=SILENCE_MAX_S)
    assert stepped.status("o-4") == "accepted"


def test_after_an_outage_it_continues_at_its_position():
    log, inventory = decided_log(*pizzas(3))
    stepped = SteppedProjector(log).steps(2)
    stepped.reader.is_away = True
    with pytest.raises(BrokerAway):
        stepped.steps(after_s=SILENCE_MAX_S)
    stepped.projector.reset()
    assert not stepped.book.window().caught_up
    order(log, an_order("o-3"))
    inventory.steps()
    stepped.reader.is_away = False
    assert stepped.steps().confirmed
    stepped.steps()
    assert stepped.status("o-3") == "reserved"
    assert (stepped.book.window().orders, stepped.book.window().caught_up) == (4, True)


def test_it_reports_how_far_behind_it_is_and_whether_it_has_caught_up():
    log, inventory = decided_log()
    order(log, *pizzas(6))
    stepped = SteppedProjector(log).steps()
    assert not stepped.book.window().caught_up
    stepped.reader.next_batch = (ORDERS, 4)
    stepped.steps()
    assert (stepped.book.window().caught_up, stepped.book.window().behind) == (False, 2)
    stepped.steps()
    inventory.steps()
    stepped.reader.next_batch = (ORDERS, 1)
    stepped.steps(after_s=CHECK_EVERY_S)
    assert (stepped.book.window().caught_up, stepped.book.window().behind) == (True, 6)
