"""The simulated processes: the real loops of the roles, with ports instead of Kafka clients.

A failed step is handled as `run_through_outages` and the supervisor handle it, without the waiting.
"""

from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING

from campus.inventory.ledger import StockLedger
from campus.inventory.rules import StockRules
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced
from campus.kafka.producer.errors import AppendFailed
from campus.processing.follower import Follower
from campus.processing.owner import Owner
from campus.processing.role_loop import Clients
from campus.processing.snapshots import Snapshots
from tests.simulation.ports import Killed, MemberPort, ReaderPort, WriterPort

if TYPE_CHECKING:
    from tests.simulation.world import World

START_CHANCE = 0.3  # at each turn of an instance that is down
RECORDS_MAX = (2, 5, 20)  # of a poll
SNAPSHOT_EVERY_EVENTS, SNAPSHOT_EVERY_S = (1, 3, 10), (1, 10)


class Instance:
    """One process of a role: up or down, and sometimes paused in the middle of its step."""

    def __init__(self, world: "World", number: int) -> None:
        self.world, self.number = world, number
        self.is_busy = False  # its step is on the stack
        self.is_kill_pending = False  # killed while it is paused
        self.stop = Event()
        self.member: MemberPort | None = None

    @property
    def is_up(self) -> bool:
        return self.member is not None

    def turn(self) -> None:
        """Start if down; else make one step as `run_through_outages` does, and stop if `stop` is set."""
        if not self.is_up:
            if self.world.random.random() < START_CHANCE or self.world.is_healed:
                self.start()
            return
        self.is_busy = True
        try:
            self._step_or_reset()
            if self.is_up and self.stop.is_set():
                self._finish()
                self.shut_down()
        except Killed:
            self.kill()
        finally:
            self.is_busy = False

    def start(self) -> None:
        self.stop = Event()
        self.is_kill_pending = False
        self.member = self.build()

    def shut_down(self) -> None:
        assert self.member
        self.member.leave()
        self.member = None

    def kill(self) -> None:
        """Its group session lasts until it expires."""
        self.world.killed_members.append(self.member)
        self.member = None

    def _step_or_reset(self) -> None:
        steps = self.steps()
        try:
            steps.step(self.stop)
        except AppendFailed as failed:
            self.world.log_event(f"fails: {failed}", self)
            if not failed.retriable or self.world.faults.happens("given_up"):
                self.shut_down()  # as the supervisor does after a crash: close, then start again
            else:
                steps.reset()
        except (Fenced, BrokerAway) as error:
            self.world.log_event(f"starts anew: {error}", self)
            steps.reset()

    def _finish(self) -> None:
        with suppress(AppendFailed, BrokerAway, Fenced):  # then it stops without a last snapshot
            self.finish()

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
            every_events=self.world.random.choice(SNAPSHOT_EVERY_EVENTS),
            every_s=self.world.random.choice(SNAPSHOT_EVERY_S),
            clock=self.world.clock,
        )


class Inventory(Instance):
    owner: Owner

    def folds(self) -> dict[int, StockLedger]:
        return {partition: owned.fold for partition, owned in self.owner._owned.items()}

    def build(self) -> MemberPort:
        world = self.world
        member = MemberPort(world, self, world.inventory_group, world.names.orders_topic)
        self.owner = Owner(
            StockRules(
                partitions=world.partitions,
                opening_stock=world.opening_stock(),
                window_orders=world.window_orders(),
            ),
            world.names,
            Clients(member, ReaderPort(world, self), WriterPort(world, self)),
            snapshots=self.snapshots(world.names.inventory_snapshots_topic),
            records_max=world.random.choice(RECORDS_MAX),
            log=lambda _: None,
            clock=world.clock,
            new_owner_id=lambda: world.new_owner_id(self),
        )
        return member

    def steps(self) -> Owner:
        return self.owner

    def finish(self) -> None:
        self.owner.finish()


class Analytics(Instance):
    follower: Follower

    def build(self) -> MemberPort:
        world = self.world
        member = MemberPort(world, self, world.analytics_group, world.names.journal_topic)
        self.follower = Follower(
            world.names,
            Clients(member, ReaderPort(world, self), WriterPort(world, self)),
            snapshots=self.snapshots(world.names.analytics_snapshots_topic),
            records_max=world.random.choice(RECORDS_MAX),
            log=lambda _: None,
            clock=world.clock,
        )
        return member

    def steps(self) -> Follower:
        return self.follower

    def finish(self) -> None:
        self.follower.finish(within_s=2.0)
