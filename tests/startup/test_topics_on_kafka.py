"""The topics are created at the first start, also when that start was interrupted."""

import pytest

from campus.config.settings import TopicsConfig
from campus.domain.codec import decode_input
from campus.domain.events import StockAdded
from campus.kafka.clients import BrokerAway
from campus.startup import topics as topics_module
from campus.startup.topics import ensure_topics
from tests.support.kafka import OneKafka
from tests.support.ledgers import records_of

STOCK = {"pizza": 100, "burger": 100, "salad": 100, "sandwich": 100}


@pytest.fixture
def topics(unique_prefix: str) -> TopicsConfig:
    return TopicsConfig(prefix=unique_prefix)


def stock_in(kafka: OneKafka, topics: TopicsConfig) -> dict[str, int]:
    parts = records_of(kafka.kafka, topics.orders_topic, topics.partitions).values()
    events = [decode_input(record.value) for part in parts for record in part]
    assert all(isinstance(event, StockAdded) for event in events)
    assert len(events) == len({event.item for event in events})
    return {event.item: event.quantity for event in events}


def test_the_process_that_creates_the_topics_writes_the_opening_stock_once(
    kafka: OneKafka, topics: TopicsConfig
) -> None:
    assert topics.orders_topic in ensure_topics(kafka.kafka, topics, STOCK)
    assert ensure_topics(kafka.kafka, topics, STOCK) == []
    assert stock_in(kafka, topics) == STOCK


def test_if_the_creator_was_killed_the_next_process_writes_the_opening_stock(
    kafka: OneKafka, topics: TopicsConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise BrokerAway(kafka.kafka, "it was killed")

    with monkeypatch.context() as patched:
        patched.setattr(topics_module, "_write_opening_stock", killed)
        with pytest.raises(BrokerAway):
            ensure_topics(kafka.kafka, topics, STOCK)
    assert ensure_topics(kafka.kafka, topics, STOCK) == []
    assert stock_in(kafka, topics) == STOCK
