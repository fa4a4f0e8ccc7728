"""A writer inside an asyncio loop: no thread of its own, nothing blocked, and the same answers."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from campus.http.server import new_event_loop
from campus.kafka.producer.errors import AppendFailed, WriterClosed
from campus.kafka.producer.event_loops import AsyncioRunner
from campus.kafka.producer.writer import Outcome, Writer
from campus.kafka.records import AppendResult, TopicPartition
from tests.kafka.producer.fake_cluster import FakeCluster

A = TopicPartition("orders", 0)
RECORDS = {A: [(b"key", b"value", ())]}
SOON_S = 5.0


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster(1, orders=[1]) as cluster:
        yield cluster


@pytest.fixture
def writer(cluster: FakeCluster) -> Iterator[Writer]:
    with closing(Writer(cluster.kafka, client_id="test", runner=AsyncioRunner)) as writer:
        yield writer


@pytest.fixture(params=[new_event_loop, asyncio.new_event_loop], ids=["the server's", "asyncio's"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Awaitable[Any]], Any]]:
    loop = request.param()
    yield loop.run_until_complete
    loop.close()


async def appended(writer: Writer, *, timeout_s: float = SOON_S) -> Outcome:
    outcomes = asyncio.get_running_loop().create_future()
    writer.append_soon(RECORDS, outcomes.set_result, timeout_s=timeout_s)
    outcome: Outcome = await asyncio.wait_for(outcomes, timeout_s + SOON_S)
    return outcome


class Ticks:
    """Counts how often other callbacks of the loop ran during the block."""

    EACH_S = 0.005

    async def __aenter__(self) -> "Ticks":
        self.count = 0
        self._task = asyncio.ensure_future(self._tick())
        self._began_s = time.monotonic()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.s = time.monotonic() - self._began_s
        self._task.cancel()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.EACH_S)
            self.count += 1


def test_it_appends_without_a_thread_of_its_own(run, cluster: FakeCluster, writer: Writer) -> None:
    async def work() -> list[Outcome]:
        return [await appended(writer) for _ in range(3)]

    assert run(work()) == [{A: AppendResult(n, n + 1)} for n in range(3)]
    assert "test-writer" not in {thread.name for thread in threading.enumerate()}


def test_appends_of_one_turn_of_the_loop_are_served_in_order(
    run, cluster: FakeCluster, writer: Writer
) -> None:
    async def work() -> list[Outcome]:
        return await asyncio.gather(*(appended(writer) for _ in range(20)))

    assert run(work()) == [{A: AppendResult(n, n + 1)} for n in range(20)]


def test_a_broker_that_never_answers_does_not_block_the_loop(
    run, cluster: FakeCluster, writer: Writer
) -> None:
    async def work() -> tuple[Outcome, Ticks]:
        await appended(writer)
        cluster.silent.set()
        async with Ticks() as ticks:
            outcome = await appended(writer, timeout_s=0.3)
        return outcome, ticks

    outcome, ticks = run(work())
    assert isinstance(outcome, AppendFailed) and outcome.retriable
    assert 0.3 <= ticks.s < 1
    assert ticks.count > 5


def test_a_killed_broker_is_found_again_when_it_is_back(run, cluster: FakeCluster, writer: Writer) -> None:
    async def work() -> Outcome:
        await appended(writer)
        cluster.stop(1)
        for _ in range(3):
            assert isinstance(await appended(writer), AppendFailed)
        cluster.start(1)
        began_s = time.monotonic()
        while isinstance(outcome := await appended(writer), AppendFailed):
            assert time.monotonic() < began_s + SOON_S
        return outcome

    assert run(work()) == {A: AppendResult(1, 2)}


def test_timers_fire_in_time_and_in_order(run, writer: Writer) -> None:
    async def work() -> tuple[list[str], float]:
        came: list[str] = []
        done = asyncio.Event()
        began_s = time.monotonic()
        writer.call_later(0.2, lambda: (came.append("second"), done.set()))
        writer.call_later(0.05, lambda: came.append("first"))
        await asyncio.wait_for(done.wait(), SOON_S)
        return came, time.monotonic() - began_s

    came, took_s = run(work())
    assert came == ["first", "second"]
    assert 0.2 <= took_s < 1


def test_no_timer_is_lost_to_a_clock_of_whole_milliseconds(run, writer: Writer) -> None:
    async def work() -> None:
        for tenths_ms in range(200):
            came = asyncio.Event()
            writer.call_later(tenths_ms % 37 / 10_000, came.set)
            await asyncio.wait_for(came.wait(), SOON_S)

    run(work())


def test_an_append_in_flight_when_the_loop_ends_can_still_be_waited_for(
    run, cluster: FakeCluster, writer: Writer
) -> None:
    outcomes: SimpleQueue[Outcome] = SimpleQueue()

    async def work() -> None:
        writer.append_soon(RECORDS, outcomes.put)

    run(work())
    assert writer.wait_for(outcomes, SOON_S) == {A: AppendResult(0, 1)}
    with pytest.raises(Empty):
        writer.wait_for(outcomes, 0.01)
    assert writer.append(RECORDS) == {A: AppendResult(1, 2)}


def test_another_loop_can_continue_to_use_the_writer(run, cluster: FakeCluster, writer: Writer) -> None:
    assert asyncio.run(appended(writer)) == {A: AppendResult(0, 1)}
    assert run(appended(writer)) == {A: AppendResult(1, 2)}


def test_a_callback_may_append_again(run, cluster: FakeCluster, writer: Writer) -> None:
    async def work() -> None:
        done = asyncio.Event()
        writer.append_soon(RECORDS, lambda _: writer.append_soon(RECORDS, lambda _: done.set()))
        await asyncio.wait_for(done.wait(), SOON_S)

    run(work())
    assert len(cluster.log[A]) == 2


def test_close_fails_what_is_in_flight_and_detaches_from_the_loop(run, cluster: FakeCluster) -> None:
    writer = Writer(cluster.kafka, client_id="test", runner=AsyncioRunner)
    outcomes: SimpleQueue[Outcome] = SimpleQueue()

    async def work() -> asyncio.AbstractEventLoop:
        await appended(writer)
        cluster.silent.set()
        writer.append_soon(RECORDS, outcomes.put)
        return asyncio.get_running_loop()

    loop, watched = run(work()), writer._net._selector.fileno()
    writer.close()
    writer.close()
    assert not loop.remove_reader(watched)
    outcome = outcomes.get_nowait()
    assert isinstance(outcome, AppendFailed) and isinstance(outcome.errors[A], WriterClosed)
    with pytest.raises(WriterClosed):
        writer.append(RECORDS)


def test_waiting_for_an_append_inside_the_loop_is_an_assertion_error(run, writer: Writer) -> None:
    async def work() -> None:
        writer.append(RECORDS)

    with pytest.raises(AssertionError, match="append_soon"):
        run(work())


def test_using_it_on_another_thread_is_an_assertion_error(writer: Writer) -> None:
    mistakes: SimpleQueue[str] = SimpleQueue()

    def use() -> None:
        try:
            writer.append_soon(RECORDS, lambda _: None)
        except AssertionError as mistake:
            mistakes.put(str(mistake))

    threading.Thread(target=use).start()
    assert "thread that made" in mistakes.get(timeout=SOON_S)


def test_when_the_network_loop_raises_the_append_fails_and_the_writer_is_closed(
    run, cluster: FakeCluster, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> Outcome:
        await appended(writer)
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # as the log has it

        def broken(**_: Any) -> None:
            raise MemoryError

        monkeypatch.setattr(writer._net, "poll", broken)
        return await asyncio.wait_for(appended(writer), SOON_S)

    outcome = run(work())
    assert isinstance(outcome, AppendFailed) and isinstance(outcome.errors[A], WriterClosed)
    with pytest.raises(WriterClosed):
        writer.append(RECORDS)


# Host names


@pytest.fixture
def named(cluster: FakeCluster) -> Iterator[Writer]:
    """A writer whose broker has a host name, not an IP address."""
    kafka = cluster.kafka.with_changes(bootstrap_servers=f"kafka.campus.test:{cluster.nodes[1].port}")
    with closing(Writer(kafka, client_id="test", runner=AsyncioRunner)) as writer:
        yield writer


def looks_up(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], None]) -> None:
    """Patch the resolver: it knows the name after `ask` has returned."""
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *args: Any, **options: Any) -> Any:
        if host == "kafka.campus.test":
            ask()
            host = "127.0.0.1"
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def test_a_resolver_that_never_answers_does_not_block_the_loop(
    run, named: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaks = threading.Event()
    looks_up(monkeypatch, lambda: speaks.wait(SOON_S) and None)

    async def work() -> tuple[Outcome, Ticks, Outcome]:
        async with Ticks() as ticks:
            failed = await appended(named, timeout_s=0.3)
        speaks.set()
        while isinstance(landed := await appended(named), AppendFailed):
            assert landed.retriable
        return failed, ticks, landed

    failed, ticks, landed = run(work())
    assert isinstance(failed, AppendFailed) and failed.retriable
    assert 0.3 <= ticks.s < 1
    assert ticks.count > 5
    assert landed == {A: AppendResult(0, 1)}


def test_an_unknown_host_name_is_named_in_the_error_and_looked_up_a_few_times_a_second(
    run, named: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def unknown() -> None:
        asked.append(time.monotonic())
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    looks_up(monkeypatch, unknown)

    async def work() -> list[Outcome]:
        until_s = time.monotonic() + 0.5
        outcomes = []
        while time.monotonic() < until_s:
            outcomes.append(await appended(named))
        return outcomes

    outcomes = run(work())
    assert all(isinstance(one, AppendFailed) and one.retriable for one in outcomes)
    assert "kafka.campus.test is not known" in str(outcomes[0])
    assert 2 <= len(asked) <= 10
