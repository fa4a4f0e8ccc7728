"""The writer on a real broker: where records land, what is refused, and outages."""

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing
from queue import SimpleQueue
from threading import Event
from typing import Any

import pytest
from kafka import errors as kafka_errors

from campus.addresses import listens, wait_until
from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import admin, make_consumer
from campus.kafka.producer.batches import BATCH_BYTES_MAX
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.group_commit import GroupCommit
from campus.kafka.producer.writer import Writer
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from tests.support.kafka import OneKafka

PARTITIONS = 4


@pytest.fixture
def config(kafka: OneKafka) -> KafkaConfig:
    return kafka.kafka


@pytest.fixture
def writer(config: KafkaConfig) -> Iterator[Writer]:
    with closing(Writer(config, client_id="test")) as writer:
        yield writer


def make_topic(config: KafkaConfig, *, partitions: int = PARTITIONS, **configs: str) -> str:
    name = f"test-{uuid.uuid4().hex[:12]}"
    wanted = {
        "num_partitions": partitions,
        "replication_factor": 1,
        "configs": {key.replace("_", "."): value for key, value in configs.items()},
    }
    with admin(config) as client:
        client.create_topics({name: wanted})
        client.wait_for_topics([name])
    with closing(make_consumer(config)) as consumer:  # retries until every partition has a leader
        consumer.end_offsets([TopicPartition(name, partition) for partition in range(partitions)])
    return name


def everything_in(
    config: KafkaConfig, topic: str, *, partitions: int = PARTITIONS
) -> dict[TopicPartition, list[Any]]:
    """All records of a topic by partition, up to its current end."""
    tps = [TopicPartition(topic, partition) for partition in range(partitions)]
    read: dict[TopicPartition, list[Any]] = {TopicPartition(topic, tp.partition): [] for tp in tps}
    with closing(make_consumer(config, max_poll_records=10_000)) as consumer:
        consumer.assign(tps)
        consumer.seek_to_beginning(*tps)
        ends = consumer.end_offsets(tps)
        deadline = time.monotonic() + 30
        while any(consumer.position(tp) < ends[tp] for tp in tps):
            assert time.monotonic() < deadline, "the topic cannot be read to its end"
            for tp, records in consumer.poll(timeout_ms=1000).items():
                read[TopicPartition(tp.topic, tp.partition)].extend(records)
    return read


def numbered(numbers: range, *, size: int = 150) -> list[ProducerRecord]:
    return [(b"key-%d" % n, (b"%d" % n).ljust(size, b"."), [("n", b"%d" % n)]) for n in numbers]


def number_of(record: Any) -> int:
    return int(record.value.rstrip(b"."))


def test_a_hundred_thousand_records_arrive_once_and_in_order(config: KafkaConfig, writer: Writer) -> None:
    topic = make_topic(config)
    tps = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
    written: dict[TopicPartition, list[int]] = {tp: [] for tp in tps}
    for start in range(0, 100_000, 1000):
        part = {tp: range(start + 250 * i, start + 250 * (i + 1)) for i, tp in enumerate(tps)}
        landed = writer.append({tp: numbered(numbers) for tp, numbers in part.items()})
        for tp, numbers in part.items():
            assert landed[tp] == AppendResult(len(written[tp]), len(written[tp]) + 250)
            written[tp].extend(numbers)
    read = everything_in(config, topic)
    assert {tp: [number_of(r) for r in records] for tp, records in read.items()} == written
    last = read[tps[0]][-1]
    number = b"%d" % written[tps[0]][-1]
    assert (last.key, last.headers) == (b"key-" + number, [("n", number)])


@pytest.mark.parametrize("timestamps", ["LogAppendTime", "CreateTime"])
def test_the_returned_offsets_are_those_in_the_log(
    config: KafkaConfig, writer: Writer, timestamps: str
) -> None:
    topic = make_topic(config, partitions=1, message_timestamp_type=timestamps)
    tp = TopicPartition(topic, 0)
    before_ms = time.time() * 1000 - 1
    landed = [writer.append({tp: numbered(range(n, n + n))})[tp] for n in (1, 5, 20)]
    records = everything_in(config, topic, partitions=1)[tp]
    for n, at in zip((1, 5, 20), landed, strict=True):
        assert [number_of(r) for r in records[at.first : at.end]] == list(range(n, n + n))
    assert [record.offset for record in records] == list(range(26))
    assert all(before_ms <= record.timestamp <= time.time() * 1000 + 1 for record in records)


