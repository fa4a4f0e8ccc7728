"""A world of several inventories and analytics on one simulated broker, driven by chance from one seed.

First everything goes wrong that can, one turn at a time; then the world heals, and everybody who is left
must bring it to an end: what was ordered is decided, and the counts agree. No clock but the world's, no
thread, nothing that the seed does not decide: the same seed is the same history, byte for byte.
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
from tests.simulation.customers import ITEMS, Customers
from tests.simulation.faults import TURNS, FaultSchedule
from tests.simulation.instances import Analytics, Instance, Inventory
from tests.simulation.ports import Killed, MemberPort

TURNS_MOST = 75  # of one schedule
PAUSE_TURNS_MOST = 20
PAUSES_INSIDE_EACH_OTHER = 3
SESSION_EXPIRES_IN_A_PAUSE = 0.4
SMALL_WINDOWS, LARGE_WINDOWS = (1, 2, 4), (8, 30, 100)  # orders
TOPICS_ARE_MADE_WITH_STOCK = 0.8  # else the owners have to ask for it
HEALED_ROUNDS_MOST = 300
IDLE_ROUNDS = 2
ROUND_MS = 1100  # so that a commit is due in each

_NAMES, _WEIGHTS = list(TURNS), list(accumulate(TURNS.values()))


class Violation(Exception):
    """What must never happen, happened."""


class World:
    def __init__(
        self,
        random: Random,
        odds: Mapping[str, float] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """`odds`: of these faults and no others."""
        self.random, self._log = random, log
        self.partitions = random.choice((1, 2, 2, 3))
        self.names = TopicsConfig(partitions=self.partitions)
        self.clock = Clock()
        self.topics = Topics(self.clock)
        self.weather = FaultSchedule(random, odds) if odds else FaultSchedule.drawn(random)
        self.customers = Customers(random, self.topics, self.names.orders_topic, self.partitions)
        self.inventory_group = Coordinator(random, self.partitions)
        self.analytics_group = Coordinator(random, self.partitions)
        self.orphans: list[MemberPort | None] = []  # sessions of the killed
        self.false_snapshots: set[tuple[TopicPartition, int]] = set()  # not for an instance to answer for
        self.is_healed = False
        self._windows = random.sample((random.choice(SMALL_WINDOWS), random.choice(LARGE_WINDOWS)), 2)
        self._stock = self._random_stock()
        self._turns_left = random.randint(20, TURNS_MOST)
        self._pauses = 0
        self._claims = 0
        self.inventories = [Inventory(self, number) for number in range(random.choice((1, 2, 2, 3)))]
        self.analytics = [Analytics(self, number) for number in range(random.choice((1, 1, 2)))]
        self.instances: list[Instance] = [*self.inventories, *self.analytics]
        self._turns = [getattr(self, name) for name in _NAMES]
        if random.random() < TOPICS_ARE_MADE_WITH_STOCK:
            self.customers.open_with(self._stock)

    def run(self) -> "World":
        while self._turns_left > 0:
            self._turn()
        self._heal()
        return self

    # What an instance asks of the world

    def pause(self, who: Instance) -> None:
        """Called in the middle of a step: the others take turns, and it may not survive that."""
        if self.weather.strikes("killed"):
            raise Killed
        if self._pauses < PAUSES_INSIDE_EACH_OTHER and self.weather.strikes("paused"):
            self.tell("sleeps", who)
            self._pauses += 1
            if self.random.random() < SESSION_EXPIRES_IN_A_PAUSE:
                self._expire(who.member)
            for _ in range(self.random.randint(1, PAUSE_TURNS_MOST)):
                self._turn()
            self._pauses -= 1
            self.tell("wakes up", who)
            if who.is_doomed:
                raise Killed

    def is_claim(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> bool:
        return tp.topic == self.names.journal_topic and not any(headers for _, _, headers in batch)

    def new_owner_id(self, who: Instance) -> str:
        self._claims += 1
        return f"{who.number}-{self._claims}"

    def some_window(self) -> int:
        return self._windows[self.weather.strikes("other_window")]

    def some_stock(self) -> dict[str, int]:
        return self._random_stock() if self.weather.strikes("other_stock") else self._stock

    def _random_stock(self) -> dict[str, int]:
        return {item: self.random.randint(0, 12) for item in ITEMS if self.random.random() < 0.8}

    # What can happen: the table is in faults.py

    def _turn(self) -> None:
        if self._turns_left <= 0:
            return
        self._turns_left -= 1
        self.clock.ms += self.random.choice((0, 1, 5))
        (turn,) = self.random.choices(self._turns, cum_weights=_WEIGHTS)
        turn()

    def an_instance_steps(self) -> None:
        who = self.random.choice(self.instances)
        if not who.is_busy:
            self.tell("steps", who)
            self._give_turn(who)

    def orders_come(self) -> None:
        self.customers.write()

    def a_late_batch_lands(self) -> None:
        if waiting := self.topics.in_flight:
            late = self.random.choice(waiting)
            self.tell(f"late: {len(late.batch)} records land in {late.tp}")
            self.topics.land_late(late)

    def a_member_hears_of_a_rebalance(self) -> None:
        who = self.random.choice(self.instances)
        if who.member:
            who.member.hear()

    def partitions_move(self) -> None:
        self.random.choice((self.inventory_group, self.analytics_group)).rebalance()

    def a_session_expires(self) -> None:
        if self.orphans:
            self._expire(self.orphans.pop())
        else:
            self._expire(self.random.choice(self.instances).member)

    def an_instance_is_killed(self) -> None:
        who = self.random.choice(self.instances)
        self.tell("is killed", who)
        if who.is_busy:
            who.is_doomed = True
        elif who.is_up:
            who.is_killed()

    def an_instance_is_stopped(self) -> None:
        who = self.random.choice(self.instances)
        if who.is_up:
            self.tell("is told to stop", who)
            who.stop.set()

    def time_passes(self) -> None:
        self.clock.ms += self.random.choice((1_000, 30_000))

    def a_snapshot_is_damaged(self) -> None:
        tp = self._a_snapshot_place()
        snapshots = self.topics.records_of(*tp)
        if snapshots:
            record = self.random.choice(snapshots[-2:])
            value = record.value or b""
            damaged = self.random.choice((None, b"", b"rubbish", value[:-3], value[:-1] + b"\xff\xff"))
            self.topics.rewrite(tp, record.offset, damaged)
            self.false_snapshots.add((tp, record.offset))

    def snapshots_are_compacted(self) -> None:
        self.topics.compact(self._a_snapshot_place())

    def a_snapshot_of_another_journal_comes(self) -> None:
        """As after the journal was deleted and made anew, or from a wrong prefix."""
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
        landed = self.topics.land(tp, [(b"even", packed(rule, fold), ())])
        self.false_snapshots.add((tp, landed.first))

    def a_stranger_writes_to_the_journal(self) -> None:
        """Rubbish, somebody else's entry under another name, or a claim that nobody follows up."""
        partition = self.random.randrange(self.partitions)
        entries = [
            record for record in self.topics.records_of(self.names.journal_topic, partition) if record.headers
        ]
        claim = OwnerClaimed(
            owner=f"stranger-{self.clock.ms}", rules=RULES_VERSION, window_orders=self.some_window()
        )
        wrong: list[ProducerRecord] = [(None, b"a stranger was here", ()), (None, encode(claim), ())]
        if entries:
            wrong.append((None, self.random.choice(entries).value, ((OWNER_HEADER, b"stranger"),)))
        self.topics.land(TopicPartition(self.names.journal_topic, partition), [self.random.choice(wrong)])

    # The end: no more faults

    def _heal(self) -> None:
        """Whoever is left, and at least one of each, must come to rest with everything done."""
        self.tell("the world heals")
        self.is_healed = True
        self.weather.clears()
        while self.topics.in_flight:
            late = self.random.choice(self.topics.in_flight)
            if self.random.random() < 0.5:
                self.topics.land_late(late)
            else:
                self.topics.in_flight.remove(late)
        for orphan in self.orphans:
            self._expire(orphan)
        for group in (self.inventory_group, self.analytics_group):
            group.rebalance()
        self.customers.one_order_each()
        self._run_until_idle()

    def _run_until_idle(self) -> None:
        idle, before = 0, ()
        for _ in range(HEALED_ROUNDS_MOST):
            for who in self.instances:
                who.stop.clear()
                self._give_turn(who)
            self.clock.ms += ROUND_MS
            ends = tuple(len(slots) for slots in self.topics.records.values())
            idle = idle + 1 if ends == before and self._is_settled() else 0
            if idle == IDLE_ROUNDS:
                return
            before = ends
        raise Violation("the world is healed, and does not come to rest")

    def _is_settled(self) -> bool:
        groups_are = self.inventory_group.is_settled and self.analytics_group.is_settled
        return groups_are and all(who.member and who.member.has_read_all() for who in self.instances)

    # Small things

    def _give_turn(self, who: Instance) -> None:
        try:
            who.turn()
        except Violation:
            raise
        except Exception as crash:
            raise Violation(f"{type(who).__name__} {who.number} crashed: {crash!r}") from crash

    def _expire(self, member: MemberPort | None) -> None:
        if member:
            self.inventory_group.drop(member)
            self.analytics_group.drop(member)

    def _a_snapshot_place(self) -> TopicPartition:
        names = (self.names.inventory_snapshots_topic, self.names.analytics_snapshots_topic)
        return TopicPartition(self.random.choice(names), self.random.randrange(self.partitions))

    def tell(self, what: str, who: Instance | None = None) -> None:
        if self._log:
            name = f"{type(who).__name__.lower()} {who.number} " if who else ""
            self._log(f"{self.clock.ms:>8} ms {'  ' * self._pauses}{name}{what}")
