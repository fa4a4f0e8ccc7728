"""Membership of one consumer group on one topic: which partitions are ours, and what comes next.

Owned by one thread from its making to its closing. Positions are the caller's to say: after a
change of the assignment it seeks, and nothing is read from an offset that it did not name.
"""

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CommitFailedError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
)
from kafka.structs import MemberState

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import BrokerAway, broker_errors, make_consumer, offsets_of
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import TopicPartition

COMMIT_METADATA = "campuskafka"  # and the offset: tools that move one may keep the metadata as it was
ASK_TIMEOUT_MS = 2000  # of one question to the broker; stopping waits for it
CLOSE_TIMEOUT_MS = 2000


class Fenced(CampusError):
    """The group goes on without this member; what it owned may be somebody else's by now."""


@dataclass(frozen=True, slots=True)
class Polled:
    """`lost`: partitions that were taken away since the last poll, even if they came back since."""

    assigned: frozenset[int]
    lost: frozenset[int]
    batches: Mapping[int, Sequence[Any]]


class GroupConsumer:
    def __init__(
        self, kafka: KafkaConfig, *, topic: str, group: str, client_id: str, fetch_bytes_min: int = 1
    ) -> None:
        """Join the group, at the first poll. Raises BrokerAway.

        With fewer than `fetch_bytes_min` of new records a fetch waits for more, up to
        `kafka.consumer.fetch_max_wait_ms`.
        """
        self.topic, self.group = topic, group
        self._kafka = kafka
        self._taken = _TakenAway()
        self._sought: set[int] = set()
        settings = kafka.consumer
        self._consumer = make_consumer(
            kafka,
            client_id=client_id,
            group_id=group,
            fetch_min_bytes=fetch_bytes_min,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            partition_assignment_strategy=(CooperativeStickyAssignor,),
        )
        self._consumer.subscribe([topic], listener=self._taken)

    def poll(self, *, timeout_s: float, records_max: int) -> Polled:
        """The next records of the partitions that are ours. Raises BrokerAway, HistoryMissing."""
        with broker_errors(self._kafka):
            try:
                self._go_on_joining()
                polled = self._consumer.poll(round(timeout_s * 1000), max_records=records_max)
            except NoOffsetForPartitionError:
                # A group that never committed, in the poll that assigns: the caller will seek.
                polled = {}
            except OffsetOutOfRangeError as fault:
                if self._sought.issuperset(tp.partition for tp in fault.args[0]):
                    raise HistoryMissing(f"{self.topic} does not hold the next offset: {fault}") from fault
                polled = {}  # the same: somebody has committed what the log does not hold
        lost = self._taken.drained()
        self._sought -= lost
        assigned = frozenset(tp.partition for tp in self._consumer.assignment())
        batches = {tp.partition: records for tp, records in polled.items()}
        return Polled(assigned, lost, batches)

    def seek(self, partition: int, offset: int) -> None:
        """Raises Fenced."""
        tp = TopicPartition(self.topic, partition)
        with self._still_ours():
            if tp not in self._consumer.assignment():
                raise IllegalStateError("it is not assigned any more")
            self._consumer.seek(tp, offset)
            self._sought.add(partition)

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """Where reading goes on; beyond the last record if a transaction's marker followed it.

        Raises BrokerAway, Fenced.
        """
        with broker_errors(self._kafka), self._still_ours():
            return {p: self._position(TopicPartition(self.topic, p)) for p in partitions}

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """The offsets that the next records will get. Raises BrokerAway, soon."""
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        if not tps:
            return {}
        ends = offsets_of(self._kafka, self._consumer.end_offsets, tps, timeout_ms=ASK_TIMEOUT_MS)
        return {tp.partition: end for tp, end in ends.items()}

    def moved_by_hand(self, partitions: Collection[int]) -> dict[int, int]:
        """Of those whose last commit is not ours, to where it is: some tool has moved it.

        Raises BrokerAway.
        """
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        with broker_errors(self._kafka):
            commits = {p: self._consumer.committed(p, metadata=True, timeout_ms=ASK_TIMEOUT_MS) for p in tps}
        return {
            tp.partition: commit.offset
            for tp, commit in commits.items()
            if commit is not None and not is_ours(commit)
        }

    def commit(self, partitions: Collection[int]) -> None:
        """Publish how far we have read, for lag and for tools; and ask whether we still belong.

        Raises Fenced, BrokerAway. In the middle of a rebalance it does nothing: a later one will do.
        """
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        with broker_errors(self._kafka), self._still_ours():
            try:
                offsets = {tp: _commit_of(self._position(tp)) for tp in tps}
                self._consumer.commit(offsets, timeout_ms=ASK_TIMEOUT_MS)
            except RebalanceInProgressError:
                return
            except CommitFailedError as fenced:
                raise Fenced(f"{self.group} goes on without this member: {fenced}") from fenced

    def close(self) -> None:
        """Leave the group, so that the others take over at once."""
        self._consumer.close(timeout_ms=CLOSE_TIMEOUT_MS)

    @contextmanager
    def _still_ours(self) -> Iterator[None]:
        """kafka-python's I/O thread may take a partition away at any moment since the last poll."""
        try:
            yield
        except (IllegalStateError, NoOffsetForPartitionError) as taken:
            raise Fenced(f"a partition of {self.group} was taken away: {taken}") from taken

    def _go_on_joining(self) -> None:
        """As long as a join is under way, give the next poll a reason to go on with it.

        kafka-python forgets one that outlasts a poll: the leader who joins again, since it learned of new
        partitions, sees no reason any more once it has shared them out. Then nobody takes its assignment, it
        beats no more, the group drops it, and it is never told. There is no public way to say it.
        """
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()

    def _position(self, tp: TopicPartition) -> int:
        position = self._consumer.position(tp, timeout_ms=ASK_TIMEOUT_MS)
        if position is None:
            raise BrokerAway(self._kafka, f"no position for {tp.topic}-{tp.partition}")
        return int(position)


def is_ours(commit: OffsetAndMetadata) -> bool:
    """Whether it was committed by a role of ours, and nobody has moved it since. Without an offset it is
    believed: so the commits of older versions were."""
    return commit.metadata in (COMMIT_METADATA, _commit_of(commit.offset).metadata)


def _commit_of(position: int) -> OffsetAndMetadata:
    return OffsetAndMetadata(position, f"{COMMIT_METADATA} {position}", -1)


class _TakenAway(ConsumerRebalanceListener):  # type: ignore[misc]
    """Only takes notes: kafka-python calls it on its I/O thread, where nothing may block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._partitions: set[int] = set()

    def drained(self) -> frozenset[int]:
        with self._lock:
            taken, self._partitions = frozenset(self._partitions), set()
        return taken

    def on_partitions_assigned(self, assigned: Any) -> None:
        pass  # the assignment is read after each poll

    def on_partitions_revoked(self, revoked: Any) -> None:
        with self._lock:
            self._partitions.update(tp.partition for tp in revoked)

    def on_partitions_lost(self, lost: Any) -> None:
        self.on_partitions_revoked(lost)
