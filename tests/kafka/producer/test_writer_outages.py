"""A writer while brokers are away, hang, throttle or move, and how it closes."""

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event

import pytest
from kafka import errors as kafka_errors

from campus.addresses import wait_until
from campus.config.settings import SecurityConfig
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.group_commit import GroupCommit
from campus.kafka.producer.writer import Outcome, Writer
from campus.kafka.records import AppendResult, TopicPartition
from tests.kafka.producer.fake_cluster import Cut, FakeCluster, Produced, held_by

A = TopicPartition("orders", 0)
RECORDS = {A: [(b"key", b"value", ())]}
OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(1, orders=[1]) as cluster:
        yield cluster


@pytest.fixture
def writer(cluster: FakeCluster) -> Iterator[Writer]:
    writer = Writer(cluster.kafka, client_id="test")
    yield writer
    writer.close()


class Stopwatch:
    def __enter__(self) -> "Stopwatch":
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.s = time.monotonic() - self._began


def cut(_: Produced) -> None:
    raise Cut


@pytest.fixture
def quiet_kafka(caplog: pytest.LogCaptureFixture) -> None:
    """As the program sets it: log records that pytest captures would keep errors, and so their sockets."""
    caplog.set_level(logging.CRITICAL, logger="kafka")


def appends(writer: Writer, *, timeout_s: float) -> bool:
    try:
        writer.append(RECORDS, timeout_s=timeout_s)
    except AppendFailed as failed:
        if not failed.retriable:
            raise
        return False
    return True


def tries_until(writer: Writer, enough: Callable[[int], bool], *, timeout_s: float = 5.0) -> int:
    """Append until it succeeds or `enough(failed)`; returns how many failed."""
    failed = 0
    while not enough(failed) and not appends(writer, timeout_s=timeout_s):
        failed += 1
    return failed


def test_an_append_fails_at_once_when_its_broker_is_killed(cluster: FakeCluster, writer: Writer) -> None:
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    held = Event()
    cluster.faults.append(held_by(held))
    writer.append_soon(RECORDS, outcomes.put, timeout_s=30)
    assert wait_until(lambda: len(cluster.produced) == 1, Event(), timeout_s=5)
    with Stopwatch() as took:
        cluster.stop(1)
        outcome = outcomes.get(timeout=5)
    held.set()
    assert took.s < 1
    assert isinstance(outcome, AppendFailed)
    assert outcome.retriable
    assert isinstance(outcome.errors[A], kafka_errors.KafkaConnectionError)


