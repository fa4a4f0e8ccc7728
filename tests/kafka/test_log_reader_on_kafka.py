"""Reading a real log from one offset to another, repeatedly, and following it from there."""

from contextlib import closing

import pytest

from campus.config.settings import TopicsConfig
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.writer import Writer
from campus.kafka.records import Bounds, TopicPartition
from campus.startup.topics import ensure_topics
from tests.support.kafka import OneKafka

VALUES = [b"a", b"b", b"c"]


@pytest.fixture
def tp(kafka: OneKafka, unique_prefix: str) -> TopicPartition:
    topics = TopicsConfig(prefix=unique_prefix)
    ensure_topics(kafka.kafka, topics, {})
    tp = TopicPartition(topics.journal_topic, 0)
    with closing(Writer(kafka.kafka, client_id="test")) as writer:
        writer.append({tp: [(None, value, ()) for value in VALUES]})
    return tp


def values(reader: LogReader, tp: TopicPartition) -> list[bytes]:
    return [record.value for _, batch in reader.read({tp: Bounds(0, len(VALUES))}) for record in batch]


def test_a_reader_can_read_the_same_span_again(kafka: OneKafka, tp: TopicPartition) -> None:
    with closing(LogReader(kafka.kafka, client_id="test")) as reader:
        assert [values(reader, tp) for _ in range(3)] == [VALUES] * 3


def test_a_reader_can_follow_a_partition_after_reading_it(kafka: OneKafka, tp: TopicPartition) -> None:
    with closing(LogReader(kafka.kafka, client_id="test")) as reader:
        values(reader, tp)
        batches = reader.follow_all({tp: 1})
        found: list[bytes] = []
        for _ in range(50):
            found += [record.value for record in next(batches).get(tp, ())]
            if len(found) == 2:
                break
        assert found == [b"b", b"c"]
