"""Orders that gather go together; every order taken is answered once, in its time."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue

import pytest
from kafka import errors as kafka_errors

from campus.errors import CampusError
from campus.kafka.producer.batches import size_most
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.group_commit import (
    ROUND_BYTES_MAX,
    AckTimeout,
    Backpressure,
    GroupClosed,
    GroupCommit,
)
from campus.kafka.producer.writer import Outcome
from campus.kafka.records import AppendResult, ProducerRecord, Records, TopicPartition

A, B = TopicPartition("orders", 0), TopicPartition("orders", 1)


@dataclass
class FakeWriter:
    """Keeps what it is given; the test says when a round ends, and how, and moves the clock."""

    now_s: float = 100.0
    rounds: list[Records] = field(default_factory=list)
    out: list[Callable[[Outcome], None]] = field(default_factory=list)
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    timeouts_s: list[float | None] = field(default_factory=list)
    closed: bool = False

    def append_soon(
        self, records: Records, done: Callable[[Outcome], None], *, timeout_s: float | None = None
    ) -> None:
        if self.closed:
            raise WriterClosed
        assert not self.out, "two rounds at once"
        self.rounds.append(records)
        self.timeouts_s.append(timeout_s)
        self.out.append(done)

    def ask_soon(self, answered: Callable[[], None], *, timeout_s: float) -> None:
        answered()

    def after(self, pause_s: float, callback: Callable[[], None]) -> None:
        if self.closed:
            raise WriterClosed
        self.timers.append((self.now_s + pause_s, callback))

    def wait_for(self, told: "SimpleQueue[None]", timeout_s: float) -> None:
        told.get(timeout=timeout_s)

    def land(self) -> None:
        self.out.pop()({tp: AppendResult(0, len(records)) for tp, records in self.rounds[-1].items()})

    def fail(self, errors: dict[TopicPartition, Exception]) -> None:
        tps = self.rounds[-1].keys()
        self.out.pop()(AppendFailed(errors, {p: AppendResult(0, 1) for p in tps if p not in errors}))

    def fail_all(self, error: Exception) -> None:
        self.fail(dict.fromkeys(self.rounds[-1], error))

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now_s]
        self.timers = [timer for timer in self.timers if timer not in due]
        for _, callback in due:
            callback()

    def values(self, index: int = -1) -> dict[TopicPartition, list[bytes | None]]:
        return {tp: [value for _, value, _ in those] for tp, those in self.rounds[index].items()}


@dataclass
class Reports:
    all: list[tuple[list[str], list[tuple[str, CampusError]]]] = field(default_factory=list)
    at_each: Callable[[], None] = lambda: None

    def __call__(self, landed: Sequence[str], failed: Sequence[tuple[str, CampusError]]) -> None:
        self.at_each()
        self.all.append((list(landed), list(failed)))

    @property
    def landed(self) -> list[str]:
        return [token for landed, _ in self.all for token in landed]

    @property
    def failed(self) -> dict[str, CampusError]:
        return {token: error for _, failed in self.all for token, error in failed}


def an_order(name: str, *, size: int = 0) -> ProducerRecord:
    return (b"pizza", name.encode().ljust(size, b"."), ())


class Shop:
    """A group commit over a fake writer, with what it has reported."""

    def __init__(self, *, orders_max: int = 100, bytes_max: int = 1 << 24, deadline_s: float = 10) -> None:
        self.writer = FakeWriter()
        self.reports = Reports()
        self.group = GroupCommit[str](
            self.writer,
            self.reports,
            waiting_max=orders_max,
            waiting_bytes_max=bytes_max,
            deadline_s=deadline_s,
            clock=lambda: self.writer.now_s,
        )

    def takes(self, *names: str, tp: TopicPartition = A, size: int = 0) -> "Shop":
        for name in names:
            self.group.submit(tp, an_order(name, size=size), name)
        return self


AWAY = kafka_errors.KafkaConnectionError("gone")
TOO_LARGE = kafka_errors.MessageSizeTooLargeError("too large")


def test_alone_an_order_goes_at_once() -> None:
    shop = Shop().takes("one")
    assert shop.writer.values() == {A: [b"one"]}
    assert shop.reports.all == []
    shop.writer.land()
    assert shop.reports.all == [(["one"], [])]


def test_what_comes_while_a_round_is_out_goes_together_in_the_next() -> None:
    shop = Shop().takes("one").takes("two", "three").takes("four", tp=B)
    assert len(shop.writer.rounds) == 1
    shop.writer.land()
    assert shop.writer.values() == {A: [b"two", b"three"], B: [b"four"]}
    shop.writer.land()
    assert shop.reports.all == [(["one"], []), (["two", "three", "four"], [])]
    assert not shop.writer.out


def test_the_next_round_is_sent_before_the_last_is_reported() -> None:
    shop = Shop().takes("one", "two")
    rounds_out: list[int] = []
    shop.reports.at_each = lambda: rounds_out.append(len(shop.writer.out))
    shop.writer.land()
    assert rounds_out == [1]


def test_a_round_is_no_larger_than_a_batch() -> None:
    shop = Shop().takes("first").takes(*"abcdefgh", size=200_000)
    sizes = []
    while shop.writer.out:
        sizes.append(sum(size_most(r) for those in shop.writer.rounds[-1].values() for r in those))
        shop.writer.land()
    assert len(sizes) == 5
    assert max(sizes) <= ROUND_BYTES_MAX
    assert shop.reports.landed == ["first", *"abcdefgh"]


def test_an_order_larger_than_a_round_goes_alone() -> None:
    shop = Shop().takes("first", "a").takes("huge", size=ROUND_BYTES_MAX + 1).takes("b")
    for _ in range(4):
        shop.writer.land()
    assert [len(those) for round_ in shop.writer.rounds for those in round_.values()] == [1, 1, 1, 1]


def test_too_many_orders_are_an_overrun_and_nothing_is_taken() -> None:
    shop = Shop(orders_max=3).takes("one", "two", "three")
    with pytest.raises(Backpressure, match="3 orders"):
        shop.takes("four")
    shop.writer.land()
    shop.takes("five")
    shop.writer.land()
    shop.writer.land()
    assert shop.reports.landed == ["one", "two", "three", "five"]
    assert shop.group.waiting() == (0, 0)


def test_too_many_bytes_are_an_overrun() -> None:
    shop = Shop(bytes_max=2500).takes("one", "two", size=1000)
    with pytest.raises(Backpressure):
        shop.takes("three", size=1000)
    shop.takes("small")
    assert shop.group.waiting()[0] == 3


def test_a_round_that_failed_is_sent_again_with_what_came_since() -> None:
    shop = Shop().takes("one").takes("two")
    shop.writer.fail_all(AWAY)
    assert shop.writer.values() == {A: [b"one", b"two"]}
    assert shop.reports.all == []
    shop.writer.land()
    assert shop.reports.all == [(["one", "two"], [])]


def test_only_the_place_that_failed_is_sent_again() -> None:
    shop = Shop().takes("first").takes("a").takes("b", tp=B)
    shop.writer.land()
    shop.writer.fail({A: AWAY})
    assert shop.reports.landed == ["first", "b"]
    assert shop.writer.values() == {A: [b"a"]}
    shop.writer.land()
    assert shop.reports.landed == ["first", "b", "a"]


def test_a_partition_that_nobody_leads_does_not_hold_up_the_others() -> None:
    shop = Shop(orders_max=100_000, deadline_s=10)
    orphan, led = A, B
    size = ROUND_BYTES_MAX // 100
    refused = kafka_errors.NotEnoughReplicasError()
    for second in range(30):
        for n in range(20):
            shop.takes(f"orphan-{second}-{n}", tp=orphan, size=size)
            shop.takes(f"led-{second}-{n}", tp=led, size=size)
        for _ in range(10):  # rounds, of 100 orders at most, where 40 come in
            if shop.writer.out and orphan in shop.writer.rounds[-1]:
                shop.writer.fail({orphan: refused})
            elif shop.writer.out:
                shop.writer.land()
        shop.writer.wait(1)
        missing = [f"led-{second}-{n}" for n in range(20) if f"led-{second}-{n}" not in shop.reports.landed]
        assert not missing, f"still wait after {second} s: {missing}"
    assert all(name.startswith("orphan") for name in shop.reports.failed)
    assert len(shop.reports.failed) >= 15 * 20, "they are told when their time is over"


def test_when_all_is_well_again_what_failed_goes_first() -> None:
    shop = Shop().takes("first")
    shop.takes("second", "third", size=ROUND_BYTES_MAX // 2)
    shop.writer.fail_all(kafka_errors.NotEnoughReplicasError())
    assert [value[:6].strip(b".") for value in shop.writer.values()[A]] == [b"first", b"second"]
    shop.takes("fourth")
    shop.writer.land()
    shop.writer.land()
    assert shop.reports.landed == ["first", "second", "third", "fourth"]


def test_a_broker_is_asked_for_only_while_nothing_is_sent() -> None:
    shop = Shop()
    answers: list[str] = []
    shop.group.ask(lambda: answers.append("there"), timeout_s=1)
    assert answers == ["there"]
    shop.takes("a")
    shop.group.ask(lambda: answers.append("never"), timeout_s=1)
    assert answers == ["there"]


def test_a_refused_place_fails_its_orders_and_no_others() -> None:
    shop = Shop().takes("first").takes("a", "c").takes("b", tp=B)
    shop.writer.land()
    shop.writer.fail({A: TOO_LARGE})
    assert shop.reports.all[-1][0] == ["b"]
    assert set(shop.reports.failed) == {"a", "c"}
    assert isinstance(shop.reports.failed["a"], AppendFailed)
    assert not shop.writer.out


def test_refused_landed_and_to_be_sent_again_in_one_round_are_one_report() -> None:
    other = TopicPartition("orders", 2)
    shop = Shop().takes("first").takes("a").takes("b", tp=B).takes("c", tp=other)
    shop.writer.land()
    shop.writer.fail({A: TOO_LARGE, B: AWAY})
    assert len(shop.reports.all) == 2
    assert shop.reports.all[-1][0] == ["c"]
    assert [token for token, _ in shop.reports.all[-1][1]] == ["a"]
    assert shop.writer.values() == {B: [b"b"]}


def test_an_order_is_answered_late_when_its_own_time_is_over() -> None:
    shop = Shop(deadline_s=10).takes("one")
    shop.writer.wait(4)
    shop.takes("two")
    shop.writer.wait(5.9)
    assert shop.reports.all == []
    shop.writer.wait(0.1)
    assert set(shop.reports.failed) == {"one"}
    assert isinstance(shop.reports.failed["one"], AckTimeout)
    assert "may still land" in str(shop.reports.failed["one"])
    shop.writer.wait(4)
    assert set(shop.reports.failed) == {"one", "two"}
    assert shop.group.waiting() == (0, 0)


def test_an_order_answered_late_is_not_answered_again_nor_sent_again() -> None:
    shop = Shop(deadline_s=10).takes("one", "two")
    shop.writer.wait(10)
    assert set(shop.reports.failed) == {"one", "two"}
    shop.writer.land()
    assert shop.reports.landed == []
    assert not shop.writer.out
    shop.takes("three")
    shop.writer.wait(10)
    shop.writer.fail_all(AWAY)
    assert not shop.writer.out
    assert len(shop.reports.all) == 2


def test_a_late_answer_says_what_went_wrong_last() -> None:
    shop = Shop(deadline_s=10).takes("one")
    shop.writer.fail_all(AWAY)
    shop.writer.wait(10)
    assert "gone" in str(shop.reports.failed["one"])


def test_an_order_taken_while_all_others_are_late_has_its_own_time() -> None:
    shop = Shop(deadline_s=10).takes("one")
    shop.writer.wait(10)
    shop.takes("two")  # the round of "one" still hangs
    shop.writer.wait(10)
    assert set(shop.reports.failed) == {"one", "two"}


def test_a_broker_that_hangs_leaves_time_for_another_try() -> None:
    shop = Shop(deadline_s=10).takes("one")
    assert shop.writer.timeouts_s == [5]


def test_no_timer_is_left_when_nothing_waits() -> None:
    shop = Shop(deadline_s=10)
    for n in range(20):
        shop.takes(str(n))
        shop.writer.land()
    assert len(shop.writer.timers) == 1
    shop.writer.wait(10)
    assert shop.writer.timers == []


def test_close_waits_for_what_was_taken() -> None:
    shop = Shop().takes("one", "two")
    closing = threading.Thread(target=shop.group.close, kwargs={"timeout_s": 10})
    closing.start()
    shop.writer.land()
    assert closing.is_alive()
    shop.writer.land()
    closing.join(5)
    assert not closing.is_alive()
    assert shop.reports.landed == ["one", "two"]


def test_close_answers_the_rest_as_late_and_takes_no_more() -> None:
    shop = Shop().takes("one", "two")
    shop.group.close(timeout_s=0)
    assert set(shop.reports.failed) == {"one", "two"}
    with pytest.raises(GroupClosed):
        shop.takes("three")
    shop.writer.land()
    assert shop.reports.landed == []
    assert not shop.writer.out


def test_close_with_nothing_taken_is_at_once() -> None:
    Shop().group.close(timeout_s=10)


def test_a_writer_closed_under_it_ends_what_waits() -> None:
    shop = Shop().takes("one", "two")
    shop.writer.closed = True
    shop.writer.fail_all(WriterClosed())
    assert set(shop.reports.failed) == {"one", "two"}
    assert all(isinstance(error, AckTimeout) for error in shop.reports.failed.values())
    with pytest.raises(GroupClosed):
        shop.takes("three")


def test_a_closed_writer_answers_the_order_that_finds_it_closed() -> None:
    shop = Shop()
    shop.writer.closed = True
    shop.takes("one")
    assert set(shop.reports.failed) == {"one"}


def test_every_order_of_several_threads_is_answered_once() -> None:
    """The writer is a thread of its own here, and fails every third round."""
    shop = Shop(orders_max=100_000)
    names = [[f"{thread}-{n}" for n in range(2000)] for thread in range(3)]
    threads = [threading.Thread(target=shop.takes, args=those) for those in names]
    for thread in threads:
        thread.start()
    ended = 0
    while any(thread.is_alive() for thread in threads) or shop.writer.out:
        if shop.writer.out:
            ended += 1
            shop.writer.fail_all(AWAY) if ended % 3 == 0 else shop.writer.land()
    assert sorted(shop.reports.landed) == sorted(name for those in names for name in those)
    assert shop.reports.failed == {}
    assert shop.group.waiting() == (0, 0)


def test_what_comes_in_one_turn_of_a_loop_goes_in_one_round() -> None:
    turn: list[Callable[[], None]] = []
    writer, reports = FakeWriter(), Reports()
    commit = GroupCommit(
        writer, reports, waiting_max=9, waiting_bytes_max=9_000, deadline_s=10, soon=turn.append
    )
    for name in ("first", "second", "third"):
        commit.submit(A, (None, name.encode(), ()), name)
    assert (len(turn), writer.rounds) == (1, [])
    turn.pop()()
    assert writer.values() == {A: [b"first", b"second", b"third"]}


def test_what_waited_for_the_end_of_a_turn_that_never_came_is_late() -> None:
    writer, reports = FakeWriter(), Reports()
    commit = GroupCommit(
        writer, reports, waiting_max=9, waiting_bytes_max=9_000, deadline_s=10, soon=lambda send: None
    )
    commit.submit(A, (None, b"x", ()), "x")
    commit.close(timeout_s=0.01)
    [(landed, [(name, why)])] = reports.all
    assert (landed, name, type(why)) == ([], "x", AckTimeout)


def test_who_closes_it_has_the_last_report_when_it_is_closed() -> None:
    shop = Shop().takes("one")
    closer = threading.Thread(target=lambda: shop.group.close(timeout_s=10))

    def while_it_reports() -> None:
        closer.start()
        closer.join(0.1)
        assert closer.is_alive()

    shop.reports.at_each = while_it_reports
    shop.writer.land()
    closer.join(10)
    assert (closer.is_alive(), shop.reports.landed) == (False, ["one"])
