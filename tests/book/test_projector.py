"""The keeper of the book, step by step over logs in memory: where it begins, outages, how far it has come."""

from threading import Event

import pytest

from campus.book.order_book import OrderBook
from campus.book.projector import LOOK_EVERY_S, SILENCE_MOST_S, Projector
from campus.kafka.clients import BrokerAway
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import TopicPartition
from campus.processing.restore import JournalTrimmed
from tests.builders import an_order
from tests.simulation.memory_log import TOPICS, MemoryLog
from tests.simulation.memory_logs import MemoryLogs
from tests.simulation.test_owner import PIZZA, AnInventory, order

ORDERS, JOURNAL = TopicPartition(TOPICS.orders_topic, PIZZA), TopicPartition(TOPICS.journal_topic, PIZZA)


class AKeeper:
    """One of its own book, stepped by hand, by a clock moved by hand."""

    def __init__(self, log, orders_max=100):
        self.clock_s = 0.0
        self.logs = MemoryLogs(log)
        self.book = OrderBook(orders_max=orders_max)
        self.keeper = Projector(
            self.book, TOPICS, self.logs, orders_max=orders_max, clock=lambda: self.clock_s
        )

    def steps(self, times=1, *, after_s=0.0):
        self.clock_s += after_s
        for _ in range(times):
            self.confirmed = self.keeper.step(Event())
        return self

    def status(self, order_id):
        view = self.book.order(order_id)
        return view and view.status


def a_shop(*orders, stock=1000, **settings):
    """Everything decided, and the inventory that did."""
    log = MemoryLog()
    inventory = AnInventory(log, stock={"pizza": stock}, **settings).steps(2)
    for one in orders:
        order(log, one)
        inventory.steps()
    return log, inventory


def pizzas(count):
    return [an_order(f"o-{n}") for n in range(count)]


def test_the_history_tells_of_the_last_orders_and_then_it_follows():
    log, inventory = a_shop(*pizzas(3))
    one = AKeeper(log).steps()
    assert [one.status(f"o-{n}") for n in range(4)] == ["reserved"] * 3 + [None]
    order(log, an_order("o-3"))
    one.steps()
    assert one.status("o-3") == "accepted"
    inventory.steps()
    one.steps()
    assert one.status("o-3") == "reserved"


def test_with_a_snapshot_no_more_of_the_journal_is_read_than_comes_after_it_and_the_last_orders():
    log, inventory = a_shop(*pizzas(60), snapshot_every_orders=20)
    one = AKeeper(log, orders_max=8).steps()
    end = len(log.at(*JOURNAL))
    starts = [span.start for tp, span in one.logs.spans_read if tp == JOURNAL]
    assert len(starts) == 2  # for the stock, and for the orders
    assert min(starts) >= end - 21
    (view,) = one.book.stock()
    assert (view.remaining, view.reserved, view.as_of_offset) == (940, 60, end - 1)
    # Of the last eight records three are the other partitions' claims.
    assert [one.status(f"o-{n}") for n in (54, 55, 59)] == [None, "reserved", "reserved"]
    assert inventory.owner.fold(PIZZA).stock == {"pizza": view.remaining}


def test_orders_that_nobody_has_decided_yet_are_read_from_the_first_of_them():
    log, _ = a_shop(*pizzas(5))
    order(log, *[an_order(f"new-{n}") for n in range(3)])
    one = AKeeper(log).steps(2)
    assert [one.status(f"new-{n}") for n in range(3)] == ["accepted"] * 3
    assert [view.order_id for view in one.book.latest(limit=4)] == ["new-2", "new-1", "new-0", "o-4"]


def test_what_stood_in_the_logs_is_listed_by_its_time_over_all_partitions():
    log = MemoryLog()
    inventory = AnInventory(log, stock={"pizza": 9, "burger": 9}).steps(2)
    order(log, *pizzas(4), *[an_order(f"b-{n}", "burger") for n in range(3)])
    inventory.steps()
    views = AKeeper(log).steps().book.latest(limit=9)
    times = [view.decided_at for view in views]
    assert times == sorted(times, reverse=True)
    assert {view.item for view in views[:3]} == {"pizza", "burger"}


