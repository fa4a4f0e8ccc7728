"""What an instance has of the broker: a writer, a history reader, a membership. Every call is a place where
it can be paused, killed, or told a lie about the network.

To be paused is plain recursion: the world lets others take their turns inside the call. So an instance
that wakes up goes on from the middle of its step, whatever has happened, and everything is one thread.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING

from kafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from campus.config.settings import KafkaConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced, Polled
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import AppendResult, Bounds, ProducerRecord, TopicPartition
from tests.builders import ARecord
from tests.simulation.broker import LATE_BY_MOST, Coordinator, InFlight

if TYPE_CHECKING:
    from tests.simulation.instances import Instance
    from tests.simulation.world import World

KAFKA = KafkaConfig()
FATES = ("lost", "late", "repeated", "unacknowledged")  # of a batch, if it does not just land
READ_RECORDS_MAX = 8
REDELIVERED_MOST = 4


class Killed(BaseException):
    """Not to be caught by anything that runs in a killed process."""


class _Port:
    def __init__(self, world: "World", who: "Instance") -> None:
        self._world, self._who = world, who
        self._weather, self._topics, self._random = world.weather, world.topics, world.random

    def _call(self) -> None:
        self._world.pause(self._who)
        if self._weather.strikes("away"):
            raise BrokerAway(KAFKA, "so it seems")


class WriterPort(_Port):
    def append(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]
    ) -> dict[TopicPartition, AppendResult]:
        self._world.pause(self._who)
        if all(tp.topic.endswith("-snapshots") for tp in records) and self._weather.strikes("refused"):
            raise AppendFailed({tp: MessageSizeTooLargeError("too large") for tp in records})
        failed: dict[TopicPartition, Exception] = {}
        landed: dict[TopicPartition, AppendResult] = {}
        for rounds_before, batches in enumerate(self._rounds(records)):
            if rounds_before:
                self._world.pause(self._who)
            for tp, batch in batches.items():
                at = self._land(tp, batch)
                if at is None:
                    failed[tp] = KafkaConnectionError("lost")
                else:
                    landed[tp] = AppendResult(landed[tp].first if tp in landed else at.first, at.end)
            if failed:
                break
        self._world.pause(self._who)
        if failed:
            raise AppendFailed(failed)
        return landed

    def _rounds(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]
    ) -> list[dict[TopicPartition, Sequence[ProducerRecord]]]:
        if not self._weather.strikes("in_rounds"):
            return [dict(records)]
        cuts = {tp: self._random.randint(1, len(batch)) for tp, batch in records.items()}
        rests = {tp: batch[cuts[tp] :] for tp, batch in records.items()}
        return [
            {tp: batch[: cuts[tp]] for tp, batch in records.items()},
            {tp: rest for tp, rest in rests.items() if rest},
        ]

    def _land(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult | None:
        """None if it is not acknowledged."""
        fate = next((fate for fate in FATES if self._weather.strikes(fate)), "landed")
        self._world.tell(f"{len(batch)} records for {tp}: {fate}", self._who)
        if fate == "lost":
            return None
        if fate == "late":
            self._send_late(tp, batch)
            return None
        landed = self._topics.land(tp, batch)
        if fate == "repeated":
            self._repeat(tp, batch)
        return None if fate == "unacknowledged" else landed

    def _repeat(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> None:
        # A claim is repeated at once or not at all: the writer never sends a batch twice, and an
        # acknowledged claim that came again after somebody else's would give an old owner its voice back.
        if self._world.is_claim(tp, batch) or self._random.random() < 0.5:
            self._topics.land(tp, batch)
        else:
            self._send_late(tp, batch)

    def _send_late(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> None:
        passed_by = self._random.choice((1, 1, 2, 3, LATE_BY_MOST))
        self._topics.in_flight.append(InFlight(tp, batch, passed_by))


class ReaderPort(_Port):
    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        self._call()
        return {tp: Bounds(0, self._topics.end(tp)) for tp in tps}

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Event | None = None
    ) -> Iterator[tuple[TopicPartition, Sequence[ARecord]]]:
        for tp, span in spans.items():
            for start in range(span.start, span.end, READ_RECORDS_MAX):
                self._call()
                if stop and stop.is_set():
                    return
                if records := self._topics.span(tp, start, min(start + READ_RECORDS_MAX, span.end)):
                    yield tp, records


class MemberPort(_Port):
    """A membership, as kafka-python keeps it: a view of the assignment that may be old."""

    def __init__(self, world: "World", who: "Instance", group: Coordinator, topic: str) -> None:
        super().__init__(world, who)
        self._group, self._topic = group, topic
        self.assigned: set[int] = set()
        self._positions: dict[int, int | None] = {}
        self._lost: set[int] = set()
        self._knows_it_is_out = True  # of the group, when it is

    def gain(self, partition: int, position: int | None) -> None:
        self.assigned.add(partition)
        self._positions[partition] = position

    def lose(self, partitions: set[int]) -> None:
        self._lost |= partitions
        self.assigned = self.assigned - partitions

    def hear(self) -> None:
        """What the client's I/O thread does by itself, also in the middle of a step."""
        if self in self._group.members:
            self._group.sync(self)

    def leave(self) -> None:
        self._group.drop(self)

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        self._call()
        if self not in self._group.members and (
            self._knows_it_is_out or not self._weather.strikes("not_told")
        ):
            self.lose(self.assigned)
            self._group.join(self)
            self._knows_it_is_out = False
        self.hear()
        lost, self._lost = frozenset(self._lost), set()
        batches = {}
        for partition in sorted(self.assigned):
            if records := self._fetched(partition, records_max):
                batches[partition] = records
        if not batches:
            self._world.clock.ms += round(timeout_s * 1000)
        return Polled(frozenset(self.assigned), lost, batches)

    def seek(self, partition: int, offset: int) -> None:
        self._check_is_assigned(partition)
        self._positions[partition] = offset

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        self._call()
        return {partition: self._position(partition) for partition in partitions}

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        self._call()
        return {
            partition: self._topics.end(TopicPartition(self._topic, partition)) for partition in partitions
        }

    def commit(self, partitions: Collection[int]) -> None:
        self._call()
        if self not in self._group.members:
            self._knows_it_is_out = True
            raise Fenced("the group goes on without this member")
        if self._weather.strikes("rebalancing"):
            return
        self._group.committed.update({partition: self._position(partition) for partition in partitions})

    def moved_by_hand(self, partitions: Collection[int]) -> dict[int, int]:
        self._call()
        anywhere = self._topics.end(TopicPartition(self._topic, 0)) + 5
        moved = [p for p in sorted(partitions) if self._weather.strikes("moved_by_hand")]
        return {partition: self._random.randint(0, anywhere) for partition in moved}

    def has_read_all(self) -> bool:
        return all(
            self._positions[partition] == self._topics.end(TopicPartition(self._topic, partition))
            for partition in self.assigned
        )

    def _fetched(self, partition: int, records_max: int) -> list[ARecord]:
        position = self._positions[partition]
        if position is None:
            return []
        tp = TopicPartition(self._topic, partition)
        if self._weather.strikes("redelivered"):
            position = max(0, position - self._random.randint(1, REDELIVERED_MOST))
        end = self._topics.end(tp)
        if not self._world.is_healed:
            most = self._random.choice((0, 1, records_max, records_max))
            end = min(end, position + most)
        if end > position:
            self._positions[partition] = max(end, self._positions[partition] or 0)
        return self._topics.span(tp, position, end)

    def _position(self, partition: int) -> int:
        self._check_is_assigned(partition)
        position = self._positions[partition]
        if position is None:
            raise Fenced("it was taken away and came back, and nobody ever committed its offset")
        return position

    def _check_is_assigned(self, partition: int) -> None:
        if partition not in self.assigned:
            raise Fenced(f"partition {partition} was taken away")