def test_records_of_another_writer_show_as_a_gap_between_our_offsets(
    config: KafkaConfig, writer: Writer
) -> None:
    tp = TopicPartition(make_topic(config, partitions=1), 0)
    with closing(Writer(config, client_id="other")) as other:
        assert writer.append({tp: numbered(range(3))})[tp] == AppendResult(0, 3)
        assert other.append({tp: numbered(range(2))})[tp] == AppendResult(3, 5)
        assert writer.append({tp: numbered(range(3))})[tp] == AppendResult(5, 8)


def test_one_append_may_have_several_topics_and_more_than_a_batch(
    config: KafkaConfig, writer: Writer
) -> None:
    large, small = make_topic(config), make_topic(config, partitions=1)
    count = 3 * BATCH_BYTES_MAX // 10_000
    landed = writer.append(
        {
            TopicPartition(large, 1): numbered(range(count), size=10_000),
            TopicPartition(small, 0): numbered(range(7)),
        }
    )
    assert landed == {
        TopicPartition(large, 1): AppendResult(0, count),
        TopicPartition(small, 0): AppendResult(0, 7),
    }
    read = everything_in(config, large)[TopicPartition(large, 1)]
    assert [number_of(record) for record in read] == list(range(count))


def test_a_record_larger_than_max_message_bytes_is_refused_for_good(
    config: KafkaConfig, writer: Writer
) -> None:
    usual = TopicPartition(make_topic(config, partitions=1), 0)
    roomy = TopicPartition(make_topic(config, partitions=1, max_message_bytes="4000000"), 0)
    two_mb: list[ProducerRecord] = [(b"key", b"v" * 2_000_000, ())]
    with pytest.raises(AppendFailed) as failed:
        writer.append({usual: two_mb, roomy: two_mb})
    assert isinstance(failed.value.errors[usual], kafka_errors.MessageSizeTooLargeError)
    assert not failed.value.retriable
    assert failed.value.landed == {roomy: AppendResult(0, 1)}
    assert writer.append({usual: numbered(range(1))}) == {usual: AppendResult(0, 1)}


def test_appending_to_a_missing_topic_does_not_create_it(config: KafkaConfig, writer: Writer) -> None:
    here, nowhere = (
        TopicPartition(make_topic(config), 0),
        TopicPartition(f"nowhere-{uuid.uuid4().hex[:8]}", 0),
    )
    with pytest.raises(AppendFailed) as failed:
        writer.append({here: numbered(range(1)), nowhere: numbered(range(1))})
    assert isinstance(failed.value.errors[nowhere], kafka_errors.UnknownTopicOrPartitionError)
    assert failed.value.retriable
    assert failed.value.landed == {here: AppendResult(0, 1)}
    with admin(config) as client:
        assert nowhere.topic not in client.list_topics()


def test_records_of_a_group_commit_all_arrive(config: KafkaConfig, writer: Writer) -> None:
    topic = make_topic(config)
    reported = Reported()
    group = GroupCommit(writer, reported.report, waiting_max=50_000, waiting_bytes_max=1 << 26, deadline_s=10)
    for n, record in enumerate(numbered(range(20_000))):
        group.submit(TopicPartition(topic, n % PARTITIONS), record, n)
    group.close(timeout_s=20)
    assert sorted(reported.landed) == list(range(20_000))
    assert reported.reports < 2000, "produce batches do not grow under load"
    read = everything_in(config, topic)
    assert sorted(number_of(r) for records in read.values() for r in records) == list(range(20_000))


class Reported:
    """What a group commit has reported."""

    def __init__(self) -> None:
        self.landed: list[int] = []
        self.failed: dict[int, CampusError] = {}
        self.reports = 0

    def report(self, landed: Any, failed: Any) -> None:
        self.reports += 1
        self.landed.extend(landed)
        self.failed.update(failed)


def append_until_failure(writer: Writer, tp: TopicPartition, acknowledged: list[int]) -> AppendFailed:
    """Append 500 records at a time until an append fails; returns the failure."""
    for start in range(0, 10_000_000, 500):
        numbers = range(start, start + 500)
        try:
            writer.append({tp: numbered(numbers)})
        except AppendFailed as failed:
            return failed
        acknowledged.extend(numbers)
    raise AssertionError("the broker never went")


