"""An instance's Kafka clients: a writer, a log reader and a group consumer on the simulated broker.

At every request the instance can be paused or killed, or the request can fail. A pause is plain recursion:
inside the request, the world gives turns to the others. So a paused instance goes on from the middle of its
step, whatever has happened meanwhile, and everything runs in one thread.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING

from kafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from campus.config.settings import KafkaConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced, PollResult
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import AppendResult, Bounds, ProducerRecord, TopicPartition
from tests.builders import ARecord
from tests.simulation.broker import LATE_BATCHES_MAX, Coordinator, InFlight

if TYPE_CHECKING:
    from tests.simulation.instances import Instance
    from tests.simulation.world import World

KAFKA = KafkaConfig()
APPEND_FAULTS = ("lost", "late", "repeated", "unacknowledged")  # what can happen to a batch
READ_RECORDS_MAX = 8
REDELIVERED_MAX = 4


class Killed(BaseException):
    """A BaseException, so that no handler in the killed process catches it."""


class _Port:
    def __init__(self, world: "World", instance: "Instance") -> None:
        self._world, self._instance = world, instance
        self._faults, self._topics, self._random = world.faults, world.topics, world.random

    def _request(self) -> None:
        self._world.pause(self._instance)
        if self._faults.happens("away"):
            raise BrokerAway(KAFKA, "simulated")


class WriterPort(_Port):
    def append(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]
    ) -> dict[TopicPartition, AppendResult]:
        self._world.pause(self._instance)
        if all(tp.topic.endswith("-snapshots") for tp in records) and self._faults.happens("refused"):
            raise AppendFailed({tp: MessageSizeTooLargeError("too large") for tp in records})
        failed: dict[TopicPartition, Exception] = {}
        landed: dict[TopicPartition, AppendResult] = {}
        for number, batches in enumerate(self._batches(records)):
            if number:
                self._world.pause(self._instance)
            for tp, batch in batches.items():
                at = self._append_batch(tp, batch)
                if at is None:
                    failed[tp] = KafkaConnectionError("lost")
                else:
                    landed[tp] = AppendResult(landed[tp].first if tp in landed else at.first, at.end)
            if failed:
                break
        self._world.pause(self._instance)
        if failed:
            raise AppendFailed(failed)
        return landed

    def _batches(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]
    ) -> list[dict[TopicPartition, Sequence[ProducerRecord]]]:
        if not self._faults.happens("in_two_batches"):
            return [dict(records)]
        cuts = {tp: self._random.randint(1, len(batch)) for tp, batch in records.items()}
        rests = {tp: batch[cuts[tp] :] for tp, batch in records.items()}
        return [
            {tp: batch[: cuts[tp]] for tp, batch in records.items()},
            {tp: rest for tp, rest in rests.items() if rest},
        ]

    def _append_batch(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult | None:
        """The acknowledgement; None if it is lost."""
        fault = next((fault for fault in APPEND_FAULTS if self._faults.happens(fault)), "landed")
        self._world.log_event(f"{len(batch)} records for {tp}: {fault}", self._instance)
        if fault == "lost":
            return None
        if fault == "late":
            self._send_late(tp, batch)
            return None
        landed = self._topics.append_batch(tp, batch)
        if fault == "repeated":
            self._repeat(tp, batch)
        return None if fault == "unacknowledged" else landed

    def _repeat(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> None:
        # A claim is repeated at once or not at all: the writer never sends a batch twice, and if an
        # acknowledged claim came again after another one, the entries of the old owner would count again.
        if self._world.is_claim(tp, batch) or self._random.random() < 0.5:
            self._topics.append_batch(tp, batch)
        else:
            self._send_late(tp, batch)

    def _send_late(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> None:
        batches_before = self._random.choice((1, 1, 2, 3, LATE_BATCHES_MAX))
        self._topics.in_flight.append(InFlight(tp, batch, batches_before))


class ReaderPort(_Port):
    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        self._request()
        return {tp: Bounds(0, self._topics.end(tp)) for tp in tps}

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Event | None = None
    ) -> Iterator[tuple[TopicPartition, Sequence[ARecord]]]:
        for tp, span in spans.items():
            for start in range(span.start, span.end, READ_RECORDS_MAX):
                self._request()
                if stop and stop.is_set():
                    return
                if records := self._topics.span(tp, start, min(start + READ_RECORDS_MAX, span.end)):
                    yield tp, records


class MemberPort(_Port):
    """A group consumer with kafka-python's view of the assignment, which may be outdated."""

    def __init__(self, world: "World", instance: "Instance", group: Coordinator, topic: str) -> None:
        super().__init__(world, instance)
        self._group, self._topic = group, topic
        self.assigned: set[int] = set()
        self._positions: dict[int, int | None] = {}
        self._lost: set[int] = set()
        self._knows_it_was_dropped = True  # whether it knows that the group dropped it

    def gain(self, partition: int, position: int | None) -> None:
        self.assigned.add(partition)
        self._positions[partition] = position

    def lose(self, partitions: set[int]) -> None:
        self._lost |= partitions
        self.assigned = self.assigned - partitions

    def sync(self) -> None:
        """What the client's I/O thread does by itself, even in the middle of a step."""
        if self in self._group.members:
            self._group.sync(self)

    def leave(self) -> None:
        self._group.drop(self)

    def poll(self, *, timeout_s: float, records_max: int) -> PollResult:
        self._request()
        if self not in self._group.members and (
            self._knows_it_was_dropped or not self._faults.happens("unnoticed")
        ):
            self.lose(self.assigned)
            self._group.join(self)
            self._knows_it_was_dropped = False
        self.sync()
        lost, self._lost = frozenset(self._lost), set()
        batches = {}
        for partition in sorted(self.assigned):
            if records := self._fetched(partition, records_max):
                batches[partition] = records
        if not batches:
            self._world.clock.ms += round(timeout_s * 1000)
        return PollResult(frozenset(self.assigned), lost, batches)

    def seek(self, partition: int, offset: int) -> None:
        self._check_is_assigned(partition)
        self._positions[partition] = offset

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        self._request()
        return {partition: self._position(partition) for partition in partitions}

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        self._request()
        return {
            partition: self._topics.end(TopicPartition(self._topic, partition)) for partition in partitions
        }

    def commit(self, partitions: Collection[int]) -> None:
        self._request()
        if self not in self._group.members:
            self._knows_it_was_dropped = True
            raise Fenced("the group has dropped this member")
        if self._faults.happens("rebalancing"):
            return
        self._group.committed.update({partition: self._position(partition) for partition in partitions})

    def externally_moved_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        self._request()
        anywhere = self._topics.end(TopicPartition(self._topic, 0)) + 5
        moved = [p for p in sorted(partitions) if self._faults.happens("moved_by_hand")]
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
        if self._faults.happens("redelivered"):
            position = max(0, position - self._random.randint(1, REDELIVERED_MAX))
        end = self._topics.end(tp)
        if not self._world.is_healed:
            records = self._random.choice((0, 1, records_max, records_max))
            end = min(end, position + records)
        if end > position:
            self._positions[partition] = max(end, self._positions[partition] or 0)
        return self._topics.span(tp, position, end)

    def _position(self, partition: int) -> int:
        self._check_is_assigned(partition)
        position = self._positions[partition]
        if position is None:
            raise Fenced("it was lost and came back, and its offset was never committed")
        return position

    def _check_is_assigned(self, partition: int) -> None:
        if partition not in self.assigned:
            raise Fenced(f"partition {partition} was taken away")
