"""Checks a world at its end: the logs have no violation, and the instances hold the right state.

The audit checks the journal. Everything else is compared with folds made here from the beginning of the
journal, by a separate implementation of the journal's rule that no instance uses.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from threading import Event

from campus.analytics.metrics import OrderMetrics
from campus.audit.checker import Audit
from campus.audit.findings import Findings, ViolationKind
from campus.book.stock_levels import StockLevels
from campus.domain.codec import decode_journal, encode
from campus.domain.events import (
    Entry,
    InventoryReserved,
    JournalEvent,
    OwnerClaimed,
    ReservationReleased,
)
from campus.domain.journal import OWNER_HEADER
from campus.domain.snapshot import SnapshotUnreadable, unpacked
from campus.inventory.ledger import ORIGIN_HEADER, StockLedger
from campus.kafka.records import Bounds, TopicPartition
from campus.processing.follower import METRICS
from campus.processing.restore import FoldFactory, Restorer
from tests.builders import ARecord
from tests.simulation.broker import Topics
from tests.simulation.world import Violation, World


def judge(world: World) -> Findings:
    """The findings of the audit. Raises Violation."""
    findings = _audit(world)
    for partition in range(world.partitions):
        _Partition(world, partition).judge()
    _judge_assignment(world)
    return findings


def _require(truth: bool, what: str) -> None:
    if not truth:
        raise Violation(what)


def _audit(world: World) -> Findings:
    topics, names = world.topics, world.names
    audit = Audit(world.partitions)
    for partition in range(world.partitions):
        audit.dead_letters(partition, topics.records_of(names.dead_letters_topic, partition))
        audit.partition(
            partition,
            topics.records_of(names.orders_topic, partition),
            topics.records_of(names.journal_topic, partition),
        )
    findings = audit.finish()
    decided_twice = {
        (v.partition, v.seq) for v in findings.violations_listed if v.kind is ViolationKind.DECIDED_TWICE
    }
    for violation in findings.violations_listed:
        # A repeat after the window has forgotten the original is a new order.
        # That no record is reserved twice, however often it was copied, is checked below.
        at = violation.partition, violation.seq
        _require(
            violation.kind is ViolationKind.RESERVED_TWICE and at not in decided_twice,
            f"the audit found {violation}",
        )
    _require(findings.undecided == 0, f"{findings.undecided} records were never decided")
    return findings


class _Partition:
    def __init__(self, world: World, partition: int) -> None:
        self.world, self.partition = world, partition
        topics, names = world.topics, world.names
        self.orders = topics.at(names.orders_topic, partition)
        self.journal = topics.records_of(names.journal_topic, partition)
        self.ledger = StockLedger(partition, world.partitions)
        self.levels = StockLevels({}, {}, 0)
        self.metrics = OrderMetrics()
        self.stock_snapshots = self._snapshots(names.inventory_snapshots_topic)
        self.metrics_snapshots = self._snapshots(names.analytics_snapshots_topic)

    def judge(self) -> None:
        reserved: set[tuple[int, bytes]] = set()
        reservations = _Reservations()
        for record, event, position in counting(self.journal):
            if not isinstance(event, OwnerClaimed):
                source = self.orders[event.source_offset]
                again, _ = self.ledger.decide(source)
                self._require(encode(again) == record.value, f"decided again it is {again}, not {event}")
                if isinstance(event, InventoryReserved):
                    origin = published_at(self.partition, source)
                    self._require(origin not in reserved, f"{event} reserves the same record a second time")
                    reserved.add(origin)
                self._require(reservations.apply(event), f"{event} releases what was not reserved")
            self.ledger.apply(event)
            self.levels.apply(event)
            self.metrics.apply(event)
            self._judge_levels(reservations)
            self._compare(self.stock_snapshots.pop(record.offset, ()), position, self.ledger, "stock")
            self._compare(self.metrics_snapshots.pop(record.offset, ()), position, self.metrics, "metrics")
        unmatched = [*self.stock_snapshots, *self.metrics_snapshots]
        self._require(not unmatched, f"snapshots of offsets {unmatched}, where no record counts")
        self._judge_what_is_restored()
        self._judge_what_is_held()

    def _judge_levels(self, reservations: "_Reservations") -> None:
        levels, ledger = self.levels, self.ledger
        self._require(
            levels.remaining == ledger.stock, f"{levels.remaining} remain, the ledger: {ledger.stock}"
        )
        self._require(levels.added == ledger.added, f"{levels.added} were added, the ledger: {ledger.added}")
        reserved = {item: levels.added[item] - left for item, left in levels.remaining.items()}
        self._require(reserved == reservations.of_items(reserved), f"{reserved} must be reserved")

    def _snapshots(self, topic: str) -> dict[int, list]:
        """The snapshots that instances wrote, by the journal offset that each goes up to."""
        found: dict[int, list] = {}
        tp = TopicPartition(topic, self.partition)
        for record in self.world.topics.records_of(*tp):
            if (tp, record.offset) not in self.world.foreign_snapshots:
                try:
                    snapshot = unpacked(record.value)
                except SnapshotUnreadable as fault:
                    raise Violation(f"the snapshot at {tp} offset {record.offset}: {fault}") from fault
                found.setdefault(snapshot.offset, []).append(snapshot)
        return found

    def _compare(
        self, snapshots: Iterable, position: tuple, fold: StockLedger | OrderMetrics, what: str
    ) -> None:
        for snapshot in snapshots:
            says = snapshot.owner, snapshot.seq, snapshot.offset
            self._require(
                says == position, f"a snapshot of {what} goes up to {says}, the journal to {position}"
            )
            self._require(snapshot.state == fold.state(), f"the snapshot of {what} at {says} is wrong")
            if fold is self.ledger:
                read = StockLevels.from_state(snapshot.state)
                self._require(
                    read.state() == self.levels.state(), f"the stock levels in it are wrong: {read.added}"
                )

    def _judge_what_is_restored(self) -> None:
        names = self.world.names
        ledgers = FoldFactory(
            lambda p: StockLedger(p, self.world.partitions),
            lambda p, state: StockLedger.from_state(p, self.world.partitions, state),
        )
        for folds, topic, fold in (
            (ledgers, names.inventory_snapshots_topic, self.ledger),
            (METRICS, names.analytics_snapshots_topic, self.metrics),
        ):
            restorer = Restorer(
                folds, _Reader(self.world.topics), journal=names.journal_topic, snapshots=topic
            )
            end = self.world.topics.end(TopicPartition(names.journal_topic, self.partition))
            restored = restorer.restore({self.partition: end}, Event())[self.partition]
            self._require(restored.fold.state() == fold.state(), f"restored from {topic} is another state")

    def _judge_what_is_held(self) -> None:
        for inventory in self.world.inventories:
            if held := inventory.folds().get(self.partition):
                self._require(held.state() == self.ledger.state(), "its owner has another state")
                missing = inventory.owner._rules.missing_inputs(held)
                self._require(not missing, f"its owner never wrote the missing inputs {missing}")
        for analytics in self.world.analytics:
            held = analytics.follower.folds().get(self.partition)
            self._require(held is None or held == self.metrics, "analytics has other totals")

    def _require(self, truth: bool, what: str) -> None:
        _require(truth, f"partition {self.partition}: {what}")


class _Reservations:
    """What is reserved and not released, computed from the entries alone."""

    def __init__(self) -> None:
        self._of_order: dict[tuple[str, str], int] = {}  # the newest one: only that can be released
        self._of_item: Counter[str] = Counter()

    def apply(self, event: Entry) -> bool:
        """False if it releases something that was not reserved with that id, item and quantity."""
        if isinstance(event, InventoryReserved):
            self._of_order[event.order_id, event.item] = event.quantity
            self._of_item[event.item] += event.quantity
        elif isinstance(event, ReservationReleased):
            self._of_item[event.item] -= event.quantity
            return self._of_order.pop((event.order_id, event.item), None) == event.quantity
        return True

    def of_items(self, items: Iterable[str]) -> dict[str, int]:
        return {item: self._of_item[item] for item in items}


def counting(records: Iterable[ARecord]) -> Iterator[tuple[ARecord, JournalEvent, tuple[str, int, int]]]:
    """The records that count, each with the owner, seq and offset reached with it."""
    owner, seq = "", 0
    for record in records:
        event = decode_journal(record.value)
        if isinstance(event, OwnerClaimed):
            owner = event.owner
        elif event and owner and (OWNER_HEADER, owner.encode()) in record.headers and event.seq == seq + 1:
            seq += 1
        else:
            continue
        yield record, event, (owner, seq, record.offset)


def published_at(partition: int, record: ARecord) -> tuple[int, bytes]:
    """Where the record was first written in order-events; it may have been rerouted since."""
    return next(
        ((-1, value) for name, value in record.headers if name == ORIGIN_HEADER),
        (partition, b"%d" % record.offset),
    )


def _judge_assignment(world: World) -> None:
    for held in (
        [p for inventory in world.inventories for p in inventory.folds()],
        [p for analytics in world.analytics for p in analytics.follower.folds()],
    ):
        _require(sorted(held) == list(range(world.partitions)), f"partitions {held} are held")


class _Reader:
    """A log reader without faults."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
        return {tp: Bounds(0, self._topics.end(tp)) for tp in tps}

    def read(self, spans: dict[TopicPartition, Bounds], stop: Event | None = None) -> Iterator:
        for tp, span in spans.items():
            yield tp, self._topics.span(tp, span.start, span.end)