def first_success_after(
    writer: Writer, records: Mapping[TopicPartition, list[ProducerRecord]], own_broker: OneKafka
) -> float:
    """Append again and again; returns how long after the port opened the first append landed, in seconds."""
    opened_at: SimpleQueue[float] = SimpleQueue()

    def watch() -> None:
        wait_until(lambda: listens(own_broker.address), Event(), timeout_s=60, every_s=0.01)
        opened_at.put(time.monotonic())

    threading.Thread(target=watch).start()
    threading.Thread(target=own_broker.start).start()
    deadline = time.monotonic() + 60
    while not lands(writer, records):
        assert time.monotonic() < deadline, "the broker did not come back"
    landed_at = time.monotonic()
    return landed_at - opened_at.get(timeout=60)


def lands(writer: Writer, records: Mapping[TopicPartition, list[ProducerRecord]]) -> bool:
    try:
        writer.append(records)
    except AppendFailed as failed:
        if not failed.retriable:
            raise
        return False
    return True


def test_a_killed_broker_fails_the_append_at_once_and_is_found_again(
    own_broker: OneKafka,
) -> None:
    topic = make_topic(own_broker.kafka, partitions=1)
    tp, acknowledged = TopicPartition(topic, 0), list[int]()
    with closing(Writer(own_broker.kafka, client_id="test")) as writer:
        killed_at: SimpleQueue[float] = SimpleQueue()

        def kill_under_load() -> None:
            wait_until(lambda: len(acknowledged) > 5000, Event(), timeout_s=30, every_s=0.001)
            killed_at.put(time.monotonic())
            own_broker.kill()

        killer = threading.Thread(target=kill_under_load)
        killer.start()
        failed = append_until_failure(writer, tp, acknowledged)
        assert time.monotonic() - killed_at.get(timeout=10) < 1
        assert failed.retriable
        killer.join(30)
        # At most 0.36 s, on a machine that is not busy.
        assert first_success_after(writer, {tp: numbered(range(1))}, own_broker) < 3
    read = [number_of(r) for r in everything_in(own_broker.kafka, topic, partitions=1)[tp]]
    assert read[: len(acknowledged)] == acknowledged, "an acknowledged record is lost, or out of order"


def test_submitted_records_survive_a_broker_that_is_killed_and_comes_back(
    own_broker: OneKafka,
) -> None:
    topic, count = make_topic(own_broker.kafka), 10_000
    reported = Reported()
    with closing(Writer(own_broker.kafka, client_id="test")) as writer:
        group = GroupCommit(
            writer, reported.report, waiting_max=count, waiting_bytes_max=1 << 26, deadline_s=40
        )
        for n, record in enumerate(numbered(range(count))):
            if n == count // 2:
                own_broker.kill()
            group.submit(TopicPartition(topic, n % PARTITIONS), record, n)
        own_broker.start()
        group.close(timeout_s=60)
    assert reported.failed == {}
    assert sorted(reported.landed) == list(range(count))
    read = everything_in(own_broker.kafka, topic)
    assert {number_of(r) for records in read.values() for r in records} == set(range(count))


def test_a_paused_broker_fails_the_append_after_its_timeout(
    own_broker: OneKafka,
) -> None:
    tp = TopicPartition(make_topic(own_broker.kafka, partitions=1), 0)
    with closing(Writer(own_broker.kafka, client_id="test")) as writer:
        assert writer.append({tp: numbered(range(1))}) == {tp: AppendResult(0, 1)}
        os.kill(own_broker.pid, signal.SIGSTOP)
        try:  # an append may still land: a process with many threads does not stop at one moment
            failed, took_s = first_failure(writer, {tp: numbered(range(1))}, timeout_s=0.5)
        finally:
            os.kill(own_broker.pid, signal.SIGCONT)
        assert failed.retriable
        assert 0.5 <= took_s < 1.5
        deadline = time.monotonic() + 20
        while not lands(writer, {tp: numbered(range(1))}):
            assert time.monotonic() < deadline, "the broker runs again, but nothing lands"


def first_failure(
    writer: Writer, records: Mapping[TopicPartition, list[ProducerRecord]], *, timeout_s: float
) -> tuple[AppendFailed, float]:
    for _ in range(10_000):
        began = time.monotonic()
        try:
            writer.append(records, timeout_s=timeout_s)
        except AppendFailed as failed:
            return failed, time.monotonic() - began
    raise AssertionError("the broker does not stop")
