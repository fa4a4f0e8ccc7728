"""Short floods: a few seconds each of what `python -m tests.attack --flood` does for a minute."""

from collections.abc import Callable

import pytest

from tests.attack.floods import (
    BACK_S,
    REFUSAL_S,
    RSS_MORE_MB,
    above_the_cap,
    broker_away,
    half_sent,
    stopped_under_load,
)
from tests.support.kafka import OneKafka
from tests.support.processes import Campus

MakeCampus = Callable[..., Campus]


@pytest.mark.long
def test_two_hundred_incomplete_requests_do_not_slow_down_others(campus: MakeCampus, kafka: OneKafka) -> None:
    before, during = half_sent(campus, kafka, lasts_s=1.5, halves=200)
    assert during.share(0.5) < 3 * before.share(0.5) + 0.01


def test_during_a_broker_outage_memory_stays_flat_and_then_orders_are_accepted_again(
    campus: MakeCampus, own_broker: OneKafka
) -> None:
    settings = {"roles.producer.ack_timeout_s": 2.0, "roles.producer.waiting_orders_max": 100}
    away = broker_away(campus, own_broker, away_s=5, connections=150, settings=settings)
    assert away.refused.keys() == {"not-acknowledged", "too-many-waiting"}
    assert away.resumed_s < BACK_S
    assert away.rss_most_mb < away.rss_before_mb + RSS_MORE_MB


@pytest.mark.long
def test_above_the_limit_orders_get_503_at_once_and_accepted_orders_are_in_the_log(
    campus: MakeCampus, kafka: OneKafka
) -> None:
    accepted, refused, kinds = above_the_cap(campus, kafka, lasts_s=2, connections=200)
    assert accepted.seconds
    assert kinds.keys() == {"too-many-waiting"}
    assert refused.share(0.5) < REFUSAL_S


@pytest.mark.long
def test_a_stop_under_load_answers_every_order_that_was_placed(campus: MakeCampus, kafka: OneKafka) -> None:
    accepted, _ = stopped_under_load(campus, kafka, connections=128)
    assert accepted > 0