def test_a_connection_that_breaks_during_an_append_is_made_again(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.faults.append(cut)
    with pytest.raises(AppendFailed):
        writer.append(RECORDS)
    assert writer.append(RECORDS) == {A: AppendResult(0, 1)}


def test_a_probe_is_answered_without_a_record_if_and_only_if_the_broker_is_up(
    cluster: FakeCluster, writer: Writer
) -> None:
    answered: SimpleQueue[None] = SimpleQueue()
    writer.probe(lambda: answered.put(None), timeout_s=5)
    answered.get(timeout=5)
    cluster.stop(1)
    assert not appends(writer, timeout_s=5)
    writer.probe(lambda: answered.put(None), timeout_s=0.2)
    with pytest.raises(Empty):
        answered.get(timeout=0.5)
    cluster.start(1)
    writer.probe(lambda: answered.put(None), timeout_s=5)
    answered.get(timeout=5)
    assert not cluster.produced
    assert appends(writer, timeout_s=5)


def test_a_probe_asks_nothing_while_an_append_is_in_flight(cluster: FakeCluster, writer: Writer) -> None:
    held, answers = Event(), SimpleQueue[str]()
    writer.append(RECORDS)
    cluster.faults.append(held_by(held))
    commit = GroupCommit[str](
        writer, lambda landed, _: answers.put("landed"), waiting_max=1, waiting_bytes_max=1000, deadline_s=10
    )
    commit.submit(A, (None, b"value", ()), "token")
    assert wait_until(lambda: len(cluster.produced) == 2, Event(), timeout_s=5)
    commit.probe(lambda: answers.put("asked"), timeout_s=5)
    with pytest.raises(Empty):
        answers.get(timeout=0.2)
    held.set()
    assert answers.get(timeout=5) == "landed"
    assert cluster.asked["MetadataRequest"] == 1
    commit.probe(lambda: answers.put("asked"), timeout_s=5)
    assert answers.get(timeout=5) == "asked"


def test_a_probe_is_not_answered_while_some_partition_is_leaderless() -> None:
    answered: SimpleQueue[None] = SimpleQueue()
    with (
        FakeCluster(1, orders=[1, -1]) as cluster,
        closing(Writer(cluster.kafka, client_id="test")) as writer,
    ):
        writer.append(RECORDS)
        writer.probe(lambda: answered.put(None), timeout_s=5)
        assert wait_until(lambda: cluster.asked["MetadataRequest"] == 2, Event(), timeout_s=5)
        cluster.topics["orders"] = [1, 1]
        writer.probe(lambda: answered.put(None), timeout_s=5)
        answered.get(timeout=5)
        with pytest.raises(Empty):
            answered.get(timeout=0.1)


def test_a_broker_that_is_back_is_found_quickly(cluster: FakeCluster, writer: Writer) -> None:
    writer.append(RECORDS)
    cluster.stop(1)
    with Stopwatch() as away:
        assert tries_until(writer, lambda failed: failed == 4) == 4
    assert away.s < 4, "a broker that refuses is no reason to wait for the timeout"
    cluster.start(1)
    with Stopwatch() as back:
        assert writer.append(RECORDS) == {A: AppendResult(1, 2)}
    assert back.s < 0.8  # at most 0.36 s, on a machine that is not busy


def test_a_writer_can_be_made_before_its_broker_is_up(cluster: FakeCluster, writer: Writer) -> None:
    cluster.stop(1)
    with Stopwatch() as took, pytest.raises(AppendFailed) as failed:
        writer.append(RECORDS, timeout_s=5)
    assert took.s < 2
    assert failed.value.retriable
    assert tries_until(writer, lambda failed: failed == 3) == 3
    cluster.start(1)
    assert tries_until(writer, lambda failed: failed > 3) <= 1


@pytest.mark.parametrize("refuses", [True, False])
def test_an_absent_broker_is_tried_a_few_times_a_second(
    cluster: FakeCluster, writer: Writer, refuses: bool
) -> None:
    cluster.drops_connections = not refuses
    if refuses:
        cluster.stop(1)
    deadline = time.monotonic() + 1.0
    failed = tries_until(writer, lambda _: time.monotonic() > deadline)
    assert 2 <= failed <= 10
    assert cluster.nodes[1].accepted <= failed


def test_an_append_to_a_broker_that_never_answers_fails_after_its_timeout(
    cluster: FakeCluster, writer: Writer
) -> None:
    writer.append(RECORDS)
    cluster.silent.set()
    with Stopwatch() as took, pytest.raises(AppendFailed) as failed:
        writer.append(RECORDS, timeout_s=0.3)
    assert 0.3 <= took.s < 1
    assert failed.value.retriable
    cluster.silent.clear()
    tries_until(writer, lambda failed: failed > 3)
    assert writer.append(RECORDS)[A].end == len(cluster.log[A])


def test_an_append_to_a_broker_that_only_accepts_connections_fails_after_its_timeout(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.silent.set()
    for _ in range(2):
        with Stopwatch() as took, pytest.raises(AppendFailed) as failed:
            writer.append(RECORDS, timeout_s=0.2)
        assert 0.2 <= took.s < 1
        assert failed.value.retriable
    cluster.silent.clear()
    assert writer.append(RECORDS) == {A: AppendResult(0, 1)}
    assert cluster.nodes[1].accepted <= 2


def test_a_tls_handshake_that_hangs_is_given_up_and_tried_again(cluster: FakeCluster) -> None:
    cluster.silent.set()
    tls = cluster.kafka.with_changes(connect_timeout_s=0.2, security=SecurityConfig(protocol="SSL"))
    with closing(Writer(tls, client_id="test")) as writer:
        for attempt in (1, 2):
            with pytest.raises(AppendFailed, match=r"not connected within 0\.2 s"):
                writer.append(RECORDS, timeout_s=5)
            assert cluster.nodes[1].accepted == attempt


def test_an_append_whose_timeout_is_over_before_its_turn_is_not_sent(
    cluster: FakeCluster, writer: Writer
) -> None:
    writer.append(RECORDS)
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    cluster.silent.set()
    for _ in range(3):
        writer.append_soon(RECORDS, outcomes.put, timeout_s=0.3)
    with Stopwatch() as took:
        failed = [outcomes.get(timeout=5) for _ in range(3)]
    assert all(isinstance(outcome, AppendFailed) and outcome.retriable for outcome in failed)
    assert took.s < 1
    assert cluster.asked["ProduceRequest"] == 1


def test_with_one_broker_away_the_others_name_the_new_leader() -> None:
    with FakeCluster(3, orders=[2]) as cluster:
        writer = Writer(cluster.kafka, client_id="test")
        writer.append(RECORDS)
        cluster.stop(2)
        cluster.topics["orders"] = [3]
        failed = tries_until(writer, lambda failed: failed > 5)
        writer.close()
        assert failed == 1
        assert cluster.produced[-1].node == 3


def test_brokers_that_hang_leave_time_to_ask_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.sample", lambda nodes, count: sorted(nodes, reverse=True))
    with FakeCluster(3, orders=[2]) as cluster, closing(Writer(cluster.kafka, client_id="test")) as writer:
        writer.append(RECORDS)
        cluster.nodes[2].hangs = cluster.nodes[3].hangs = True
        cluster.topics["orders"] = [1]
        assert not appends(writer, timeout_s=0.2)
        assert appends(writer, timeout_s=1.5)


def test_a_missing_topic_is_looked_up_a_few_times_a_second(cluster: FakeCluster, writer: Writer) -> None:
    del cluster.topics["orders"]
    deadline = time.monotonic() + 0.5
    failed = tries_until(writer, lambda _: time.monotonic() > deadline)
    assert failed <= cluster.asked["MetadataRequest"] <= 11


def test_a_leader_missing_from_the_metadata_can_be_retried(cluster: FakeCluster, writer: Writer) -> None:
    cluster.topics["orders"] = [7]
    assert tries_until(writer, lambda failed: failed == 2) == 2
    cluster.topics["orders"] = [1]
    assert writer.append(RECORDS) == {A: AppendResult(0, 1)}


def test_an_append_waits_for_a_throttled_connection(cluster: FakeCluster, writer: Writer) -> None:
    cluster.throttle_ms = 200
    writer.append(RECORDS)
    cluster.throttle_ms = 0
    with Stopwatch() as took:
        assert writer.append(RECORDS) == {A: AppendResult(1, 2)}
    assert 0.15 <= took.s < 1


def test_an_append_fails_unsent_if_its_connection_is_throttled_for_too_long(
    cluster: FakeCluster, writer: Writer
) -> None:
    cluster.throttle_ms = 5000
    writer.append(RECORDS)
    with Stopwatch() as took, pytest.raises(AppendFailed) as failed:
        writer.append(RECORDS, timeout_s=0.1)
    assert took.s < 1
    assert failed.value.retriable
    assert len(cluster.log[A]) == 1


def test_appending_in_a_callback_of_the_writer_is_an_assertion_error(writer: Writer) -> None:
    mistakes: SimpleQueue[AssertionError] = SimpleQueue()

    def append_there(_: Outcome) -> None:
        try:
            writer.append(RECORDS)
        except AssertionError as mistake:
            mistakes.put(mistake)

    writer.append_soon(RECORDS, append_there)
    assert "append_soon" in str(mistakes.get(timeout=5))


def test_a_callback_may_append_again_without_waiting(cluster: FakeCluster, writer: Writer) -> None:
    done = Event()
    writer.append_soon(RECORDS, lambda _: writer.append_soon(RECORDS, lambda _: done.set()))
    assert done.wait(5)
    assert len(cluster.log[A]) == 2


def test_a_callback_that_raises_is_logged_and_harms_no_other_append(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Outcome) -> None:
        raise ValueError("a bug in a callback")

    with caplog.at_level(logging.ERROR, logger="writer"):
        writer.append_soon(RECORDS, fail)
        assert writer.append(RECORDS) == {A: AppendResult(1, 2)}
    assert "a bug in a callback" in caplog.text


def test_call_later_runs_on_the_writers_thread(writer: Writer) -> None:
    names: SimpleQueue[str] = SimpleQueue()
    with Stopwatch() as took:
        writer.call_later(0.05, lambda: names.put(threading.current_thread().name))
        assert names.get(timeout=5) == "test-writer"
    assert took.s >= 0.05


def test_close_fails_appends_in_flight_and_waiting(cluster: FakeCluster) -> None:
    writer = Writer(cluster.kafka, client_id="test")
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    writer.append(RECORDS)
    cluster.silent.set()
    for _ in range(3):
        writer.append_soon(RECORDS, outcomes.put, timeout_s=30)
    with Stopwatch() as took:
        writer.close()
        failed = [outcomes.get(timeout=5) for _ in range(3)]
    assert took.s < 1
    for outcome in failed:
        assert isinstance(outcome, AppendFailed)
        assert isinstance(outcome.errors[A], WriterClosed)
    assert outcomes.empty()


def test_close_answers_an_append_without_records_and_those_behind_it(cluster: FakeCluster) -> None:
    writer = Writer(cluster.kafka, client_id="test")
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    cluster.silent.set()
    for records in (RECORDS, {}, RECORDS):
        writer.append_soon(records, outcomes.put, timeout_s=30)
    writer.close()
    first, empty, last = (outcomes.get(timeout=5) for _ in range(3))
    assert isinstance(first, AppendFailed) and isinstance(last, AppendFailed)
    assert empty == {}


def test_close_wakes_a_thread_that_waits_for_its_append(cluster: FakeCluster) -> None:
    writer = Writer(cluster.kafka, client_id="test")
    failures: SimpleQueue[AppendFailed] = SimpleQueue()
    cluster.silent.set()

    def append() -> None:
        try:
            writer.append(RECORDS, timeout_s=30)
        except AppendFailed as failed:
            failures.put(failed)

    threading.Thread(target=append).start()
    assert wait_until(lambda: cluster.nodes[1].accepted == 1, Event(), timeout_s=5)
    writer.close()
    assert isinstance(failures.get(timeout=5).errors[A], WriterClosed)


def test_a_closed_writer_raises_writer_closed(cluster: FakeCluster) -> None:
    writer = Writer(cluster.kafka, client_id="test")
    writer.close()
    writer.close()
    with pytest.raises(WriterClosed, match="is closed"):
        writer.append(RECORDS)
    with pytest.raises(WriterClosed):
        writer.append_soon(RECORDS, lambda _: None)
    with pytest.raises(WriterClosed):
        writer.call_later(0.01, lambda: None)


def test_closing_in_a_callback_of_the_writer_is_an_assertion_error(writer: Writer) -> None:
    mistakes: SimpleQueue[AssertionError] = SimpleQueue()

    def close_there() -> None:
        try:
            writer.close()
        except AssertionError as mistake:
            mistakes.put(mistake)

    writer.call_later(0, close_there)
    assert "cannot close" in str(mistakes.get(timeout=5))


def open_files() -> int:
    gc.collect()
    return len(list(OPEN_FILES.iterdir())) if OPEN_FILES.exists() else 0


@pytest.mark.usefixtures("quiet_kafka")
def test_closed_writers_leave_no_thread_and_no_socket_behind() -> None:
    threads, files = threading.active_count(), open_files()
    with FakeCluster(2, orders=[1, 2]) as cluster:
        endings: list[Callable[[], object]] = [list, lambda: cluster.stop(2), cluster.silent.set]
        for ending in endings:
            writer = Writer(cluster.kafka, client_id="test")
            writer.append_soon({**RECORDS, TopicPartition("orders", 1): RECORDS[A]}, lambda _: None)
            tries_until(writer, lambda failed: failed == 1)
            ending()
            tries_until(writer, lambda failed: failed == 3, timeout_s=0.1)
            writer.append_soon(RECORDS, lambda _: None)
            writer.close()
    assert threading.active_count() == threads
    assert open_files() == files


@pytest.mark.usefixtures("quiet_kafka")
def test_an_error_that_is_kept_keeps_no_socket_open(cluster: FakeCluster, writer: Writer) -> None:
    cluster.stop(1)
    outcomes: SimpleQueue[Outcome] = SimpleQueue()
    files = open_files()
    for _ in range(3):
        writer.append_soon(RECORDS, outcomes.put)
    kept = [outcomes.get(timeout=5) for _ in range(3)]
    assert all(isinstance(outcome, AppendFailed) for outcome in kept)
    assert open_files() == files


def test_appends_leave_no_timer_behind(cluster: FakeCluster, writer: Writer) -> None:
    writer.append(RECORDS)
    timers = len(writer._net._scheduled)
    for _ in range(50):
        writer.append(RECORDS)
    cluster.faults.append(cut)
    tries_until(writer, lambda failed: failed == 1)
    tries_until(writer, lambda failed: failed == 1)
    assert len(writer._net._scheduled) <= timers
