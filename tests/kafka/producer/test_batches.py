"""What goes into a round, to whom, and how a call learns where it landed or what went wrong."""

import threading
from collections.abc import Iterator
from threading import Event

import pytest
from kafka import errors as kafka_errors

from campus.addresses import wait_until
from campus.kafka.producer.batches import BATCH_BYTES_MAX, size_most
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


def test_records_arrive_whole_and_the_offsets_are_theirs(cluster: FakeCluster, writer: Writer) -> None:
    records: list[ProducerRecord] = [
        (b"pizza", b"one", [("owner", b"me"), ("empty", b"")]),
        (None, b"two", ()),
        (b"k", None, ()),
    ]
    assert writer.append({A: some(4)}) == {A: AppendResult(0, 4)}
    assert writer.append({A: records}) == {A: AppendResult(4, 7)}
    assert cluster.log[A][4:] == [(key, value, list(headers)) for key, value, headers in records]


def test_all_places_of_a_leader_go_in_one_request(cluster: FakeCluster, writer: Writer) -> None:
    landed = writer.append({tp: some(2) for tp in (A, B, JOURNAL)})
    assert landed == {A: AppendResult(0, 2), B: AppendResult(0, 2), JOURNAL: AppendResult(0, 2)}
    assert [(p.node, p.counts) for p in cluster.produced] == [(1, {A: 2, B: 2, JOURNAL: 2})]


def test_leaders_are_asked_at_the_same_time(cluster: FakeCluster, writer: Writer) -> None:
    both = threading.Barrier(2)

    def wait_for_the_other(_: Produced) -> None:
        both.wait(5)

    cluster.faults.extend([wait_for_the_other, wait_for_the_other])
    assert set(writer.append({A: some(1), C: some(1)})) == {A, C}
    assert {p.node for p in cluster.produced} == {1, 2}


def test_the_next_round_waits_for_the_one_before(cluster: FakeCluster, writer: Writer) -> None:
    held, done = Event(), Event()
    cluster.faults.append(held_by(held))
    writer.append_soon({A: some(1)}, lambda _: None)
    writer.append_soon({C: some(1)}, lambda _: done.set())
    assert wait_until(lambda: len(cluster.produced) == 1, Event(), timeout_s=5)
    assert not wait_until(lambda: len(cluster.produced) > 1, Event(), timeout_s=0.1)
    held.set()
    assert done.wait(5)
    assert [p.node for p in cluster.produced] == [1, 2]


def test_nothing_to_append_is_no_round(cluster: FakeCluster, writer: Writer) -> None:
    assert writer.append({}) == {}
    assert writer.append({A: []}) == {}
    assert not cluster.produced


def test_what_is_more_than_a_batch_goes_in_further_rounds(cluster: FakeCluster, writer: Writer) -> None:
    records = some(1000, size=2000)
    assert writer.append({A: records, B: some(1)}) == {A: AppendResult(0, 1000), B: AppendResult(0, 1)}
    sizes = [p.sizes[A] for p in cluster.produced]
    assert len(sizes) == 4
    assert max(sizes) <= BATCH_BYTES_MAX
    assert min(sizes[:-1]) > BATCH_BYTES_MAX - 2100, "a batch that could have taken another record"
    assert [value for _, value, _ in cluster.log[A]] == [value for _, value, _ in records]
    assert [B in p.counts for p in cluster.produced] == [True, False, False, False]


def test_a_record_larger_than_a_batch_goes_alone(cluster: FakeCluster, writer: Writer) -> None:
    writer.append({A: [*some(1), *some(1, size=BATCH_BYTES_MAX + 1), *some(1)]})
    assert [p.counts[A] for p in cluster.produced] == [1, 1, 1]


@pytest.mark.parametrize(
    "record",
    [
        (None, None, ()),
        (b"k" * 300, b"v" * 70_000, [("h" * 200, b"x" * 300), ("é" * 100, b"")]),
    ],
)
def test_size_most_is_never_less_than_the_size(
    cluster: FakeCluster, writer: Writer, record: ProducerRecord
) -> None:
    empty_batch = 61
    writer.append({A: [record] * 5})
    size = cluster.produced[0].sizes[A] - empty_batch
    assert size <= 5 * size_most(record) <= size + 5 * 60


def test_calls_from_several_threads_do_not_mix(cluster: FakeCluster, writer: Writer) -> None:
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
        told = [values[at.first : at.end] for at in landed]
        assert told == [[f"{name}{n}-{i}" for i in range(3)] for n in range(20)]


