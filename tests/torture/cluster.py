"""A campus in five processes that is struck, blow by blow, under load; after each it must be right again.

Right means: what was placed after the blow is decided, and the audit of everything since the beginning is
clean, with every order in the log that any customer was told was accepted. The blows are drawn by a seed.
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
ORDERS_A_ROUND = 400
STRANGERS_A_ROUND = 60
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
    blow: str
    kills: int
    recovery_s: float
    accepted: int


@dataclass
class Report:
    rounds: list[Round] = field(default_factory=list)
    audits: int = 0

    @property
    def kills(self) -> int:
        return sum(one.kills for one in self.rounds)

    def lines(self) -> Iterator[str]:
        """A line a kind of blow, then the totals. Violations end it before there is a report."""
        by_blow: dict[str, list[Round]] = {}
        for one in self.rounds:
            by_blow.setdefault(one.blow, []).append(one)
        yield f"{'blow':<34}{'rounds':>7}{'kills':>7}{'recovery s: median':>20}{'longest':>9}"
        for blow, rounds in sorted(by_blow.items()):
            times = sorted(one.recovery_s for one in rounds)
            kills = sum(one.kills for one in rounds)
            yield f"{blow:<34}{len(rounds):>7}{kills:>7}{times[len(times) // 2]:>20.1f}{times[-1]:>9.1f}"
        accepted = sum(one.accepted for one in self.rounds)
        yield f"{self.kills} kills, {accepted:,} orders accepted, {self.audits} audits, 0 violations"


class ChaosCluster:
    def __init__(self, folder: Path, seed: int) -> None:
        self.random = Random(seed)
        settings = {"roles.inventory.stock": STOCK, "roles.inventory.snapshot_every_orders": 200}
        self.campus = Campus(folder, settings, bootstrap_servers=str(free_address()))
        self.programs: dict[str, Program] = {}
        self.accepted: list[str] = []
        self.report = Report()
        self._strangers = 0
        for name in ARGUMENTS:
            self.start(name)

    def close(self) -> None:
        self.campus.close()

    def start(self, name: str) -> None:
        program = self.programs[name] = self.campus.start(*ARGUMENTS[name])
        program.says("is ready at|using the Kafka" if name == "broker" else "CampusKafka is up")

    def round(self, blow: "Blow") -> Round:
        """Load, the blow in the middle of it, recovery, audit. Raises AssertionError if anything is wrong."""
        crowd = Crowd(self.campus.endpoint, self.random.choices(list(STOCK), k=ORDERS_A_ROUND))
        strangers = Thread(target=self._strangers_write, daemon=True)
        strangers.start()
        Event().wait(self.random.uniform(0, 0.5))
        struck_at_s = time.monotonic()
        kills = blow.strike(self)
        recovery_s = self._recovered() - struck_at_s
        crowd.wait(within_s=RECOVERY_S)
        strangers.join(RECOVERY_S)
        assert not strangers.is_alive(), "what strangers wrote never landed"
        self.accepted += crowd.accepted
        audited(self.campus.config, accepted=self.accepted)
        self.report.audits += 1
        self.report.rounds.append(Round(blow.name, kills, recovery_s, len(crowd.accepted)))
        return self.report.rounds[-1]

    def kafka_pid(self) -> int:
        """The Java process, not its guardian."""
        for pid in self.campus.processes():
            with suppress(OSError):
                if b"kafka.Kafka" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[-3:]:
                    return pid
        raise AssertionError("no Kafka runs")

    def _recovered(self) -> float:
        """When an order of each partition, placed after the blow, has been decided."""
        placed = [self._placed(item) for item in ONE_OF_EACH_PARTITION]
        soon(lambda: outcomes(self.campus.config).keys() >= set(placed), within_s=RECOVERY_S)
        self.accepted += placed
        return time.monotonic()

    def _placed(self, item: str) -> str:
        ids: list[str] = []

        def accepted() -> bool:
            with suppress(OSError, EOFError, ValueError):
                answer = order(self.campus.endpoint, item)
                if answer.status == 202:
                    ids.append(answer.body["order_id"])
            return bool(ids)

        soon(accepted, within_s=RECOVERY_S)
        return ids[0]

    def _strangers_write(self) -> None:
        """Past the door: rubbish, orders in the wrong partition, and orders that come twice."""
        config = self.campus.config
        with closing(Writer(config.kafka, client_id="stranger")) as writer:
            for _ in range(STRANGERS_A_ROUND):
                tp = TopicPartition(config.topics.orders_topic, self.random.randrange(PARTITIONS))
                self._write_until_it_lands(writer, {tp: [self._what_a_stranger_writes()]})

    def _what_a_stranger_writes(self) -> ProducerRecord:
        if self.random.random() < 0.2:
            return None, self.random.choice([b"rubbish", b"", b'{"event_type":"OrderPlaced"}']), ()
        if self.random.random() < 0.7:
            self._strangers += 1
        value = encode(an_order(f"stranger-{self._strangers}", self.random.choice(list(STOCK))))
        return b"by-order-id", value, ()

    @staticmethod
    def _write_until_it_lands(writer: Writer, records: dict[TopicPartition, list[ProducerRecord]]) -> None:
        """A failed append may have landed; written again it is the same order, twice."""
        deadline_s = time.monotonic() + RECOVERY_S
        while True:
            try:
                writer.append(records)
            except AppendFailed:
                assert time.monotonic() < deadline_s, "it never landed"
            else:
                return


# The blows


@dataclass(frozen=True)
class Blow:
    """`strike` returns how many processes it killed; what it killed runs again, or will, when it returns."""

    name: str
    strike: Callable[[ChaosCluster], int]


def _kill(*names: str) -> Callable[[ChaosCluster], int]:
    def strike(town: ChaosCluster) -> int:
        for name in names:
            town.programs[name].kill()
        for name in names:
            town.start(name)
        return len(names)

    return strike


def _kill_for_a_takeover(town: ChaosCluster) -> int:
    """The other inventory takes its partitions over before it is back."""
    name = town.random.choice(["inventory-1", "inventory-2"])
    town.programs[name].kill()
    town._recovered()
    town.start(name)
    return 1


def _kill_kafka(town: ChaosCluster) -> int:
    os.kill(town.kafka_pid(), signal.SIGKILL)
    return 1


def _kill_kafka_and_an_inventory(town: ChaosCluster) -> int:
    os.kill(town.kafka_pid(), signal.SIGKILL)
    town.programs["inventory-1"].kill()
    town.start("inventory-1")
    return 2


def _pause_inventory(town: ChaosCluster) -> int:
    """Longer than its session lasts: it wakes up as a zombie."""
    program = town.programs[town.random.choice(["inventory-1", "inventory-2"])]
    program.send(signal.SIGSTOP)
    Event().wait(SESSION_S + 2)
    program.send(signal.SIGCONT)
    return 0


def _pause_kafka(town: ChaosCluster) -> int:
    pid = town.kafka_pid()
    os.kill(pid, signal.SIGSTOP)
    Event().wait(town.random.uniform(1, 12))
    os.kill(pid, signal.SIGCONT)
    return 0


BLOWS = (
    Blow("kill one inventory", _kill("inventory-1")),
    Blow("kill one inventory, take over", _kill_for_a_takeover),
    Blow("kill both inventories", _kill("inventory-1", "inventory-2")),
    Blow("kill Kafka", _kill_kafka),
    Blow("kill Kafka and an inventory", _kill_kafka_and_an_inventory),
    Blow("kill the broker's process", _kill("broker")),
    Blow("kill the producer", _kill("producer")),
    Blow("kill analytics and the producer", _kill("analytics", "producer")),
    Blow("kill everything", _kill(*ARGUMENTS)),
    Blow("pause an inventory (SIGSTOP)", _pause_inventory),
    Blow("pause Kafka (SIGSTOP)", _pause_kafka),
)
