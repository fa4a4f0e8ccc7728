"""The broker probe notices a broker that is gone, and ignores a short restart."""

import pytest

from campus.bench import environment
from campus.bench.environment import AWAY_S, BrokerProbe
from campus.bench.load_process import MEANWHILE_EVERY_S, BenchFailed
from campus.config.settings import KafkaConfig


class Broker:
    def __init__(self, monkeypatch):
        self.now_s, self.is_up = 0.0, True
        monkeypatch.setattr(environment, "listens", lambda _: self.is_up)
        self.probe = BrokerProbe(KafkaConfig(), clock=lambda: self.now_s)

    def passes(self, seconds):
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s += MEANWHILE_EVERY_S
            self.probe.probe()


@pytest.fixture
def broker(monkeypatch):
    return Broker(monkeypatch)


def test_a_short_restart_does_not_end_the_measurement(broker):
    for _ in range(3):
        broker.is_up = False
        broker.passes(AWAY_S - MEANWHILE_EVERY_S)
        broker.is_up = True
        broker.passes(MEANWHILE_EVERY_S)


def test_a_broker_that_stays_away_ends_the_measurement_and_is_named(broker):
    broker.is_up = False
    with pytest.raises(BenchFailed, match=r"Kafka at 127\.0\.0\.1:9092 went away"):
        broker.passes(AWAY_S + MEANWHILE_EVERY_S)
