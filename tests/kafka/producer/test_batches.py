"""What goes into a produce batch, to which broker, and how an append reports success and failure."""

import threading
from collections.abc import Iterator
from threading import Event

import pytest
from kafka import errors as kafka_errors

from campus.addresses import wait_until
from campus.kafka.producer.batches import BATCH_BYTES_MAX, size_bound
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from tests.kafka.producer.fake_cluster import NOT_LEADER, TOO_LARGE, FakeCluster, Produced, held_by

A, B, C, D = (TopicPartition("orders", partition) for partition in range(4))
JOURNAL = TopicPartition("journal", 0)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(2, orders=[1, 1, 2, 2], journal=[1]) as cluster:
        yield cluster


@pytest.fixture
def writer(cluster: FakeCluster) -> Iterator[Writer]:
    writer = Writer(cluster.kafka, client_id="test")
    yield writer
    writer.close()


def some(count: int, *, size: int = 10, prefix: str = "r") -> list[ProducerRecord]:
    return [(b"key", f"{prefix}{n}".encode().ljust(size, b"."), ()) for n in range(count)]


def test_records_arrive_unchanged_at_the_returned_offsets(cluster: FakeCluster, writer: Writer) -> None:
    records: list[ProducerRecord] = [
        (b"pizza", b"one", [("owner", b"me"), ("empty", b"")]),
        (None, b"two", ()),
        (b"k", None, ()),
    ]
    assert writer.append({A: some(4)}) == {A: AppendResult(0, 4)}
    assert writer.append({A: records}) == {A: AppendResult(4, 7)}
    assert cluster.log[A][4:] == [(key, value, list(headers)) for key, value, headers in records]


def test_all_partitions_of_a_leader_go_in_one_request(cluster: FakeCluster, writer: Writer) -> None:
    landed = writer.append({tp: some(2) for tp in (A, B, JOURNAL)})
    assert landed == {A: AppendResult(0, 2), B: AppendResult(0, 2), JOURNAL: AppendResult(0, 2)}
    assert [(p.node, p.counts) for p in cluster.produced] == [(1, {A: 2, B: 2, JOURNAL: 2})]


def test_all_leaders_are_sent_their_part_at_the_same_time(cluster: FakeCluster, writer: Writer) -> None:
    both = threading.Barrier(2)

    def wait_for_the_other(_: Produced) -> None:
        both.wait(5)

    cluster.faults.extend([wait_for_the_other, wait_for_the_other])
    assert set(writer.append({A: some(1), C: some(1)})) == {A, C}
    assert {p.node for p in cluster.produced} == {1, 2}


def test_one_produce_batch_is_in_flight_at_a_time(cluster: FakeCluster, writer: Writer) -> None:
    held, done = Event(), Event()
    cluster.faults.append(held_by(held))
    writer.append_soon({A: some(1)}, lambda _: None)
    writer.append_soon({C: some(1)}, lambda _: done.set())
    assert wait_until(lambda: len(cluster.produced) == 1, Event(), timeout_s=5)
    assert not wait_until(lambda: len(cluster.produced) > 1, Event(), timeout_s=0.1)
    held.set()
    assert done.wait(5)
    assert [p.node for p in cluster.produced] == [1, 2]


def test_an_append_without_records_sends_nothing(cluster: FakeCluster, writer: Writer) -> None:
    assert writer.append({}) == {}
    assert writer.append({A: []}) == {}
    assert not cluster.produced


def test_records_beyond_the_batch_size_go_in_further_batches_in_order(
    cluster: FakeCluster, writer: Writer
) -> None:
    records = some(1000, size=2000)
    assert writer.append({A: records, B: some(1)}) == {A: AppendResult(0, 1000), B: AppendResult(0, 1)}
    sizes = [p.sizes[A] for p in cluster.produced]
    assert len(sizes) == 4
    assert max(sizes) <= BATCH_BYTES_MAX
    assert min(sizes[:-1]) > BATCH_BYTES_MAX - 2100, "a batch that could have taken another record"
    assert [value for _, value, _ in cluster.log[A]] == [value for _, value, _ in records]
    assert [B in p.counts for p in cluster.produced] == [True, False, False, False]


def test_a_record_larger_than_the_batch_size_goes_alone(cluster: FakeCluster, writer: Writer) -> None:
    writer.append({A: [*some(1), *some(1, size=BATCH_BYTES_MAX + 1), *some(1)]})
    assert [p.counts[A] for p in cluster.produced] == [1, 1, 1]


@pytest.mark.parametrize(
    "record",
    [
        (None, None, ()),
        (b"k" * 300, b"v" * 70_000, [("h" * 200, b"x" * 300), ("é" * 100, b"")]),
    ],
)
def test_size_bound_is_never_less_than_the_encoded_size(
    cluster: FakeCluster, writer: Writer, record: ProducerRecord
) -> None:
    empty_batch = 61
    writer.append({A: [record] * 5})
    size = cluster.produced[0].sizes[A] - empty_batch
    assert size <= 5 * size_bound(record) <= size + 5 * 60


