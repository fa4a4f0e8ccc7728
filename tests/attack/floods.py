"""What must not overrun a campus: half requests, a broker that is away, more than it can take, a stop.

Each experiment has a campus of processes of its own on a real Kafka, puts it under load, and asserts what
must hold: every 202 is in the log, every refusal is one that is meant, and others do not suffer. What it
measured it returns, to be printed. How long it lasts and how many take part is said by the caller.
"""

import csv
import http.client
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from campus.addresses import Address
from tests.attack.load import Load, Told
from tests.attack.monitor import footprint, pid_of
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, order_ids
from tests.support.processes import Campus, soon

SAMPLE_S = 0.5
BACK_S = 2.0  # to accept again after the broker's return
BOOK_ORDERS = 20_000  # more than are placed after the broker's return, before they are looked up; 16 MB
RSS_MORE_MB = 32.0
REFUSAL_S = 0.5  # of the median refusal under a flood, whose clients run on the same two cores
WARM_ORDERS = 3000
ANSWERED_S = 60.0
LOOKED_UP_MAX = 100
MEANT = {"not-acknowledged", "too-many-waiting"}

MakeCampus = Callable[..., Campus]


class Sample(NamedTuple):
    t_s: float
    accepted_per_s: float
    refused_per_s: float
    rss_mb: float


@dataclass(frozen=True)
class Away:
    """What became of the load while the broker was away. The curve's times count from when it went."""

    curve: list[Sample]
    resumed_s: float
    accepted: int
    refused: dict[str, int]
    rss_before_mb: float
    rss_most_mb: float

    def lines(self) -> Iterator[str]:
        yield f"{'t (s)':>8}{'accepted/s':>12}{'refused/s':>12}{'RSS (MB)':>10}"
        for one in self.curve:
            yield f"{one.t_s:>8.1f}{one.accepted_per_s:>12,.0f}{one.refused_per_s:>12,.0f}{one.rss_mb:>10.1f}"
        yield f"accepted again {self.resumed_s:.2f} s after the broker's return"
        yield f"{self.accepted:,} accepted, all of them in the log; refused: {self.refused}"
        yield f"memory: {self.rss_before_mb:.1f} MB before, at most {self.rss_most_mb:.1f} MB"

    def write_csv(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("t", "accepted/s", "refused/s", "rss_mb"))
            writer.writerows([[f"{value:.2f}" for value in one] for one in self.curve])


def broker_away(
    make: MakeCampus, kafka: OneKafka, *, away_s: float, connections: int, settings: dict
) -> Away:
    """The broker hangs (SIGSTOP) under full load for so long, and goes on."""
    here = make(settings, on=kafka)
    pid = _started(here)
    load = Load(here.endpoint, connections=connections)
    soon(lambda: len(load.told) > WARM_ORDERS)
    curve: list[Sample] = []
    rss_before_mb = footprint(pid).rss_mb
    with _sampled(load, pid, curve):
        Event().wait(2 * SAMPLE_S)
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            gone_s = time.monotonic()
            Event().wait(away_s)
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        back_s = time.monotonic()
        soon(lambda: any(one.status == 202 for one in _since(load, back_s)), every_s=0.01)
        Event().wait(4 * SAMPLE_S)
    load.close(within_s=ANSWERED_S)
    resumed_s = next(one.at_s for one in _since(load, back_s) if one.status == 202) - back_s
    _refused_as_meant(load.refused)
    findings = audited(here.config, accepted=load.accepted)
    assert findings.verdict == "clean"
    _can_be_looked_up(here, [one.order_id for one in load.refused if one.kind == "not-acknowledged"])
    return Away(
        [one._replace(t_s=one.t_s - gone_s) for one in curve],
        resumed_s,
        len(load.accepted),
        _by_kind(load.refused),
        rss_before_mb,
        max(one.rss_mb for one in curve),
    )


