"""Several inventory and analytics instances on one simulated broker, driven by random turns from one seed.

First come turns with faults, one at a time. Then the world heals: there are no more faults, and the instances
must come to rest with every order decided and the totals right. There is no real clock and no thread, and the
seed decides everything: the same seed gives the same records, byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random

from campus.analytics.metrics import OrderMetrics
from campus.config.settings import TopicsConfig
from campus.domain.codec import encode
from campus.domain.events import OwnerClaimed
from campus.domain.journal import OWNER_HEADER, JournalRule
from campus.domain.snapshot import packed
from campus.inventory.rules import RULES_VERSION, StockRules
from campus.kafka.records import ProducerRecord, TopicPartition
from tests.simulation.broker import Clock, Coordinator, Topics
from tests.simulation.faults import TURNS, FaultSchedule
from tests.simulation.input_generator import ITEMS, InputGenerator
from tests.simulation.instances import Analytics, Instance, Inventory
from tests.simulation.ports import Killed, MemberPort

TURNS_MAX = 75  # of one schedule
PAUSE_TURNS_MAX = 20
NESTED_PAUSES_MAX = 3
PAUSE_EXPIRES_SESSION = 0.4
SMALL_WINDOWS, LARGE_WINDOWS = (1, 2, 4), (8, 30, 100)  # orders
STARTS_WITH_OPENING_STOCK = 0.8  # else the owners have to ask for it
HEALED_ROUNDS_MAX = 300
IDLE_ROUNDS = 2
ROUND_MS = 1100  # so that a commit is due in each

_NAMES, _WEIGHTS = list(TURNS), list(accumulate(TURNS.values()))


class Violation(Exception):
    """A rule of the protocol was broken."""


class World:
    def __init__(
        self,
        random: Random,
        odds: Mapping[str, float] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """`odds`: only these faults, with these odds; by default a random schedule."""
        self.random, self._log = random, log
        self.partitions = random.choice((1, 2, 2, 3))
        self.names = TopicsConfig(partitions=self.partitions)
        self.clock = Clock()
        self.topics = Topics(self.clock)
        self.faults = FaultSchedule(random, odds) if odds else FaultSchedule.random_schedule(random)
        self.inputs = InputGenerator(random, self.topics, self.names.orders_topic, self.partitions)
        self.inventory_group = Coordinator(random, self.partitions)
        self.analytics_group = Coordinator(random, self.partitions)
        self.killed_members: list[MemberPort | None] = []  # their sessions have not expired yet
        self.foreign_snapshots: set[tuple[TopicPartition, int]] = set()  # not written by an instance
        self.is_healed = False
        self._windows = random.sample((random.choice(SMALL_WINDOWS), random.choice(LARGE_WINDOWS)), 2)
        self._stock = self._random_stock()
        self._turns_left = random.randint(20, TURNS_MAX)
        self._pauses = 0
        self._claims = 0
        self.inventories = [Inventory(self, number) for number in range(random.choice((1, 2, 2, 3)))]
        self.analytics = [Analytics(self, number) for number in range(random.choice((1, 1, 2)))]
        self.instances: list[Instance] = [*self.inventories, *self.analytics]
        self._turns = [getattr(self, name) for name in _NAMES]
        if random.random() < STARTS_WITH_OPENING_STOCK:
            self.inputs.write_opening_stock(self._stock)

    def run(self) -> "World":
        while self._turns_left > 0:
            self._turn()
        self._heal()
        return self

    # Called by instances

    def pause(self, instance: Instance) -> None:
        """Called at each request of an instance: it may be killed, or paused while the others take turns."""
        if self.faults.happens("killed"):
            raise Killed
        if self._pauses < NESTED_PAUSES_MAX and self.faults.happens("paused"):
            self.log_event("is paused", instance)
            self._pauses += 1
            if self.random.random() < PAUSE_EXPIRES_SESSION:
                self._expire(instance.member)
            for _ in range(self.random.randint(1, PAUSE_TURNS_MAX)):
                self._turn()
            self._pauses -= 1
            self.log_event("goes on", instance)
            if instance.is_kill_pending:
                raise Killed

    def is_claim(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> bool:
        return tp.topic == self.names.journal_topic and not any(headers for _, _, headers in batch)

    def new_owner_id(self, instance: Instance) -> str:
        self._claims += 1
        return f"{instance.number}-{self._claims}"

    def window_orders(self) -> int:
        return self._windows[self.faults.happens("other_window")]

    def opening_stock(self) -> dict[str, int]:
        return self._random_stock() if self.faults.happens("other_stock") else self._stock

    def _random_stock(self) -> dict[str, int]:
        return {item: self.random.randint(0, 12) for item in ITEMS if self.random.random() < 0.8}

    # The turns: their table is in faults.py

    def _turn(self) -> None:
        if self._turns_left <= 0:
            return
        self._turns_left -= 1
        self.clock.ms += self.random.choice((0, 1, 5))
        (turn,) = self.random.choices(self._turns, cum_weights=_WEIGHTS)
        turn()

    def step_instance(self) -> None:
        instance = self.random.choice(self.instances)
        if not instance.is_busy:
            self.log_event("steps", instance)
            self._give_turn(instance)

    def write_inputs(self) -> None:
        self.inputs.write()

    def land_late_batch(self) -> None:
        if waiting := self.topics.in_flight:
            late = self.random.choice(waiting)
            self.log_event(f"late: {len(late.batch)} records land in {late.tp}")
            self.topics.append_late(late)

    def sync_member(self) -> None:
        instance = self.random.choice(self.instances)
        if instance.member:
            instance.member.sync()

    def rebalance_group(self) -> None:
        self.random.choice((self.inventory_group, self.analytics_group)).rebalance()

    def expire_session(self) -> None:
        if self.killed_members:
            self._expire(self.killed_members.pop())
        else:
            self._expire(self.random.choice(self.instances).member)

    def kill_instance(self) -> None:
        instance = self.random.choice(self.instances)
        self.log_event("is killed", instance)
        if instance.is_busy:
            instance.is_kill_pending = True
        elif instance.is_up:
            instance.kill()

    def stop_instance(self) -> None:
        instance = self.random.choice(self.instances)
        if instance.is_up:
            self.log_event("is asked to stop", instance)
            instance.stop.set()

    def advance_clock(self) -> None:
        self.clock.ms += self.random.choice((1_000, 30_000))

    def damage_snapshot(self) -> None:
        tp = self._random_snapshot_tp()
        snapshots = self.topics.records_of(*tp)
        if snapshots:
            record = self.random.choice(snapshots[-2:])
            value = record.value or b""
            damaged = self.random.choice((None, b"", b"rubbish", value[:-3], value[:-1] + b"\xff\xff"))
            self.topics.rewrite(tp, record.offset, damaged)
            self.foreign_snapshots.add((tp, record.offset))

    def compact_snapshots(self) -> None:
        self.topics.compact(self._random_snapshot_tp())

    def add_foreign_snapshot(self) -> None:
        """As after the journal was deleted and recreated, or from a wrong topics.prefix."""
        partition = self.random.randrange(self.partitions)
        rule = JournalRule("owner of another journal", self.random.randint(0, 20), self.random.randint(0, 20))
        if self.random.random() < 0.5:
            topic, fold = self.names.analytics_snapshots_topic, OrderMetrics(successful=1000)
        else:
            topic = self.names.inventory_snapshots_topic
            fold = StockRules(partitions=self.partitions, opening_stock={}, window_orders=1).fold(partition)
            fold.seq, fold.next_offset = rule.seq, rule.seq
            fold.stock, fold.added = dict.fromkeys(ITEMS, 1000), dict.fromkeys(ITEMS, 1000)
        tp = TopicPartition(topic, partition)
        landed = self.topics.append_batch(tp, [(b"even", packed(rule, fold.state()), ())])
        self.foreign_snapshots.add((tp, landed.first))

    def write_foreign_journal_record(self) -> None:
        """An unreadable record, a copy of an entry under another owner id, or a claim without entries."""
        partition = self.random.randrange(self.partitions)
        entries = [
            record for record in self.topics.records_of(self.names.journal_topic, partition) if record.headers
        ]
        claim = OwnerClaimed(
            owner=f"foreign-{self.clock.ms}", rules=RULES_VERSION, window_orders=self.window_orders()
        )
        wrong: list[ProducerRecord] = [(None, b"a foreign record", ()), (None, encode(claim), ())]
        if entries:
            wrong.append((None, self.random.choice(entries).value, ((OWNER_HEADER, b"foreign"),)))
        self.topics.append_batch(
            TopicPartition(self.names.journal_topic, partition), [self.random.choice(wrong)]
        )

    # The end, without faults

    def _heal(self) -> None:
        """End the faults, let late batches land or be lost, and run until nothing changes."""
        self.log_event("the world heals")
        self.is_healed = True
        self.faults.stop_all()
        while self.topics.in_flight:
            late = self.random.choice(self.topics.in_flight)
            if self.random.random() < 0.5:
                self.topics.append_late(late)
            else:
                self.topics.in_flight.remove(late)
        for member in self.killed_members:
            self._expire(member)
        for group in (self.inventory_group, self.analytics_group):
            group.rebalance()
        self.inputs.write_one_order_per_partition()
        self._run_until_idle()

    def _run_until_idle(self) -> None:
        idle, before = 0, ()
        for _ in range(HEALED_ROUNDS_MAX):
            for instance in self.instances:
                instance.stop.clear()
                self._give_turn(instance)
            self.clock.ms += ROUND_MS
            ends = tuple(len(slots) for slots in self.topics.records.values())
            idle = idle + 1 if ends == before and self._is_settled() else 0
            if idle == IDLE_ROUNDS:
                return
            before = ends
        raise Violation("without faults, the instances do not come to rest")

    def _is_settled(self) -> bool:
        groups_are_settled = self.inventory_group.is_settled and self.analytics_group.is_settled
        return groups_are_settled and all(i.member and i.member.has_read_all() for i in self.instances)

    # Helpers

    def _give_turn(self, instance: Instance) -> None:
        try:
            instance.turn()
        except Violation:
            raise
        except Exception as crash:
            raise Violation(f"{type(instance).__name__} {instance.number} crashed: {crash!r}") from crash

    def _expire(self, member: MemberPort | None) -> None:
        if member:
            self.inventory_group.drop(member)
            self.analytics_group.drop(member)

    def _random_snapshot_tp(self) -> TopicPartition:
        names = (self.names.inventory_snapshots_topic, self.names.analytics_snapshots_topic)
        return TopicPartition(self.random.choice(names), self.random.randrange(self.partitions))

    def log_event(self, what: str, instance: Instance | None = None) -> None:
        if self._log:
            name = f"{type(instance).__name__.lower()} {instance.number} " if instance else ""
            self._log(f"{self.clock.ms:>8} ms {'  ' * self._pauses}{name}{what}")