def test_appends_from_several_threads_do_not_mix(cluster: FakeCluster, writer: Writer) -> None:
    ranges: dict[str, list[AppendResult]] = {name: [] for name in "abcd"}

    def append_often(name: str) -> None:
        for n in range(20):
            ranges[name].append(writer.append({A: some(3, prefix=f"{name}{n}-")})[A])

    threads = [threading.Thread(target=append_often, args=(name,)) for name in ranges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    values = [value.decode().rstrip(".") for _, value, _ in cluster.log[A]]
    for name, landed in ranges.items():
        found = [values[at.first : at.end] for at in landed]
        assert found == [[f"{name}{n}-{i}" for i in range(3)] for n in range(20)]


def test_appends_are_served_in_the_order_they_were_made(cluster: FakeCluster, writer: Writer) -> None:
    done = Event()
    for n in range(50):
        writer.append_soon({A: some(1, prefix=f"{n}-")}, lambda _: None)
    writer.append_soon({A: some(1, prefix="end-")}, lambda _: done.set())
    assert done.wait(5)
    found = [int(value.split(b"-")[0]) for _, value, _ in cluster.log[A][:-1]]
    assert found == list(range(50))


def test_one_refused_partition_fails_the_append_and_the_others_have_landed(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.faults.append(lambda _: {B: TOO_LARGE})
    with pytest.raises(AppendFailed, match=r"orders\[1\] .*MessageSizeTooLarge.*will not help") as failed:
        writer.append({A: some(1), B: some(1), JOURNAL: some(1)})
    assert set(failed.value.errors) == {B} == set(failed.value.refused)
    assert not failed.value.retriable
    assert failed.value.landed == {A: AppendResult(0, 1), JOURNAL: AppendResult(0, 1)}


def test_a_missing_topic_fails_alone_and_can_be_retried(cluster: FakeCluster, writer: Writer) -> None:
    nowhere = TopicPartition("payments", 0)
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1), nowhere: some(1)})
    assert isinstance(failed.value.errors[nowhere], kafka_errors.UnknownTopicOrPartitionError)
    assert failed.value.retriable
    assert failed.value.landed == {A: AppendResult(0, 1)}
    cluster.topics["payments"] = [2]
    assert writer.append({nowhere: some(1)}) == {nowhere: AppendResult(0, 1)}


def test_the_error_names_a_missing_partition(writer: Writer) -> None:
    with pytest.raises(AppendFailed, match=r"orders\[9\] does not exist"):
        writer.append({TopicPartition("orders", 9): some(1)})


def test_a_leaderless_partition_can_be_retried(cluster: FakeCluster, writer: Writer) -> None:
    cluster.topics["orders"][0] = -1
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1), B: some(1)})
    assert isinstance(failed.value.errors[A], kafka_errors.LeaderNotAvailableError)
    assert failed.value.retriable
    assert failed.value.landed == {B: AppendResult(0, 1)}


def test_the_append_after_a_leader_moved_finds_the_new_leader(cluster: FakeCluster, writer: Writer) -> None:
    writer.append({A: some(1)})
    cluster.topics["orders"][0] = 2
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1)})
    assert isinstance(failed.value.errors[A], kafka_errors.NotLeaderForPartitionError)
    assert failed.value.retriable
    assert writer.append({A: some(1)}) == {A: AppendResult(1, 2)}
    assert [p.node for p in cluster.produced] == [1, 1, 2]


def test_metadata_is_requested_once_while_no_leader_moves(cluster: FakeCluster, writer: Writer) -> None:
    for _ in range(10):
        writer.append({A: some(1), C: some(1)})
    assert cluster.asked["MetadataRequest"] == 1
    writer.append({JOURNAL: some(1)})  # a new topic
    writer.append({A: some(1)})
    assert cluster.asked["MetadataRequest"] == 2


def test_a_failure_separates_refused_from_retriable_partitions(cluster: FakeCluster, writer: Writer) -> None:
    cluster.faults.append(lambda _: {A: NOT_LEADER, B: TOO_LARGE})
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1), B: some(1)})
    assert set(failed.value.errors) == {A, B}
    assert set(failed.value.refused) == {B}
    assert not failed.value.retriable


def test_a_partition_whose_second_batch_fails_is_reported_as_failed(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.faults.extend([lambda _: None, lambda _: {A: NOT_LEADER}])
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(2, size=400_000), B: some(1)})
    assert set(failed.value.errors) == {A}
    assert failed.value.landed == {B: AppendResult(0, 1)}
    assert len(cluster.log[A]) == 1


def test_a_record_that_cannot_be_encoded_fails_its_append_but_not_the_writer(writer: Writer) -> None:
    with pytest.raises(AppendFailed, match="Not supported type for value") as failed:
        writer.append({A: [(b"k", 17, ())]})  # type: ignore[list-item]
    assert isinstance(failed.value.__cause__, TypeError)
    assert not failed.value.retriable
    assert writer.append({A: some(1)}) == {A: AppendResult(0, 1)}