@dataclass(frozen=True)
class Latencies:
    name: str
    seconds: list[float]

    def share(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def line(self) -> str:
        p50, p99, most = (self.share(share) * 1e3 for share in (0.5, 0.99, 1.0))
        return f"{self.name:<34}{len(self.seconds):>8,}{p50:>10.2f}{p99:>10.2f}{most:>10.2f}"


HEADING = f"{'good requests':<34}{'n':>8}{'p50 ms':>10}{'p99 ms':>10}{'longest':>10}"


def half_sent(
    make: MakeCampus, kafka: OneKafka, *, lasts_s: float, halves: int
) -> tuple[Latencies, Latencies]:
    """Latencies of a good customer, without and with so many half requests that are held open."""
    here = make({}, on=kafka)
    _started(here)
    before = Latencies("nobody else", list(_latencies(here.endpoint, lasts_s)))
    with _held_open(here.endpoint, halves) as opened:
        during = Latencies(f"{halves} half requests held open", list(_latencies(here.endpoint, lasts_s)))
        assert len(opened) >= halves
    return before, during


def above_the_cap(
    make: MakeCampus, kafka: OneKafka, *, lasts_s: float, connections: int
) -> tuple[Latencies, Latencies, dict]:
    """More wait than may: the latencies of those who are accepted, and of those who are refused."""
    here = make({"roles.producer.waiting_orders_max": connections // 8}, on=kafka)
    _started(here)
    load = Load(here.endpoint, connections=connections)
    Event().wait(lasts_s)
    load.close(within_s=ANSWERED_S)
    _refused_as_meant(load.refused)
    audited(here.config, accepted=load.accepted)
    accepted = Latencies("accepted", [one.took_s for one in load.told if one.status == 202])
    refused = Latencies("refused: 503, Retry-After", [one.took_s for one in load.refused])
    return accepted, refused, _by_kind(load.refused)


def stopped_under_load(make: MakeCampus, kafka: OneKafka, *, connections: int) -> tuple[int, int]:
    """How many were accepted, and how many not acknowledged: nothing else is in the log."""
    here = make({}, on=kafka)
    program = here.start_up("--all")
    load = Load(here.endpoint, connections=connections)
    soon(lambda: len(load.told) > WARM_ORDERS)
    program.send(signal.SIGTERM)
    code = program.ends()
    load.close(within_s=ANSWERED_S)
    assert code == 0, program.output
    accepted = load.accepted
    perhaps = {one.order_id for one in load.refused if one.kind == "not-acknowledged"}
    placed = order_ids(here.config)
    assert set(accepted) <= set(placed), "202 and not in the log"
    assert set(placed) <= set(accepted) | perhaps, "in the log, and nobody was told"
    assert len(set(placed)) == len(placed)
    return len(accepted), len(perhaps)


def _started(here: Campus) -> int:
    """The producer has a process of its own, so that its memory is nobody else's."""
    decides = here.start("--role", "inventory", "--role", "analytics")
    here.start_up("--role", "producer", "--role", "book", "--set", f"roles.book.orders_max={BOOK_ORDERS}")
    decides.says("CampusKafka is up")
    return pid_of(str(here.file), "producer")


@contextmanager
def _sampled(load: Load, pid: int, curve: list[Sample]) -> Iterator[None]:
    over = Event()

    def sample() -> None:
        seen, last_s = len(load.told), time.monotonic()
        while not over.wait(SAMPLE_S):
            now_s, count = time.monotonic(), len(load.told)
            accepted = sum(one.status == 202 for one in load.told[seen:count])
            spent_s = now_s - last_s
            refused = count - seen - accepted
            curve.append(Sample(now_s, accepted / spent_s, refused / spent_s, footprint(pid).rss_mb))
            seen, last_s = count, now_s

    thread = Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _latencies(endpoint: Address, lasts_s: float) -> Iterator[float]:
    until_s = time.monotonic() + lasts_s
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWERED_S)
    while (began_s := time.monotonic()) < until_s:
        connection.request(
            "POST",
            "/order",
            b'{"user_id":"ana","item":"pizza","quantity":1}',
            {"Content-Type": "application/json"},
        )
        response = connection.getresponse()
        response.read()
        assert response.status == 202
        yield time.monotonic() - began_s
    connection.close()


HEAD = b"POST /order HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
HALVES = (
    HEAD,
    HEAD + b"Content-Length: 45\r\n\r\n{",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
)


@contextmanager
def _held_open(endpoint: Address, count: int) -> Iterator[list[socket.socket]]:
    """So many half requests at any time: whoever is turned out for being slow comes back with another."""
    over, opened = Event(), []

    def hold(number: int) -> socket.socket:
        one = socket.create_connection((endpoint.host, endpoint.port), timeout=ANSWERED_S)
        opened.append(one)
        one.sendall(HALVES[number % len(HALVES)])
        one.setblocking(False)
        return one

    def is_over(one: socket.socket) -> bool:
        try:
            return one.recv(65_536) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def keep(held: list[socket.socket]) -> None:
        while not over.wait(SAMPLE_S):
            for number, one in enumerate(held):
                if is_over(one):
                    one.close()
                    held[number] = hold(number)

    with ExitStack() as stack:
        held = [hold(number) for number in range(count)]
        stack.callback(lambda: [one.close() for one in held])
        thread = Thread(target=keep, args=(held,), daemon=True)
        thread.start()
        try:
            yield opened
        finally:
            over.set()
            thread.join()


def _since(load: Load, at_s: float) -> Sequence[Told]:
    """Those that were asked after it, newest last."""
    return [one for one in load.told[-20_000:] if one.at_s >= at_s]


def _by_kind(refused: Sequence[Told]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for one in refused:
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    return kinds


def _refused_as_meant(refused: Sequence[Told]) -> None:
    for one in refused:
        assert one.status == 503 and one.kind in MEANT and one.retry_after, one
        assert bool(one.order_id) == (one.kind == "not-acknowledged"), one


def _can_be_looked_up(here: Campus, ids: Sequence[str]) -> None:
    """Of those that were not acknowledged: what the door says of them is what is in the log."""
    placed = set(order_ids(here.config))
    for order_id in ids[-LOOKED_UP_MAX:]:
        soon(lambda order_id=order_id: (_status(here.endpoint, order_id) == 200) == (order_id in placed))


def _status(endpoint: Address, order_id: str) -> int:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWERED_S)
    connection.request("GET", f"/orders/{order_id}")
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status
