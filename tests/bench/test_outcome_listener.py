"""Waiting for outcomes ends with the last one, with a timeout, or with the reader's error."""

import threading

import pytest

from campus.bench import outcome_listener
from campus.bench.load_process import BenchFailed
from campus.bench.outcome_listener import OutcomeListener


class RacingOutcomes(dict):
    """Outcomes to which another thread adds the last one, just after a look-up missed it."""

    def __init__(self, last):
        super().__init__()
        self._last = last

    def __contains__(self, order_id):
        was_there = super().__contains__(order_id)
        self.setdefault(self._last, 1.0)
        return was_there


def test_an_outcome_that_arrives_during_the_search_ends_the_wait(monkeypatch):
    monkeypatch.setattr(outcome_listener, "OUTCOME_TIMEOUT_S", 60.0)
    listener = OutcomeListener("run")
    listener.decided_at_s = RacingOutcomes("o-1")
    waiting = threading.Thread(target=listener.wait_for, args=(["o-1"],), daemon=True)
    waiting.start()
    waiting.join(5)
    assert not waiting.is_alive()


def test_the_wait_for_an_outcome_that_never_comes_times_out(monkeypatch):
    monkeypatch.setattr(outcome_listener, "OUTCOME_TIMEOUT_S", 0.05)
    listener = OutcomeListener("run")
    listener.wait_for(["o-1"])
    assert listener.decided_at_s == {}


def test_the_error_that_ended_the_reader_is_raised(monkeypatch):
    listener = OutcomeListener("run")
    listener.error = BenchFailed("the journal is gone")
    with pytest.raises(BenchFailed, match="the journal is gone"):
        listener.wait_for(["o-1"])
