"""Callbacks for decided orders, and several threads at once."""

import logging
import threading

import pytest

from tests.book.written_book import P, WrittenBook
from tests.builders import an_order


@pytest.fixture
def written():
    return WrittenBook()


def test_a_callback_is_called_once_when_the_order_is_decided(written):
    called = []
    written.book.when_decided("o-1", called.append)
    written.book.accepted(an_order("o-1"), P)
    assert called == []
    written.reserves()
    written.releases()
    assert [view.status for view in called] == ["reserved"]


def test_the_callback_for_a_decided_order_is_called_at_once(written):
    called = []
    written.fails()
    written.book.when_decided("o-1", called.append)()
    assert [view.status for view in called] == ["failed"]


def test_a_cancelled_callback_is_not_called(written):
    called = []
    cancel = written.book.when_decided("o-1", called.append)
    written.book.when_decided("o-1", called.append)
    cancel()
    cancel()
    written.reserves()
    assert len(called) == 1


def test_an_exception_in_a_callback_is_logged_and_the_other_callbacks_are_called(written, caplog):
    called = []

    def throws(view):
        raise ValueError("the soup is cold")

    written.book.when_decided("o-1", throws)
    written.book.when_decided("o-1", called.append)
    with caplog.at_level(logging.ERROR):
        written.reserves()
    assert len(called) == 1
    assert "the soup is cold" in caplog.text


def test_a_callback_may_use_the_book(written):
    called = []
    written.book.when_decided("o-1", lambda view: called.append(written.book.order(view.order_id)))
    written.reserves()
    assert [view.status for view in called] == ["reserved"]


def test_threads_may_read_while_one_writes():
    written, broken = WrittenBook(orders_max=500), []
    done = threading.Event()

    def ask():
        while not done.is_set():
            for view in written.book.latest(user_id="ana", limit=50):
                seen = written.book.order(view.order_id)
                if seen is not None and seen.status == "accepted" and view.status != "accepted":
                    broken.append(view)
            written.book.when_decided("never", broken.append)()
            written.book.accepted(an_order("asked"), P)
            written.book.window(), written.book.stock()

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    for n in range(2000):
        written.places(an_order(f"o-{n}"), offset=n)
        written.reserves(f"o-{n}")
    done.set()
    for asker in askers:
        asker.join()
    assert broken == []
    assert written.book.order("o-1999").status == "reserved"
