"""Acknowledged orders per second by HTTP: this program's producer against its peers, in the same run.

All use one embedded Kafka. The servers take turns for each number of connections, one at a time; wrk sends
orders as fast as they are answered. Medians of the repeats are printed, also as ratios to one of the peers,
which carry over to other machines. Every order answered with 202 must be in the log when its server has
ended, or the run is void.

    make bench-http      or      python benchmarks/http/acknowledged.py [--repeats 3] [--stretch-s 5]
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from campus.addresses import Address, wait_until
from campus.addresses import listens as answers
from campus.broker.embedded import EmbeddedBroker
from campus.config.settings import BrokerConfig, KafkaConfig, TopicsConfig
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition
from campus.startup.topics import ensure_topics

HERE = Path(__file__).resolve().parent
PROGRAM = HERE.parents[1] / "campuskafka.py"
START_S = 60.0
KAFKA = Address("127.0.0.1", 19_292)
ENDPOINT = Address("127.0.0.1", 18_080)
CONNECTIONS = (1, 32, 256)
ITEMS = ("pizza", "burger", "salad", "sandwich")


class Stretch(NamedTuple):
    rate: float
    p50_ms: float
    p99_ms: float
    accepted: int
    failed: int


def commands(topics: TopicsConfig) -> dict[str, list[str]]:
    """How each server is started, to listen at ENDPOINT and write to KAFKA."""
    peer_options = [
        "--port",
        str(ENDPOINT.port),
        "--bootstrap-servers",
        str(KAFKA),
        "--topic",
        topics.orders_topic,
    ]
    settings = [
        f"kafka.bootstrap_servers={KAFKA}",
        "broker.mode=external",
        f"roles.producer.port={ENDPOINT.port}",
    ]
    set_all = [word for setting in settings for word in ("--set", setting)]
    return {
        "campuskafka": [str(PROGRAM), "--role", "producer", *set_all],
        "FastAPI + aiokafka": [str(HERE / "fastapi_aiokafka.py"), *peer_options],
        "bottle + waitress": [str(HERE / "bottle_waitress.py"), *peer_options],
        "Flask + kafka-python": [str(HERE / "flask_kafka.py"), *peer_options],
    }


@contextmanager
def a_kafka(folder: Path) -> Iterator[KafkaConfig]:
    broker = EmbeddedBroker(BrokerConfig(mode="embedded", data_dir=folder, heap="512m"), KAFKA, log=print)
    broker.start(Event())
    try:
        yield KafkaConfig(bootstrap_servers=str(KAFKA))
    finally:
        broker.stop(timeout_s=10)


@contextmanager
def a_server(command: Sequence[str], output: Path) -> Iterator[None]:
    assert not answers(ENDPOINT), f"something listens on {ENDPOINT} already"
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, *command], stdout=file, stderr=subprocess.STDOUT)
    try:
        up = wait_until(lambda: answers(ENDPOINT) or process.poll() is not None, Event(), timeout_s=START_S)
        assert up, f"{command} does not listen:\n{output.read_text()}"
        assert process.poll() is None, f"{command} did not start:\n{output.read_text()}"
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def stretch(connections: int, seconds: float) -> Stretch:
    """Put the server under load with wrk."""
    script = ["-s", str(HERE / "orders.lua"), f"http://{ENDPOINT}/order"]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s", *script]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result = json.loads(printed.splitlines()[-1])
    accepted = result["requests"] - result["refused"]
    return Stretch(
        accepted / (result["duration_us"] / 1e6),
        result["p50_us"] / 1000,
        result["p99_us"] / 1000,
        accepted,
        result["refused"] + result["broken"],
    )


def orders_in_the_log(history: LogReader, topics: TopicsConfig) -> int:
    tps = [TopicPartition(topics.orders_topic, partition) for partition in range(topics.partitions)]
    return sum(at.end for at in history.bounds(tps).values())


def measured(
    servers: dict[str, list[str]], folder: Path, history: LogReader, topics: TopicsConfig, given: Any
) -> tuple[dict[tuple[str, int], list[Stretch]], list[str]]:
    """All stretches by server and connections, and the faults of the run."""
    stretches: dict[tuple[str, int], list[Stretch]] = defaultdict(list)
    faults = []
    for _ in range(given.repeats):
        for name, command in servers.items():
            before = orders_in_the_log(history, topics)
            with a_server(command, folder / "server.txt"):
                # A warm-up: connections and first-time costs are not to be measured.
                accepted = stretch(32, 1.0).accepted
                for connections in given.connections:
                    one = stretch(connections, given.stretch_s)
                    stretches[name, connections].append(one)
                    accepted += one.accepted
            landed = orders_in_the_log(history, topics) - before
            if landed < accepted:
                faults.append(f"{name}: {accepted} orders were accepted, {landed} are in the log")
    return stretches, faults


def table(
    stretches: dict[tuple[str, int], list[Stretch]], names: Sequence[str], against: str
) -> Iterator[str]:
    for connections in sorted({connections for _, connections in stretches}):
        heads = (
            f"{'orders/s':>12}{'ratio':>8}{'p50 ms':>10}{'p99 ms':>10}{'ratio':>8}{'failed':>8}   each run"
        )
        yield f"\n{f'{connections} connections':<22}{heads}"
        base = stretches[against, connections]
        base_rate, base_p99 = median(run.rate for run in base), median(run.p99_ms for run in base)
        for name in names:
            runs = stretches[name, connections]
            rate, p99 = median(run.rate for run in runs), median(run.p99_ms for run in runs)
            p50, failed = median(run.p50_ms for run in runs), sum(run.failed for run in runs)
            ratios = f"{rate:>12,.0f}{rate / base_rate:>8.2f}{p50:>10.2f}{p99:>10.2f}{p99 / base_p99:>8.2f}"
            yield f"{name:<22}{ratios}{failed:>8}   {' '.join(f'{run.rate:,.0f}' for run in runs)}"


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--stretch-s", type=float, default=5.0)
    options.add_argument("--connections", type=int, nargs="+", default=CONNECTIONS)
    options.add_argument(
        "--only", nargs="+", metavar="NAME", help="these servers alone, by a part of the name"
    )
    options.add_argument("--against", default="FastAPI + aiokafka", help="whose figures are 1.00")
    given = options.parse_args()
    topics = TopicsConfig()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kafka = stack.enter_context(a_kafka(folder / "kafka"))
        ensure_topics(kafka, topics, dict.fromkeys(ITEMS, 100))
        history = stack.enter_context(closing(LogReader(kafka, client_id="benchmark")))
        servers = commands(topics)
        if given.only:
            servers = {
                n: c for n, c in servers.items() if n == given.against or any(o in n for o in given.only)
            }
        stretches, faults = measured(servers, folder, history, topics, given)
    print("\n".join(table(stretches, list(servers), given.against)))
    print("\n".join(faults) or "\nevery order that was accepted is in the log")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
