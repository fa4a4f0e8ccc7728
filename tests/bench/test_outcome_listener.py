"""Whoever waits for outcomes waits no longer than for the last of them."""

import threading

import pytest

from campus.bench import outcome_listener as arrivals
from campus.bench.outcome_listener import Arrivals


class Coming(dict):
    """The outcomes of these, noted by another thread just when it was looked whether one is there."""

    def __init__(self, last):
        super().__init__()
        self._last = last

    def __contains__(self, order_id):
        was_there = super().__contains__(order_id)
        self.setdefault(self._last, 1.0)
        return was_there


def test_the_last_outcome_may_come_while_it_is_looked_for(monkeypatch):
    monkeypatch.setattr(arrivals, "PATIENCE_S", 60.0)
    waited = Arrivals("run")
    waited.at_s = Coming("o-1")
    waiting = threading.Thread(target=waited.wait_for, args=(["o-1"],), daemon=True)
    waiting.start()
    waiting.join(5)
    assert not waiting.is_alive()


def test_what_never_comes_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(arrivals, "PATIENCE_S", 0.05)
    waited = Arrivals("run")
    waited.wait_for(["o-1"])
    assert waited.at_s == {}


def test_a_reader_that_broke_is_told_of(monkeypatch):
    waited = Arrivals("run")
    waited.fault = arrivals.BenchFailed("the journal is gone")
    with pytest.raises(arrivals.BenchFailed, match="the journal is gone"):
        waited.wait_for(["o-1"])
