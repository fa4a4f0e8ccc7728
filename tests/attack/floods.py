"""Overload experiments: incomplete requests, a broker that hangs, more orders than the cap, a stop.

Each starts its own campus processes on a real Kafka, puts them under load, and asserts that every 202 is in
the log, every refusal is an intended one, and other clients do not suffer. It returns its measurements. The
caller chooses duration and size.
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
from tests.attack.load import Load, LoadResponse
from tests.attack.monitor import footprint, pid_of
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, order_ids
from tests.support.processes import Campus, soon

SAMPLE_S = 0.5
BACK_S = 2.0  # until orders are accepted after the broker's return
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
    """The load while the broker hung. The curve's times count from when it stopped answering."""

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
    """The broker hangs (SIGSTOP) under full load for `away_s`, and continues."""
    campus = make(settings, on=kafka)
    pid = _start(campus)
    load = Load(campus.endpoint, connections=connections)
    soon(lambda: len(load.responses) > WARM_ORDERS)
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
    findings = audited(campus.config, accepted=load.accepted)
    assert findings.verdict == "clean"
    _can_be_looked_up(campus, [one.order_id for one in load.refused if one.kind == "not-acknowledged"])
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
    """Latencies of a well-behaved client, without and with incomplete requests held open."""
    campus = make({}, on=kafka)
    _start(campus)
    before = Latencies("nobody else", list(_latencies(campus.endpoint, lasts_s)))
    with _held_open(campus.endpoint, halves) as opened:
        during = Latencies(
            f"{halves} incomplete requests held open", list(_latencies(campus.endpoint, lasts_s))
        )
        assert len(opened) >= halves
    return before, during


def above_the_cap(
    make: MakeCampus, kafka: OneKafka, *, lasts_s: float, connections: int
) -> tuple[Latencies, Latencies, dict]:
    """More connections than waiting_orders_max: latencies of accepted and of refused orders."""
    campus = make({"roles.producer.waiting_orders_max": connections // 8}, on=kafka)
    _start(campus)
    load = Load(campus.endpoint, connections=connections)
    Event().wait(lasts_s)
    load.close(within_s=ANSWERED_S)
    _refused_as_meant(load.refused)
    audited(campus.config, accepted=load.accepted)
    accepted = Latencies("accepted", [one.took_s for one in load.responses if one.status == 202])
    refused = Latencies("refused: 503, Retry-After", [one.took_s for one in load.refused])
    return accepted, refused, _by_kind(load.refused)


def stopped_under_load(make: MakeCampus, kafka: OneKafka, *, connections: int) -> tuple[int, int]:
    """Returns how many orders were accepted and how many not acknowledged; the log has no others."""
    campus = make({}, on=kafka)
    program = campus.start_up("--all")
    load = Load(campus.endpoint, connections=connections)
    soon(lambda: len(load.responses) > WARM_ORDERS)
    program.send(signal.SIGTERM)
    code = program.ends()
    load.close(within_s=ANSWERED_S)
    assert code == 0, program.output
    accepted = load.accepted
    perhaps = {one.order_id for one in load.refused if one.kind == "not-acknowledged"}
    placed = order_ids(campus.config)
    assert set(accepted) <= set(placed), "202 and not in the log"
    assert set(placed) <= set(accepted) | perhaps, "in the log, but never answered"
    assert len(set(placed)) == len(placed)
    return len(accepted), len(perhaps)


def _start(campus: Campus) -> int:
    """Start all roles; the producer in its own process, to measure its memory. Returns its pid."""
    decides = campus.start("--role", "inventory", "--role", "analytics")
    campus.start_up("--role", "producer", "--role", "book", "--set", f"roles.book.orders_max={BOOK_ORDERS}")
    decides.says("CampusKafka is up")
    return pid_of(str(campus.file), "producer")


@contextmanager
def _sampled(load: Load, pid: int, curve: list[Sample]) -> Iterator[None]:
    over = Event()

    def sample() -> None:
        seen, last_s = len(load.responses), time.monotonic()
        while not over.wait(SAMPLE_S):
            now_s, count = time.monotonic(), len(load.responses)
            accepted = sum(one.status == 202 for one in load.responses[seen:count])
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
    """Keep `count` incomplete requests open: a connection that the server closes is replaced."""
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


def _since(load: Load, at_s: float) -> Sequence[LoadResponse]:
    """The responses to requests after this time, newest last."""
    return [one for one in load.responses[-20_000:] if one.at_s >= at_s]


def _by_kind(refused: Sequence[LoadResponse]) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for one in refused:
        kinds[one.kind] = kinds.get(one.kind, 0) + 1
    return kinds


def _refused_as_meant(refused: Sequence[LoadResponse]) -> None:
    for one in refused:
        assert one.status == 503 and one.kind in MEANT and one.retry_after, one
        assert bool(one.order_id) == (one.kind == "not-acknowledged"), one


def _can_be_looked_up(campus: Campus, ids: Sequence[str]) -> None:
    """GET finds an order that was not acknowledged if and only if it is in the log."""
    placed = set(order_ids(campus.config))
    for order_id in ids[-LOOKED_UP_MAX:]:
        soon(lambda order_id=order_id: (_status(campus.endpoint, order_id) == 200) == (order_id in placed))


def _status(endpoint: Address, order_id: str) -> int:
    connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWERED_S)
    connection.request("GET", f"/orders/{order_id}")
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status
