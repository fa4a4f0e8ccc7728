"""A campus in five processes under load. Faults are injected one by one; after each it must recover.

Recovered means: orders placed after the fault are decided, and an audit of the whole log is clean and finds
every order that was ever answered 202. The faults are drawn by a seed.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Thread

from campus.domain.codec import encode
from campus.domain.partitions import item_partition
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition
from tests.builders import an_order
from tests.support.customers import Crowd, order
from tests.support.kafka import free_address
from tests.support.ledgers import audited, outcomes
from tests.support.processes import Campus, Program, soon

PARTITIONS = 4
STOCK = {"pizza": 500_000, "burger": 100, "salad": 500_000, "sandwich": 300, "focaccia": 500_000}
ONE_OF_EACH_PARTITION = ("focaccia", "pizza", "sandwich", "burger")
ORDERS_PER_ROUND = 400
FOREIGN_RECORDS_PER_ROUND = 60
SESSION_S = 6.0
RECOVERY_S = 60.0

assert {item_partition(item, PARTITIONS) for item in ONE_OF_EACH_PARTITION} == set(range(PARTITIONS))

ARGUMENTS = {
    "broker": ("broker",),
    "analytics": ("--role", "analytics"),
    "inventory-1": ("--role", "inventory"),
    "inventory-2": ("--role", "inventory"),
    "producer": ("--role", "producer"),
}


@dataclass
class Round:
    fault: str
    kills: int
    recovery_s: float
    accepted: int


@dataclass
class Report:
    rounds: list[Round] = field(default_factory=list)
    audits: int = 0

    @property
    def kills(self) -> int:
        return sum(round_.kills for round_ in self.rounds)

    def lines(self) -> Iterator[str]:
        """One line per fault, then the totals. A violation ends the run before there is a report."""
        by_fault: dict[str, list[Round]] = {}
        for round_ in self.rounds:
            by_fault.setdefault(round_.fault, []).append(round_)
        yield f"{'fault':<34}{'rounds':>7}{'kills':>7}{'recovery s: median':>20}{'longest':>9}"
        for fault, rounds in sorted(by_fault.items()):
            times = sorted(round_.recovery_s for round_ in rounds)
            kills = sum(round_.kills for round_ in rounds)
            yield f"{fault:<34}{len(rounds):>7}{kills:>7}{times[len(times) // 2]:>20.1f}{times[-1]:>9.1f}"
        accepted = sum(round_.accepted for round_ in self.rounds)
        yield f"{self.kills} kills, {accepted:,} orders accepted, {self.audits} audits, 0 violations"


class ChaosCluster:
    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        settings = {"roles.inventory.stock": STOCK, "roles.inventory.snapshot_every_orders": 200}
        self.campus = Campus(folder, settings, bootstrap_servers=str(free_address()))
        self.programs: dict[str, Program] = {}
        self.accepted: list[str] = []
        self.report = Report()
        self._foreign_orders = 0
        for name in ARGUMENTS:
            self.start(name)

    def close(self) -> None:
        self.campus.close()

    def start(self, name: str) -> None:
        program = self.programs[name] = self.campus.start(*ARGUMENTS[name])
        program.says("is ready at|using the Kafka" if name == "broker" else "CampusKafka is up")

    def round(self, fault: "Fault") -> Round:
        """Inject the fault under load, wait for recovery, audit. Raises AssertionError on any failure."""
        crowd = Crowd(self.campus.endpoint, self.random.choices(list(STOCK), k=ORDERS_PER_ROUND))
        foreign_producer = Thread(target=self._write_foreign_records, daemon=True)
        foreign_producer.start()
        Event().wait(self.random.uniform(0, 0.5))
        fault_at_s = time.monotonic()
        kills = fault.inject(self)
        self.wait_for_recovery()
        recovery_s = time.monotonic() - fault_at_s
        crowd.wait(within_s=RECOVERY_S)
        foreign_producer.join(RECOVERY_S)
        assert not foreign_producer.is_alive(), "the foreign records were never appended"
        self.accepted += crowd.accepted
        audited(self.campus.config, accepted=self.accepted)
        self.report.audits += 1
        self.report.rounds.append(Round(fault.name, kills, recovery_s, len(crowd.accepted)))
        return self.report.rounds[-1]

    def kafka_pid(self) -> int:
        """The Java process, not its guardian."""
        for pid in self.campus.processes():
            with suppress(OSError):
                if b"kafka.Kafka" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-3:]:
                    return pid
        raise AssertionError("no Kafka runs")

    def wait_for_recovery(self) -> None:
        """Place an order in each partition and wait until all are decided."""
        placed = [self._place_order(item) for item in ONE_OF_EACH_PARTITION]
        soon(lambda: outcomes(self.campus.config).keys() >= set(placed), within_s=RECOVERY_S)
        self.accepted += placed

    def _place_order(self, item: str) -> str:
        ids: list[str] = []

        def accepted() -> bool:
            with suppress(OSError, EOFError, ValueError):
                answer = order(self.campus.endpoint, item)
                if answer.status == 202:
                    ids.append(answer.body["order_id"])
            return bool(ids)

        soon(accepted, within_s=RECOVERY_S)
        return ids[0]

    def _write_foreign_records(self) -> None:
        """Write directly to Kafka: invalid records, orders in the wrong partition, and duplicates."""
        config = self.campus.config
        with closing(Writer(config.kafka, client_id="foreign-producer")) as writer:
            for _ in range(FOREIGN_RECORDS_PER_ROUND):
                tp = TopicPartition(config.topics.orders_topic, self.random.randrange(PARTITIONS))
                self._append_until_acknowledged(writer, {tp: [self._foreign_record()]})

    def _foreign_record(self) -> ProducerRecord:
        if self.random.random() < 0.2:
            return None, self.random.choice([b"rubbish", b"", b'{"event_type":"OrderPlaced"}']), ()
        if self.random.random() < 0.7:
            self._foreign_orders += 1
        value = encode(an_order(f"foreign-{self._foreign_orders}", self.random.choice(list(STOCK))))
        return b"by-order-id", value, ()

    @staticmethod
    def _append_until_acknowledged(
        writer: Writer, records: dict[TopicPartition, list[ProducerRecord]]
    ) -> None:
        """A failed append may have succeeded; then the retry writes a duplicate."""
        deadline_s = time.monotonic() + RECOVERY_S
        while True:
            try:
                writer.append(records)
            except AppendFailed:
                assert time.monotonic() < deadline_s, "it was never acknowledged"
            else:
                return


# The faults


@dataclass(frozen=True)
class Fault:
    """`inject` returns how many processes it killed; they run again by then, or will be restarted."""

    name: str
    inject: Callable[[ChaosCluster], int]


def _kill(*names: str) -> Callable[[ChaosCluster], int]:
    def inject(cluster: ChaosCluster) -> int:
        for name in names:
            cluster.programs[name].kill()
        for name in names:
            cluster.start(name)
        return len(names)

    return inject


def _kill_for_a_takeover(cluster: ChaosCluster) -> int:
    """Restart the killed inventory only after the other one has taken over its partitions."""
    name = cluster.random.choice(["inventory-1", "inventory-2"])
    cluster.programs[name].kill()
    cluster.wait_for_recovery()
    cluster.start(name)
    return 1


def _kill_kafka(cluster: ChaosCluster) -> int:
    os.kill(cluster.kafka_pid(), signal.SIGKILL)
    return 1


def _kill_kafka_and_an_inventory(cluster: ChaosCluster) -> int:
    os.kill(cluster.kafka_pid(), signal.SIGKILL)
    cluster.programs["inventory-1"].kill()
    cluster.start("inventory-1")
    return 2


def _pause_inventory(cluster: ChaosCluster) -> int:
    """For longer than its group session: when it resumes, its partitions belong to the other one."""
    program = cluster.programs[cluster.random.choice(["inventory-1", "inventory-2"])]
    program.send(signal.SIGSTOP)
    Event().wait(SESSION_S + 2)
    program.send(signal.SIGCONT)
    return 0


def _pause_kafka(cluster: ChaosCluster) -> int:
    pid = cluster.kafka_pid()
    os.kill(pid, signal.SIGSTOP)
    Event().wait(cluster.random.uniform(1, 12))
    os.kill(pid, signal.SIGCONT)
    return 0


FAULTS = (
    Fault("kill one inventory", _kill("inventory-1")),
    Fault("kill one inventory, take over", _kill_for_a_takeover),
    Fault("kill both inventories", _kill("inventory-1", "inventory-2")),
    Fault("kill Kafka", _kill_kafka),
    Fault("kill Kafka and an inventory", _kill_kafka_and_an_inventory),
    Fault("kill the broker's process", _kill("broker")),
    Fault("kill the producer", _kill("producer")),
    Fault("kill analytics and the producer", _kill("analytics", "producer")),
    Fault("kill everything", _kill(*ARGUMENTS)),
    Fault("pause an inventory (SIGSTOP)", _pause_inventory),
    Fault("pause Kafka (SIGSTOP)", _pause_kafka),
)
