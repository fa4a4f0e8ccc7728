"""A world of several inventories and analytics on one simulated broker, driven by chance from one seed.

First everything goes wrong that can, one turn at a time; then the world heals, and everybody who is left
must bring it to an end: what was ordered is decided, and the counts agree. No clock but the world's, no
thread, nothing that the seed does not decide: the same seed is the same history, byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random
from threading import Event

from campus.domain.events import OwnerClaimed
from campus.domain.journal import OWNER_HEADER, JournalRule
from campus.domain.metrics import OrderMetrics
from campus.domain.rules import StockRules
from campus.domain.snapshot import packed
from campus.domain.codec import encode
from campus.runtime.config import TopicsConfig
from campus.stream.clients import BrokerAway
from campus.stream.follower import Follower
from campus.stream.group import Fenced
from campus.stream.owner import Owner
from campus.stream.restore import Folds
from campus.stream.snapshots import Snapshots
from campus.stream.writer import AppendFailed, Outgoing, Place
from tests.simulation.broker import Clock, Coordinator, Topics
from tests.simulation.customers import ITEMS, Customers
from tests.simulation.faults import TURNS, Weather
from tests.simulation.ports import HistoryPort, Killed, MemberPort, WriterPort

TURNS_MOST = 120  # of one schedule
PAUSE_TURNS_MOST = 20
PAUSES_INSIDE_EACH_OTHER = 3
SESSION_EXPIRES_IN_A_PAUSE = 0.4
STARTS_AGAIN = 0.3  # at each turn of one that is down
SMALL_WINDOWS, LARGE_WINDOWS = (1, 2, 4), (8, 30, 100)  # orders
HEALED_ROUNDS_MOST = 300
IDLE_ROUNDS = 2
ROUND_MS = 1100  # so that a commit is due in each

METRICS = Folds(lambda _: OrderMetrics(), lambda _, state: OrderMetrics.from_state(state))
_NAMES, _WEIGHTS = list(TURNS), list(accumulate(TURNS.values()))


class Violation(Exception):
    """What must never happen, happened."""


class Instance:
    """One process of a role: up or down, and at times asleep in the middle of its step."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.is_busy = False  # its step is on the stack
        self.is_doomed = False  # killed in its sleep
        self.stop = Event()
        self.member: MemberPort | None = None

    @property
    def is_up(self) -> bool:
        return self.member is not None

    def turn(self) -> None:
        """Start, or make one step as `run_through_outages` does, and stop if told so."""
        if not self.is_up:
            if self.world.random.random() < STARTS_AGAIN or self.world.is_healed:
                self.start()
            return
        self.is_busy = True
        try:
            self._step_or_start_anew()
            if self.is_up and self.stop.is_set():
                self._finish()
                self.goes_down_in_order()
        except Killed:
            self.is_killed()
        finally:
            self.is_busy = False

    def start(self) -> None:
        self.stop = Event()
        self.is_doomed = False
        self.member = self.build()

    def goes_down_in_order(self) -> None:
        assert self.member
        self.member.leave()
        self.member = None

    def is_killed(self) -> None:
        """Its session goes on until somebody notices."""
        self.world.orphans.append(self.member)
        self.member = None

    def _step_or_start_anew(self) -> None:
        steps = self.steps()
        try:
            steps.step(self.stop)
        except Fenced:
            steps.start_anew()
        except (AppendFailed, BrokerAway) as away:
            if isinstance(away, BrokerAway):
                steps.start_anew()
            elif not away.retriable or self.world.weather.strikes("given_up"):
                self.goes_down_in_order()  # the supervisor closes what crashes, and starts it again
            else:
                steps.start_anew()

    def _finish(self) -> None:
        try:
            self.finish()
        except (AppendFailed, BrokerAway, Fenced):
            pass  # it stops without a last snapshot

    def build(self) -> MemberPort:
        raise NotImplementedError

    def steps(self) -> Owner | Follower:
        raise NotImplementedError

    def finish(self) -> None:
        raise NotImplementedError

    def snapshots(self, topic: str) -> Snapshots:
        return Snapshots(
            WriterPort(self.world, self),
            topic,
            every_events=self.world.random.choice((1, 3, 10)),
            every_s=self.world.random.choice((1, 10)),
            clock=self.world.clock,
        )


class Inventory(Instance):
    owner: Owner

    def build(self) -> MemberPort:
        world = self.world
        member = MemberPort(world, self, world.inventory_group, world.names.orders_topic)
        self.owner = Owner(
            StockRules(
                partitions=world.partitions,
                opening_stock=world.some_stock(),
                window_orders=world.some_window(),
            ),
            world.names,
            group=member,
            history=HistoryPort(world, self),
            log=WriterPort(world, self),
            snapshots=self.snapshots(world.names.inventory_snapshots_topic),
            records_max=world.random.choice((2, 5, 20)),
            say=lambda _: None,
            clock=world.clock,
            new_owner_id=lambda: world.new_owner_id(self),
        )
        return member

    def steps(self) -> Owner:
        return self.owner

    def finish(self) -> None:
        self.owner.finish()


