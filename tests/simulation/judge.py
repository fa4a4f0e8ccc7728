"""What must be true of a world that has healed: nothing wrong in the logs, nothing left undone in the roles.

The audit judges the journal. The rest is held against a fold of its own, from the beginning, over what
counts by a statement of the rule that no instance uses.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from threading import Event

from campus.analytics.metrics import OrderMetrics
from campus.audit.checker import Audit
from campus.audit.findings import Findings, Kind
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
from campus.processing.restore import FoldFactory, Restorer
from tests.builders import ARecord
from tests.simulation.broker import Topics
from tests.simulation.instances import METRICS
from tests.simulation.world import Violation, World


def judge(world: World) -> Findings:
    """What the audit has found. Raises Violation."""
    findings = _audit(world)
    for partition in range(world.partitions):
        _Partition(world, partition).judge()
    _judge_who_holds_what(world)
    return findings


def _demand(truth: bool, what: str) -> None:
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
    decided_twice = {(v.partition, v.seq) for v in findings.violations_listed if v.kind is Kind.DECIDED_TWICE}
    for violation in findings.violations_listed:
        # A customer who repeats himself after the window has forgotten him is taken at his word.
        # That no record is reserved twice, whatever copies of it were made, is judged below.
        at = violation.partition, violation.seq
        _demand(
            violation.kind is Kind.RESERVED_TWICE and at not in decided_twice, f"the audit says: {violation}"
        )
    _demand(findings.undecided == 0, f"{findings.undecided} records were never decided")
    return findings


class _Partition:
    def __init__(self, world: World, partition: int) -> None:
        self.world, self.partition = world, partition
        topics, names = world.topics, world.names
        self.orders = topics.at(names.orders_topic, partition)
        self.journal = topics.records_of(names.journal_topic, partition)
        self.ledger = StockLedger(partition, world.partitions)
        self.levels = StockLevels()
        self.metrics = OrderMetrics()
        self.stock_snapshots = self._snapshots(names.inventory_snapshots_topic)
        self.metrics_snapshots = self._snapshots(names.analytics_snapshots_topic)

    def judge(self) -> None:
        reserved: set[tuple[int, bytes]] = set()
        reservations = _Reservations()
        for record, event, anchor in counting(self.journal):
            if not isinstance(event, OwnerClaimed):
                source = self.orders[event.source_offset]
                again, _ = self.ledger.decide(source)
                self._demand(encode(again) == record.value, f"decided again is {again}, not {event}")
                if isinstance(event, InventoryReserved):
                    name = published_as(self.partition, source)
                    self._demand(name not in reserved, f"{event} is of a record that was reserved before")
                    reserved.add(name)
                self._demand(reservations.bear(event), f"{event} releases what was not reserved")
            self.ledger.apply(event)
            self.levels.apply(event)
            self.metrics.apply(event)
            self._judge_levels(reservations)
            self._compare(self.stock_snapshots.pop(record.offset, ()), anchor, self.ledger, "stock")
            self._compare(self.metrics_snapshots.pop(record.offset, ()), anchor, self.metrics, "metrics")
        left = [*self.stock_snapshots, *self.metrics_snapshots]
        self._demand(not left, f"there are snapshots of offsets {left}, where nothing counts")
        self._judge_what_is_restored()
        self._judge_what_is_held()

    def _judge_levels(self, reservations: "_Reservations") -> None:
        levels, ledger = self.levels, self.ledger
        self._demand(
            levels.remaining == ledger.stock, f"{levels.remaining} remain, the ledger: {ledger.stock}"
        )
        self._demand(levels.added == ledger.added, f"{levels.added} were added, the ledger: {ledger.added}")
        reserved = {item: levels.added[item] - left for item, left in levels.remaining.items()}
        self._demand(reserved == reservations.of_items(reserved), f"{reserved} must be reserved")

    def _snapshots(self, topic: str) -> dict[int, list]:
        """What the instances wrote, by the offset that each one goes up to."""
        found: dict[int, list] = {}
        tp = TopicPartition(topic, self.partition)
        for record in self.world.topics.records_of(*tp):
            if (tp, record.offset) not in self.world.false_snapshots:
                try:
                    snapshot = unpacked(record.value)
                except SnapshotUnreadable as fault:
                    raise Violation(f"the snapshot at {tp} offset {record.offset}: {fault}") from fault
                found.setdefault(snapshot.offset, []).append(snapshot)
        return found

    def _compare(
        self, snapshots: Iterable, anchor: tuple, fold: StockLedger | OrderMetrics, what: str
    ) -> None:
        for snapshot in snapshots:
            says = snapshot.owner, snapshot.seq, snapshot.offset
            self._demand(says == anchor, f"a snapshot of {what} goes up to {says}, the journal to {anchor}")
            self._demand(snapshot.state == fold.state(), f"the snapshot of {what} of {says} is false")
            if fold is self.ledger:
                read = StockLevels.from_state(snapshot.state)
                self._demand(read.state() == self.levels.state(), f"the levels in it are false: {read.added}")

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
                folds, _History(self.world.topics), journal=names.journal_topic, snapshots=topic
            )
            end = self.world.topics.end(TopicPartition(names.journal_topic, self.partition))
            restored = restorer.restore({self.partition: end}, Event())[self.partition]
            self._demand(restored.fold.state() == fold.state(), f"restored from {topic} is another state")

    def _judge_what_is_held(self) -> None:
        for inventory in self.world.inventories:
            if held := inventory.owner.folds().get(self.partition):
                self._demand(held.state() == self.ledger.state(), "its owner has another state")
                missing = inventory.owner._rules.missing_inputs(held)
                self._demand(not missing, f"its owner never asked for {missing}")
        for analytics in self.world.analytics:
            held = analytics.follower.folds().get(self.partition)
            self._demand(held is None or held == self.metrics, "analytics counts otherwise")

    def _demand(self, truth: bool, what: str) -> None:
        _demand(truth, f"partition {self.partition}: {what}")


class _Reservations:
    """What is reserved and not released, told from what the entries say they do and from no rule."""

    def __init__(self) -> None:
        self._of_order: dict[tuple[str, str], int] = {}  # the newest, that one can be released
        self._of_item: Counter[str] = Counter()

    def bear(self, event: Entry) -> bool:
        """False if it releases what was not reserved under that id, of that item, in that quantity."""
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
    """What counts, and the owner, seq and offset that have been reached with it."""
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


def published_as(partition: int, record: ARecord) -> tuple[int, bytes]:
    """Where somebody put it into order-events; it may have been sent on since."""
    return next(
        ((-1, value) for name, value in record.headers if name == ORIGIN_HEADER),
        (partition, b"%d" % record.offset),
    )


def _judge_who_holds_what(world: World) -> None:
    for held in (
        [p for inventory in world.inventories for p in inventory.owner.folds()],
        [p for analytics in world.analytics for p in analytics.follower.folds()],
    ):
        _demand(sorted(held) == list(range(world.partitions)), f"partitions {held} are held")


class _History:
    """Reads without faults: the world has healed."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def bounds(self, tps: Iterable[TopicPartition]) -> dict[TopicPartition, Bounds]:
        return {tp: Bounds(0, self._topics.end(tp)) for tp in tps}

    def read(self, spans: dict[TopicPartition, Bounds], stop: Event | None = None) -> Iterator:
        for tp, span in spans.items():
            yield tp, self._topics.span(tp, span.start, span.end)
