"""Reading a real log from one offset to another: again and again, and on from there."""

from contextlib import closing

import pytest

from campus.runtime.config import TopicsConfig
from campus.stream.history import Bounds, HistoryReader
from campus.stream.topics import ensure_topics
from campus.stream.writer import Place, Writer
from tests.broker.support import OneKafka

VALUES = [b"a", b"b", b"c"]


@pytest.fixture
def place(kafka: OneKafka, unique_prefix: str) -> Place:
    topics = TopicsConfig(prefix=unique_prefix)
    ensure_topics(kafka.kafka, topics, {})
    place = Place(topics.journal_topic, 0)
    with closing(Writer(kafka.kafka, client_id="test")) as writer:
        writer.append({place: [(None, value, ()) for value in VALUES]})
    return place


def values(reader: HistoryReader, place: Place) -> list[bytes]:
    return [record.value for _, batch in reader.read({place: Bounds(0, len(VALUES))}) for record in batch]


def test_the_same_span_can_be_read_again_by_the_same_reader(kafka: OneKafka, place: Place) -> None:
    with closing(HistoryReader(kafka.kafka, client_id="test")) as reader:
        assert [values(reader, place) for _ in range(3)] == [VALUES] * 3


def test_what_was_read_to_its_end_can_be_followed_from_there(kafka: OneKafka, place: Place) -> None:
    with closing(HistoryReader(kafka.kafka, client_id="test")) as reader:
        values(reader, place)
        batches = reader.follow(place, 1)
        found: list[bytes] = []
        for _ in range(50):
            found += [record.value for record in next(batches)]
            if len(found) == 2:
                break
        assert found == [b"b", b"c"]