def test_calls_are_served_in_the_order_they_came(cluster: FakeCluster, writer: Writer) -> None:
    done = Event()
    for n in range(50):
        writer.append_soon({A: some(1, prefix=f"{n}-")}, lambda _: None)
    writer.append_soon({A: some(1, prefix="end-")}, lambda _: done.set())
    assert done.wait(5)
    told = [int(value.split(b"-")[0]) for _, value, _ in cluster.log[A][:-1]]
    assert told == list(range(50))


def test_one_refused_place_fails_the_call_and_the_others_have_landed(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.faults.append(lambda _: {B: TOO_LARGE})
    with pytest.raises(AppendFailed, match=r"orders\[1\] .*MessageSizeTooLarge.*will not help") as failed:
        writer.append({A: some(1), B: some(1), JOURNAL: some(1)})
    assert set(failed.value.errors) == {B} == set(failed.value.refused)
    assert not failed.value.retriable
    assert failed.value.landed == {A: AppendResult(0, 1), JOURNAL: AppendResult(0, 1)}


def test_a_topic_that_is_not_there_fails_alone_and_may_come(cluster: FakeCluster, writer: Writer) -> None:
    nowhere = TopicPartition("payments", 0)
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1), nowhere: some(1)})
    assert isinstance(failed.value.errors[nowhere], kafka_errors.UnknownTopicOrPartitionError)
    assert failed.value.retriable
    assert failed.value.landed == {A: AppendResult(0, 1)}
    cluster.topics["payments"] = [2]
    assert writer.append({nowhere: some(1)}) == {nowhere: AppendResult(0, 1)}


def test_a_partition_that_is_not_there_is_named(writer: Writer) -> None:
    with pytest.raises(AppendFailed, match=r"orders\[9\] does not exist"):
        writer.append({TopicPartition("orders", 9): some(1)})


def test_a_partition_without_a_leader_can_be_tried_again(cluster: FakeCluster, writer: Writer) -> None:
    cluster.topics["orders"][0] = -1
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1), B: some(1)})
    assert isinstance(failed.value.errors[A], kafka_errors.LeaderNotAvailableError)
    assert failed.value.retriable
    assert failed.value.landed == {B: AppendResult(0, 1)}


def test_a_leader_that_moved_is_found_by_the_next_call(cluster: FakeCluster, writer: Writer) -> None:
    writer.append({A: some(1)})
    cluster.topics["orders"][0] = 2
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1)})
    assert isinstance(failed.value.errors[A], kafka_errors.NotLeaderForPartitionError)
    assert failed.value.retriable
    assert writer.append({A: some(1)}) == {A: AppendResult(1, 2)}
    assert [p.node for p in cluster.produced] == [1, 1, 2]


def test_metadata_is_asked_once_while_nothing_moves(cluster: FakeCluster, writer: Writer) -> None:
    for _ in range(10):
        writer.append({A: some(1), C: some(1)})
    assert cluster.asked["MetadataRequest"] == 1
    writer.append({JOURNAL: some(1)})  # a topic that it has not met
    writer.append({A: some(1)})
    assert cluster.asked["MetadataRequest"] == 2


def test_one_place_refused_and_one_to_be_tried_again_are_told_apart(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.faults.append(lambda _: {A: NOT_LEADER, B: TOO_LARGE})
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(1), B: some(1)})
    assert set(failed.value.errors) == {A, B}
    assert set(failed.value.refused) == {B}
    assert not failed.value.retriable


def test_a_later_round_that_fails_leaves_the_place_unknown(cluster: FakeCluster, writer: Writer) -> None:
    cluster.faults.extend([lambda _: None, lambda _: {A: NOT_LEADER}])
    with pytest.raises(AppendFailed) as failed:
        writer.append({A: some(2, size=400_000), B: some(1)})
    assert set(failed.value.errors) == {A}
    assert failed.value.landed == {B: AppendResult(0, 1)}
    assert len(cluster.log[A]) == 1


def test_a_record_that_cannot_be_encoded_fails_the_call_and_not_the_writer(writer: Writer) -> None:
    with pytest.raises(AppendFailed, match="Not supported type for value") as failed:
        writer.append({A: [(b"k", 17, ())]})  # type: ignore[list-item]
    assert isinstance(failed.value.__cause__, TypeError)
    assert not failed.value.retriable
    assert writer.append({A: some(1)}) == {A: AppendResult(0, 1)}