def test_what_the_journal_has_told_of_and_the_book_forgotten_does_not_come_back_as_undecided():
    log, inventory = a_shop()
    one = AKeeper(log, orders_max=4).steps(2)
    order(log, *pizzas(9))
    inventory.steps()
    one.steps(2)
    assert [view.status for view in one.book.latest(limit=9)] == ["reserved"] * 4


def test_after_claims_alone_an_order_that_was_decided_is_not_called_undecided():
    log, inventory = a_shop(*pizzas(2))
    for _ in range(20):
        inventory.owner.start_anew()
        inventory.steps()
    one = AKeeper(log, orders_max=8).steps(2)
    assert one.status("o-1") is None


def test_what_is_no_order_is_passed_over():
    log, _ = a_shop()
    one = AKeeper(log).steps()
    log.append({ORDERS: [(None, b"hello", ()), (None, None, ())]})
    order(log, an_order("o-1"))
    assert one.steps().status("o-1") == "accepted"


def test_a_journal_that_lost_its_beginning_is_an_error_if_no_snapshot_stands_in_for_it():
    log, _ = a_shop(*pizzas(3))
    one = AKeeper(log)
    one.logs.trimmed_to[JOURNAL] = 2
    with pytest.raises(JournalTrimmed):
        one.steps()


def test_a_log_that_ends_before_what_was_read_is_an_error():
    log, _ = a_shop(*pizzas(3))
    one = AKeeper(log).steps(2)
    del log.at(*JOURNAL)[2:]
    with pytest.raises(HistoryMissing, match=r"ends at offset 2, but \d+ was read from it.*made anew"):
        one.steps(after_s=LOOK_EVERY_S)


def test_a_stop_while_the_history_is_read_leaves_the_book_as_it_was():
    log, _ = a_shop(*pizzas(3))
    one, stop = AKeeper(log), Event()
    stop.set()
    one.keeper.step(stop)
    assert one.book.window().orders == 0
    assert one.steps().book.window().orders == 3


def test_a_broker_that_goes_while_the_history_is_read_begins_it_again():
    log, _ = a_shop(*pizzas(3))
    one = AKeeper(log)
    one.logs.is_away = True
    with pytest.raises(BrokerAway):
        one.steps()
    one.keeper.start_anew()
    one.logs.is_away = False
    assert one.steps().book.window().orders == 3


def test_one_question_that_is_not_answered_is_no_outage_yet_and_silence_is():
    log, _ = a_shop()
    one = AKeeper(log).steps(2)
    one.logs.is_away = True
    assert not one.steps(after_s=LOOK_EVERY_S).confirmed
    with pytest.raises(BrokerAway):
        one.steps(after_s=SILENCE_MOST_S)


def test_as_long_as_records_come_the_broker_is_there():
    log, _ = a_shop()
    one = AKeeper(log).steps(2)
    one.logs.is_away = True
    for n in range(5):
        order(log, an_order(f"o-{n}"))
        one.steps(after_s=SILENCE_MOST_S)
    assert one.status("o-4") == "accepted"


def test_after_an_outage_it_goes_on_where_it_was():
    log, inventory = a_shop(*pizzas(3))
    one = AKeeper(log).steps(2)
    one.logs.is_away = True
    with pytest.raises(BrokerAway):
        one.steps(after_s=SILENCE_MOST_S)
    one.keeper.start_anew()
    assert not one.book.window().caught_up
    order(log, an_order("o-3"))
    inventory.steps()
    one.logs.is_away = False
    assert one.steps().confirmed
    one.steps()
    assert one.status("o-3") == "reserved"
    assert (one.book.window().orders, one.book.window().caught_up) == (4, True)


def test_it_tells_how_far_behind_it_is_and_whether_it_has_come_to_where_the_logs_ended():
    log, inventory = a_shop()
    order(log, *pizzas(6))
    one = AKeeper(log).steps()
    assert not one.book.window().caught_up
    one.logs.asked = (ORDERS, 4)
    one.steps()
    assert (one.book.window().caught_up, one.book.window().behind) == (False, 2)
    one.steps()
    inventory.steps()
    one.logs.asked = (ORDERS, 1)
    one.steps(after_s=LOOK_EVERY_S)
    assert (one.book.window().caught_up, one.book.window().behind) == (True, 6)
