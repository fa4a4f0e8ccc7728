"""Membership of a consumer group, with a real coordinator."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from campus.kafka.clients import admin
from campus.kafka.group_consumer import Fenced, GroupConsumer
from campus.kafka.producer.writer import Writer
from campus.kafka.records import TopicPartition
from campus.processing.owner import POLL_S
from tests.support.kafka import OneKafka
from tests.support.processes import soon

PARTITIONS = 4


@pytest.fixture
def topic(kafka: OneKafka, unique_prefix: str) -> Iterator[str]:
    name = unique_prefix + "topic"
    with admin(kafka.kafka) as client:
        client.create_topics({name: {"num_partitions": PARTITIONS, "replication_factor": 1}})
        client.wait_for_topics([name])
        yield name


def test_a_join_that_outlasts_a_poll_is_continued(kafka: OneKafka, topic: str) -> None:
    with closing(GroupConsumer(kafka.kafka, topic=topic, group=topic, client_id="test")) as reader:

        def has_joined() -> bool:
            assigned = reader.poll(timeout_s=0.05, records_max=10).assigned
            return len(assigned) == PARTITIONS and coordinator.stable()

        coordinator = reader._consumer._coordinator
        soon(has_joined, every_s=0)
        coordinator._assignment_snapshot = {}  # as if it had learned of new partitions
        reader.poll(timeout_s=0, records_max=10)
        soon(lambda: coordinator._assignment_snapshot != {})  # they are assigned while nobody polls
        assert not coordinator.stable()
        soon(has_joined, within_s=20, every_s=0)


def test_two_members_share_the_partitions_and_the_remaining_one_gets_all(kafka: OneKafka, topic: str) -> None:
    def a_member() -> GroupConsumer:
        return GroupConsumer(kafka.kafka, topic=topic, group=topic, client_id="test")

    with closing(a_member()) as stays:

        def has(reader: GroupConsumer) -> frozenset[int]:
            return reader.poll(timeout_s=POLL_S, records_max=10).assigned

        with closing(a_member()) as leaves:
            soon(lambda: (len(has(stays)), len(has(leaves))) == (2, 2), every_s=0)
        soon(lambda: len(has(stays)) == PARTITIONS, every_s=0)


@pytest.mark.parametrize(
    "ask",
    [
        lambda reader: reader.seek(PARTITIONS, 0),
        lambda reader: reader.positions([PARTITIONS]),
        lambda reader: reader.commit([PARTITIONS]),
    ],
    ids=["seek", "positions", "commit"],
)
def test_using_a_revoked_partition_raises_fenced(
    kafka: OneKafka, topic: str, ask: Callable[[GroupConsumer], object]
) -> None:
    with closing(GroupConsumer(kafka.kafka, topic=topic, group=topic, client_id="test")) as reader:
        reader.poll(timeout_s=1, records_max=10)
        with pytest.raises(Fenced, match="was revoked"):
            ask(reader)


@pytest.mark.parametrize(("fetch_bytes_min", "first_batch"), [(1, 1), (100_000, 2)])
def test_a_fetch_waits_for_the_minimum_of_bytes(
    kafka: OneKafka, topic: str, fetch_bytes_min: int, first_batch: int
) -> None:
    config = kafka.kafka.with_changes(consumer=kafka.kafka.consumer.with_changes(fetch_max_wait_ms=5000))
    reader = GroupConsumer(
        config, topic=topic, group=topic, client_id="test", fetch_bytes_min=fetch_bytes_min
    )
    batches: list[int] = []

    def polled(timeout_s: float) -> bool:
        batches.extend(map(len, reader.poll(timeout_s=timeout_s, records_max=10).batches.values()))
        return bool(batches)

    with closing(reader), closing(Writer(config, client_id="test")) as writer:
        soon(lambda: len(reader.poll(timeout_s=0.05, records_max=10).assigned) == PARTITIONS, every_s=0)
        for partition in range(PARTITIONS):
            reader.seek(partition, 0)
        assert not polled(0.2)  # from now on a fetch waits at the broker
        for _ in range(2):
            writer.append({TopicPartition(topic, 0): [(b"key", b"value", ())]})
            polled(1.0)
        soon(lambda: polled(0.2), every_s=0)
    assert batches[0] == first_batch
