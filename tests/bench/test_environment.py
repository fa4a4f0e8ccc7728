"""Whoever measures notices that there is no broker any more, and not each short restart."""

import pytest

from campus.bench import environment as ground
from campus.bench.environment import AWAY_S, LOOK_EVERY_S, BrokerWatch
from campus.bench.load_process import BenchFailed
from campus.config.settings import KafkaConfig


class Broker:
    def __init__(self, monkeypatch):
        self.now_s, self.is_there, self.asked = 0.0, True, 0
        monkeypatch.setattr(ground, "listens", self._listens)
        self.watch = BrokerWatch(KafkaConfig(), clock=lambda: self.now_s)

    def _listens(self, _address):
        self.asked += 1
        return self.is_there

    def passes(self, seconds):
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += LOOK_EVERY_S / 4
            self.watch.look_if_due()


@pytest.fixture
def broker(monkeypatch):
    return Broker(monkeypatch)


def test_it_is_looked_for_no_more_often_than_it_should(broker):
    broker.passes(10 * LOOK_EVERY_S)
    assert broker.asked == 10


def test_a_broker_that_is_back_soon_was_not_away(broker):
    for _ in range(3):
        broker.is_there = False
        broker.passes(AWAY_S - LOOK_EVERY_S)
        broker.is_there = True
        broker.passes(LOOK_EVERY_S)


def test_one_that_stays_away_ends_what_is_measured_and_is_named(broker):
    broker.is_there = False
    with pytest.raises(BenchFailed, match=r"Kafka at 127\.0\.0\.1:9092 went away"):
        broker.passes(AWAY_S + LOOK_EVERY_S)
