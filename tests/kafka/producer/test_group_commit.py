"""Records that arrive during a produce batch are sent in the next; each is reported once, before its
deadline."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest
from kafka import errors as kafka_errors

from campus.errors import CampusError
from campus.kafka.producer.batches import size_bound
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.group_commit import (
    PRODUCE_BATCH_BYTES_MAX,
    AckTimeout,
    Backpressure,
    GroupCommit,
    GroupCommitClosed,
)
from campus.kafka.producer.writer import Outcome
from campus.kafka.records import AppendResult, ProducerRecord, Records, TopicPartition

A, B = TopicPartition("orders", 0), TopicPartition("orders", 1)


@dataclass
class FakeWriter:
    """Keeps its produce batches; the test decides when and how each ends, and moves the clock."""

    now_s: float = 100.0
    batches: list[Records] = field(default_factory=list)
    in_flight: list[Callable[[Outcome], None]] = field(default_factory=list)
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    timeouts_s: list[float | None] = field(default_factory=list)
    closed: bool = False

    def append_soon(
        self, records: Records, on_done: Callable[[Outcome], None], *, timeout_s: float | None = None
    ) -> None:
        if self.closed:
            raise WriterClosed
        assert not self.in_flight, "two produce batches at once"
        self.batches.append(records)
        self.timeouts_s.append(timeout_s)
        self.in_flight.append(on_done)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> None:
        if self.closed:
            raise WriterClosed
        self.timers.append((self.now_s + delay_s, callback))

    def wait_for(self, queue: "SimpleQueue[None]", timeout_s: float) -> None:
        queue.get(timeout=timeout_s)

    def land(self) -> None:
        self.in_flight.pop()({tp: AppendResult(0, len(records)) for tp, records in self.batches[-1].items()})

    def fail(self, errors: dict[TopicPartition, Exception]) -> None:
        tps = self.batches[-1].keys()
        self.in_flight.pop()(AppendFailed(errors, {p: AppendResult(0, 1) for p in tps if p not in errors}))

    def fail_all(self, error: Exception) -> None:
        self.fail(dict.fromkeys(self.batches[-1], error))

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now_s]
        self.timers = [timer for timer in self.timers if timer not in due]
        for _, callback in due:
            callback()

    def values(self, index: int = -1) -> dict[TopicPartition, list[bytes | None]]:
        return {tp: [value for _, value, _ in records] for tp, records in self.batches[index].items()}


@dataclass
class Reports:
    all: list[tuple[list[str], list[tuple[str, CampusError]]]] = field(default_factory=list)
    on_report: Callable[[], None] = lambda: None

    def __call__(self, landed: Sequence[str], failed: Sequence[tuple[str, CampusError]]) -> None:
        self.on_report()
        self.all.append((list(landed), list(failed)))

    @property
    def landed(self) -> list[str]:
        return [token for landed, _ in self.all for token in landed]

    @property
    def failed(self) -> dict[str, CampusError]:
        return {token: error for _, failed in self.all for token, error in failed}


def a_record(name: str, *, size: int = 0) -> ProducerRecord:
    return (b"pizza", name.encode().ljust(size, b"."), ())


class Commit:
    """A group commit with a fake writer, and its reports."""

    def __init__(self, *, records_max: int = 100, bytes_max: int = 1 << 24, deadline_s: float = 10) -> None:
        self.writer = FakeWriter()
        self.reports = Reports()
        self.group = GroupCommit[str](
            self.writer,
            self.reports,
            waiting_max=records_max,
            waiting_bytes_max=bytes_max,
            deadline_s=deadline_s,
            clock=lambda: self.writer.now_s,
        )

    def unreported(self) -> tuple[int, int]:
        """How many records, and bytes, count against the limits."""
        return self.group._count, self.group._bytes

    def takes(self, *names: str, tp: TopicPartition = A, size: int = 0) -> "Commit":
        for name in names:
            self.group.submit(tp, a_record(name, size=size), name)
        return self


AWAY = kafka_errors.KafkaConnectionError("gone")
TOO_LARGE = kafka_errors.MessageSizeTooLargeError("too large")


def test_a_lone_record_is_sent_at_once() -> None:
    commit = Commit().takes("one")
    assert commit.writer.values() == {A: [b"one"]}
    assert commit.reports.all == []
    commit.writer.land()
    assert commit.reports.all == [(["one"], [])]


def test_records_submitted_during_a_produce_batch_go_together_in_the_next() -> None:
    commit = Commit().takes("one").takes("two", "three").takes("four", tp=B)
    assert len(commit.writer.batches) == 1
    commit.writer.land()
    assert commit.writer.values() == {A: [b"two", b"three"], B: [b"four"]}
    commit.writer.land()
    assert commit.reports.all == [(["one"], []), (["two", "three", "four"], [])]
    assert not commit.writer.in_flight


def test_the_next_produce_batch_is_sent_before_the_last_is_reported() -> None:
    commit = Commit().takes("one", "two")
    in_flight: list[int] = []
    commit.reports.on_report = lambda: in_flight.append(len(commit.writer.in_flight))
    commit.writer.land()
    assert in_flight == [1]


def test_a_produce_batch_is_no_larger_than_one_record_batch() -> None:
    commit = Commit().takes("first").takes(*"abcdefgh", size=200_000)
    sizes = []
    while commit.writer.in_flight:
        sizes.append(sum(size_bound(r) for records in commit.writer.batches[-1].values() for r in records))
        commit.writer.land()
    assert len(sizes) == 5
    assert max(sizes) <= PRODUCE_BATCH_BYTES_MAX
    assert commit.reports.landed == ["first", *"abcdefgh"]


def test_a_record_larger_than_a_produce_batch_goes_alone() -> None:
    commit = Commit().takes("first", "a").takes("huge", size=PRODUCE_BATCH_BYTES_MAX + 1).takes("b")
    for _ in range(4):
        commit.writer.land()
    assert [len(records) for batch in commit.writer.batches for records in batch.values()] == [1, 1, 1, 1]


def test_a_record_beyond_the_count_limit_is_backpressure_and_never_sent() -> None:
    commit = Commit(records_max=3).takes("one", "two", "three")
    with pytest.raises(Backpressure, match="3 records"):
        commit.takes("four")
    commit.writer.land()
    commit.takes("five")
    commit.writer.land()
    commit.writer.land()
    assert commit.reports.landed == ["one", "two", "three", "five"]
    assert commit.unreported() == (0, 0)


def test_a_record_beyond_the_byte_limit_is_backpressure() -> None:
    commit = Commit(bytes_max=2500).takes("one", "two", size=1000)
    with pytest.raises(Backpressure):
        commit.takes("three", size=1000)
    commit.takes("small")
    assert commit.unreported()[0] == 3


def test_failed_records_are_sent_again_with_those_submitted_since() -> None:
    commit = Commit().takes("one").takes("two")
    commit.writer.fail_all(AWAY)
    assert commit.writer.values() == {A: [b"one", b"two"]}
    assert commit.reports.all == []
    commit.writer.land()
    assert commit.reports.all == [(["one", "two"], [])]


def test_only_the_failed_partition_is_sent_again() -> None:
    commit = Commit().takes("first").takes("a").takes("b", tp=B)
    commit.writer.land()
    commit.writer.fail({A: AWAY})
    assert commit.reports.landed == ["first", "b"]
    assert commit.writer.values() == {A: [b"a"]}
    commit.writer.land()
    assert commit.reports.landed == ["first", "b", "a"]


def test_a_leaderless_partition_does_not_delay_the_others() -> None:
    commit = Commit(records_max=100_000, deadline_s=10)
    leaderless, healthy = A, B
    size = PRODUCE_BATCH_BYTES_MAX // 100
    refused = kafka_errors.NotEnoughReplicasError()
    for second in range(30):
        for n in range(20):
            commit.takes(f"leaderless-{second}-{n}", tp=leaderless, size=size)
            commit.takes(f"healthy-{second}-{n}", tp=healthy, size=size)
        for _ in range(10):  # produce batches, of 100 records at most, while 40 come in
            if commit.writer.in_flight and leaderless in commit.writer.batches[-1]:
                commit.writer.fail({leaderless: refused})
            elif commit.writer.in_flight:
                commit.writer.land()
        commit.writer.wait(1)
        missing = [
            f"healthy-{second}-{n}" for n in range(20) if f"healthy-{second}-{n}" not in commit.reports.landed
        ]
        assert not missing, f"still wait after {second} s: {missing}"
    assert all(name.startswith("leaderless") for name in commit.reports.failed)
    assert len(commit.reports.failed) >= 15 * 20, "they are reported after their deadline"


def test_failed_records_go_first_in_the_next_produce_batch() -> None:
    commit = Commit().takes("first")
    commit.takes("second", "third", size=PRODUCE_BATCH_BYTES_MAX // 2)
    commit.writer.fail_all(kafka_errors.NotEnoughReplicasError())
    assert [value[:6].strip(b".") for value in commit.writer.values()[A]] == [b"first", b"second"]
    commit.takes("fourth")
    commit.writer.land()
    commit.writer.land()
    assert commit.reports.landed == ["first", "second", "third", "fourth"]


def test_a_refused_partition_fails_its_records_and_no_others() -> None:
    commit = Commit().takes("first").takes("a", "c").takes("b", tp=B)
    commit.writer.land()
    commit.writer.fail({A: TOO_LARGE})
    assert commit.reports.all[-1][0] == ["b"]
    assert set(commit.reports.failed) == {"a", "c"}
    assert isinstance(commit.reports.failed["a"], AppendFailed)
    assert not commit.writer.in_flight


def test_one_produce_batch_is_one_report_of_what_landed_and_what_was_refused() -> None:
    other = TopicPartition("orders", 2)
    commit = Commit().takes("first").takes("a").takes("b", tp=B).takes("c", tp=other)
    commit.writer.land()
    commit.writer.fail({A: TOO_LARGE, B: AWAY})
    assert len(commit.reports.all) == 2
    assert commit.reports.all[-1][0] == ["c"]
    assert [token for token, _ in commit.reports.all[-1][1]] == ["a"]
    assert commit.writer.values() == {B: [b"b"]}


def test_each_record_is_reported_as_ack_timeout_at_its_own_deadline() -> None:
    commit = Commit(deadline_s=10).takes("one")
    commit.writer.wait(4)
    commit.takes("two")
    commit.writer.wait(5.9)
    assert commit.reports.all == []
    commit.writer.wait(0.1)
    assert set(commit.reports.failed) == {"one"}
    assert isinstance(commit.reports.failed["one"], AckTimeout)
    assert "may still land" in str(commit.reports.failed["one"])
    commit.writer.wait(4)
    assert set(commit.reports.failed) == {"one", "two"}
    assert commit.unreported() == (0, 0)


def test_a_record_reported_as_ack_timeout_is_neither_reported_nor_sent_again() -> None:
    commit = Commit(deadline_s=10).takes("one", "two")
    commit.writer.wait(10)
    assert set(commit.reports.failed) == {"one", "two"}
    commit.writer.land()
    assert commit.reports.landed == []
    assert not commit.writer.in_flight
    commit.takes("three")
    commit.writer.wait(10)
    commit.writer.fail_all(AWAY)
    assert not commit.writer.in_flight
    assert len(commit.reports.all) == 2


def test_an_ack_timeout_names_the_last_failure() -> None:
    commit = Commit(deadline_s=10).takes("one")
    commit.writer.fail_all(AWAY)
    commit.writer.wait(10)
    assert "gone" in str(commit.reports.failed["one"])


def test_a_record_submitted_after_a_timeout_has_its_own_deadline() -> None:
    commit = Commit(deadline_s=10).takes("one")
    commit.writer.wait(10)
    commit.takes("two")  # the produce batch of "one" still hangs
    commit.writer.wait(10)
    assert set(commit.reports.failed) == {"one", "two"}


def test_an_attempt_takes_at_most_half_of_the_deadline() -> None:
    commit = Commit(deadline_s=10).takes("one")
    assert commit.writer.timeouts_s == [5]


def test_no_timer_is_left_when_nothing_waits() -> None:
    commit = Commit(deadline_s=10)
    for n in range(20):
        commit.takes(str(n))
        commit.writer.land()
    assert len(commit.writer.timers) == 1
    commit.writer.wait(10)
    assert commit.writer.timers == []


def test_close_waits_until_submitted_records_are_reported() -> None:
    commit = Commit().takes("one", "two")
    closing = threading.Thread(target=commit.group.close, kwargs={"timeout_s": 10})
    closing.start()
    commit.writer.land()
    assert closing.is_alive()
    commit.writer.land()
    closing.join(5)
    assert not closing.is_alive()
    assert commit.reports.landed == ["one", "two"]


def test_close_reports_the_rest_as_ack_timeout_and_accepts_no_more() -> None:
    commit = Commit().takes("one", "two")
    commit.group.close(timeout_s=0)
    assert set(commit.reports.failed) == {"one", "two"}
    with pytest.raises(GroupCommitClosed):
        commit.takes("three")
    commit.writer.land()
    assert commit.reports.landed == []
    assert not commit.writer.in_flight


def test_close_with_nothing_submitted_returns_at_once() -> None:
    Commit().group.close(timeout_s=10)


def test_when_its_writer_is_closed_all_records_are_reported_as_ack_timeout() -> None:
    commit = Commit().takes("one", "two")
    commit.writer.closed = True
    commit.writer.fail_all(WriterClosed())
    assert set(commit.reports.failed) == {"one", "two"}
    assert all(isinstance(error, AckTimeout) for error in commit.reports.failed.values())
    with pytest.raises(GroupCommitClosed):
        commit.takes("three")


def test_a_record_that_meets_a_closed_writer_is_reported() -> None:
    commit = Commit()
    commit.writer.closed = True
    commit.takes("one")
    assert set(commit.reports.failed) == {"one"}


def test_each_record_of_several_threads_is_reported_once() -> None:
    """The writer runs on this thread, and fails every third produce batch."""
    commit = Commit(records_max=100_000)
    names = [[f"{thread}-{n}" for n in range(2000)] for thread in range(3)]
    threads = [threading.Thread(target=commit.takes, args=part) for part in names]
    for thread in threads:
        thread.start()
    ended = 0
    while any(thread.is_alive() for thread in threads) or commit.writer.in_flight:
        if commit.writer.in_flight:
            ended += 1
            commit.writer.fail_all(AWAY) if ended % 3 == 0 else commit.writer.land()
    assert sorted(commit.reports.landed) == sorted(name for part in names for name in part)
    assert commit.reports.failed == {}
    assert commit.unreported() == (0, 0)


def test_records_submitted_in_one_turn_of_a_loop_go_in_one_produce_batch() -> None:
    turn: list[Callable[[], None]] = []
    writer, reports = FakeWriter(), Reports()
    commit = GroupCommit(
        writer, reports, waiting_max=9, waiting_bytes_max=9_000, deadline_s=10, schedule=turn.append
    )
    for name in ("first", "second", "third"):
        commit.submit(A, (None, name.encode(), ()), name)
    assert (len(turn), writer.batches) == (1, [])
    turn.pop()()
    assert writer.values() == {A: [b"first", b"second", b"third"]}


def test_records_whose_scheduled_send_never_runs_are_reported_at_close() -> None:
    writer, reports = FakeWriter(), Reports()
    commit = GroupCommit(
        writer, reports, waiting_max=9, waiting_bytes_max=9_000, deadline_s=10, schedule=lambda send: None
    )
    commit.submit(A, (None, b"x", ()), "x")
    commit.close(timeout_s=0.01)
    [(landed, [(name, why)])] = reports.all
    assert (landed, name, type(why)) == ([], "x", AckTimeout)


def test_close_returns_after_the_last_report() -> None:
    commit = Commit().takes("one")
    closer = threading.Thread(target=lambda: commit.group.close(timeout_s=10))

    def while_it_reports() -> None:
        closer.start()
        closer.join(0.1)
        assert closer.is_alive()

    commit.reports.on_report = while_it_reports
    commit.writer.land()
    closer.join(10)
    assert (closer.is_alive(), commit.reports.landed) == (False, ["one"])