class Analytics(Instance):
    follower: Follower[OrderMetrics]

    def build(self) -> MemberPort:
        world = self.world
        member = MemberPort(world, self, world.analytics_group, world.names.journal_topic)
        self.follower = Follower(
            METRICS,
            world.names,
            group=member,
            history=HistoryPort(world, self),
            snapshots=self.snapshots(world.names.analytics_snapshots_topic),
            records_max=world.random.choice((2, 5, 20)),
            clock=world.clock,
        )
        return member

    def steps(self) -> Follower[OrderMetrics]:
        return self.follower

    def finish(self) -> None:
        self.follower.finish(within_s=2.0)


class World:
    def __init__(
        self,
        random: Random,
        odds: Mapping[str, float] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """`odds`: of these faults and no others."""
        self.random, self._say = random, say
        self.partitions = random.choice((1, 2, 2, 3))
        self.names = TopicsConfig(partitions=self.partitions)
        self.clock = Clock()
        self.topics = Topics(self.clock)
        self.weather = Weather(random, odds) if odds else Weather.drawn(random)
        self.customers = Customers(random, self.topics, self.names.orders_topic, self.partitions)
        self.inventory_group = Coordinator(random, self.partitions)
        self.analytics_group = Coordinator(random, self.partitions)
        self.orphans: list[MemberPort | None] = []  # sessions of the killed
        self.false_snapshots: set[tuple[Place, int]] = set()  # not for an instance to answer for
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
            self._tell("sleeps", who)
            self._pauses += 1
            if self.random.random() < SESSION_EXPIRES_IN_A_PAUSE:
                self._expire(who.member)
            for _ in range(self.random.randint(1, PAUSE_TURNS_MOST)):
                self._turn()
            self._pauses -= 1
            self._tell("wakes up", who)
            if who.is_doomed:
                raise Killed

    def is_claim(self, place: Place, batch: Sequence[Outgoing]) -> bool:
        return place.topic == self.names.journal_topic and not any(headers for _, _, headers in batch)

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
            self._tell("steps", who)
            self._give_turn(who)

    def orders_come(self) -> None:
        self.customers.write()

    def a_late_batch_lands(self) -> None:
        if waiting := self.topics.in_flight:
            late = self.random.choice(waiting)
            self._tell(f"late: {len(late.batch)} records land in {late.place}")
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
        self._tell("is killed", who)
        if who.is_busy:
            who.is_doomed = True
        elif who.is_up:
            who.is_killed()

    def an_instance_is_stopped(self) -> None:
        who = self.random.choice(self.instances)
        if who.is_up:
            self._tell("is told to stop", who)
            who.stop.set()

    def time_passes(self) -> None:
        self.clock.ms += self.random.choice((1_000, 30_000))

    def a_snapshot_is_damaged(self) -> None:
        place = self._a_snapshot_place()
        snapshots = self.topics.records_of(*place)
        if snapshots:
            record = self.random.choice(snapshots[-2:])
            value = record.value or b""
            damaged = self.random.choice((None, b"", b"rubbish", value[:-3], value[:-1] + b"\xff\xff"))
            self.topics.rewrite(place, record.offset, damaged)
            self.false_snapshots.add((place, record.offset))

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
            rules = StockRules(partitions=self.partitions, opening_stock={}, window_orders=1)
            fold = rules.fold(partition)
            fold.seq, fold.next_offset, fold.stock = rule.seq, rule.seq, dict.fromkeys(ITEMS, 1000)
        place = Place(topic, partition)
        landed = self.topics.land(place, [(b"even", packed(rule, fold), ())])
        self.false_snapshots.add((place, landed.first))

    def a_stranger_writes_to_the_journal(self) -> None:
        """Rubbish, somebody else's entry under another name, or a claim that nobody follows up."""
        partition = self.random.randrange(self.partitions)
        entries = [record for record in self.topics.records_of(self.names.journal_topic, partition) if record.headers]
        claim = OwnerClaimed(owner=f"stranger-{self.clock.ms}", rules=1, window_orders=self.some_window())
        wrong: list[Outgoing] = [(None, b"a stranger was here", ()), (None, encode(claim), ())]
        if entries:
            wrong.append((None, self.random.choice(entries).value, ((OWNER_HEADER, b"stranger"),)))
        self.topics.land(Place(self.names.journal_topic, partition), [self.random.choice(wrong)])

    # The end: no more faults

    def _heal(self) -> None:
        """Whoever is left, and at least one of each, must come to rest with everything done."""
        self._tell("the world heals")
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

    def _a_snapshot_place(self) -> Place:
        names = (self.names.inventory_snapshots_topic, self.names.analytics_snapshots_topic)
        return Place(self.random.choice(names), self.random.randrange(self.partitions))

    def _tell(self, what: str, who: Instance | None = None) -> None:
        if self._say:
            name = f"{type(who).__name__.lower()} {who.number} " if who else ""
            self._say(f"{self.clock.ms:>8} ms {'  ' * self._pauses}{name}{what}")
