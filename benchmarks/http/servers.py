"""Orders per second by HTTP without Kafka: our own server against uvicorn, in the same run.

Both serve this program's API. As with the group commit, orders are acknowledged in batches from another
thread, so the servers are compared. Each has its own process; they take turns for each number of connections,
and only one is under load at a time. Medians are printed, also as ratios, which carry over to other machines,
and the processor time per order, which is steadier than the rate on a shared machine.

    python benchmarks/http/servers.py [--repeats 3] [--stretch-s 5] [--connections 1 32 256]
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any, NamedTuple
from urllib.request import urlopen

from pydantic import SecretStr

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from campus.addresses import Address
from campus.api.app import make_app
from campus.api.publisher import ApiSettings, OnDelivery
from campus.config.settings import TopicsConfig
from campus.http.limits import Limits
from campus.http.problems import App, Environ, Response
from campus.http.server import HttpServer, listen
from campus.kafka.records import ProducerRecord, TopicPartition
from campus.supervision.registry import Registry

HERE = Path(__file__).resolve().parent
BATCH_S = 0.0005  # until a batch is acknowledged: as a broker on the same machine
SERVERS = ("own", "uvicorn")


class BatchPublisher:
    """The API's publisher: its thread acknowledges all records gathered since its last batch."""

    def __init__(self) -> None:
        self.server: Any = None
        self.count = 0
        self._gathered: list[OnDelivery] = []
        self._wake_up = Event()
        self._pause = Event()  # never set: to wait on it releases the interpreter lock

    def submit(self, _tp: TopicPartition, _record: ProducerRecord, on_delivery: OnDelivery) -> None:
        self._gathered.append(on_delivery)
        self._wake_up.set()

    def is_acknowledging(self) -> bool:
        return True

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self.server.call_soon(callback, *args)

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while self._wake_up.wait():
            self._wake_up.clear()
            self._pause.wait(BATCH_S)
            landed, self._gathered = self._gathered, []
            self.count += len(landed)
            self.call_soon(_resolve, landed)


def _resolve(landed: Sequence[OnDelivery]) -> None:
    for on_delivery in landed:
        on_delivery(True)


def an_app(publisher: BatchPublisher) -> App:
    settings = ApiSettings(
        topics=TopicsConfig(),
        acknowledged=True,
        batch_orders_max=1000,
        wait_max_s=10,
        waits_max=1000,
        token=lambda: SecretStr("benchmark"),
    )
    app = make_app(settings, publisher, Registry())

    def with_cpu_time(environ: Environ) -> Response:
        if environ["PATH_INFO"] != "/cpu":
            return app(environ)
        return Response(200, (), str(time.process_time()).encode())

    return with_cpu_time


def serve(kind: str) -> None:
    """Serve until SIGTERM. Prints the port first, and the number of acknowledged orders at the end."""
    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    publisher = BatchPublisher()
    limits = Limits(connections_max=2000)
    server: Any
    if kind == "own":
        server = HttpServer(an_app(publisher), limits)
    else:
        from uvicorn_guarded import UvicornServer

        server = UvicornServer(an_app(publisher), limits)
    publisher.server = server
    publisher.start()
    with listen(Address("127.0.0.1", 0), next_step="") as listener:
        print(listener.getsockname()[1], flush=True)
        # As in the role: not on the main thread.
        thread = threading.Thread(target=server.run, args=(listener, stop))
        thread.start()
        thread.join()
    print(publisher.count, flush=True)


class Stretch(NamedTuple):
    rate: float
    cpu_us: float  # of the server, per order
    p50_ms: float
    p99_ms: float
    max_ms: float


@contextmanager
def a_server(kind: str, counts: dict[str, int]) -> Iterator[int]:
    command = [sys.executable, str(Path(__file__)), "--serve", kind]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        counts[kind] = int(process.communicate(timeout=30)[0] or 0)


def stretch(port: int, connections: int, seconds: float) -> tuple[int, Stretch]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", str(HERE / "orders.lua")]
    before_s = cpu_s(port)
    printed = subprocess.run(
        [*command, f"http://127.0.0.1:{port}"], check=True, capture_output=True, text=True
    ).stdout
    found = json.loads(printed.strip().splitlines()[-1])
    assert not found["refused"], found
    cpu_us = (cpu_s(port) - before_s) * 1e6 / found["requests"]
    rate = found["requests"] / (found["duration_us"] / 1e6)
    times = (found[name] / 1000 for name in ("p50_us", "p99_us", "max_us"))
    return found["requests"], Stretch(rate, cpu_us, *times)


def cpu_s(port: int) -> float:
    with urlopen(f"http://127.0.0.1:{port}/cpu", timeout=10) as answer:
        return float(answer.read())


def compare(given: argparse.Namespace) -> int:
    found: dict[tuple[str, int], list[Stretch]] = defaultdict(list)
    answered: dict[str, int] = dict.fromkeys(SERVERS, 0)
    counts: dict[str, int] = {}
    with a_server("own", counts) as own, a_server("uvicorn", counts) as uvicorn:
        ports = {"own": own, "uvicorn": uvicorn}
        for repeat in range(given.repeats + 1):  # the first one warms up
            for connections in given.connections:
                for kind, port in ports.items():
                    requests, one = stretch(port, connections, given.stretch_s if repeat else 1)
                    answered[kind] += requests
                    if repeat:
                        found[kind, connections].append(one)
    print(f"{os.cpu_count()} cores, {given.repeats} repeats of {given.stretch_s:g} s")
    columns = ("orders/s", "ratio", "cpu us", "ratio", "p50 ms", "p99 ms", "max ms")
    print(f"{'connections':<12}{'server':<9}" + "".join(f"{column:>9}" for column in columns))
    for connections in given.connections:
        medians = {
            kind: Stretch(*(median(cell) for cell in zip(*found[kind, connections], strict=True)))
            for kind in SERVERS
        }
        base = medians["uvicorn"]
        for kind, one in medians.items():
            print(
                f"{connections:<12}{kind:<9}{one.rate:>9,.0f}{one.rate / base.rate:>9.2f}"
                f"{one.cpu_us:>9.0f}{one.cpu_us / base.cpu_us:>9.2f}"
                f"{one.p50_ms:>9.1f}{one.p99_ms:>9.1f}{one.max_ms:>9.1f}"
            )
    short = {kind: answered[kind] for kind in SERVERS if answered[kind] > counts[kind]}
    print(f"acknowledged {counts}, answered {answered}")
    return 1 if short else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--serve", choices=SERVERS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stretch-s", type=float, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32, 256])
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return 0
    return compare(given)


if __name__ == "__main__":
    sys.exit(main())
