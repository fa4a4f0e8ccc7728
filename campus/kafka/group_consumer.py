"""Membership of one consumer group on one topic: which partitions are assigned, and their next records.

Owned by one thread from construction to `close`. The caller sets every position: it seeks after each change
of the assignment, and nothing is read from an offset that it did not choose.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import ConsumerRebalanceListener, OffsetAndMetadata
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.structs import MemberState

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import BrokerAway, broker_errors, list_offsets, make_consumer
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import TopicPartition

COMMIT_METADATA = "campuskafka"  # and the offset: some tools keep the metadata of an offset that they move
REQUEST_TIMEOUT_MS = 2000  # of one request to the broker; a stop waits for it
CLOSE_TIMEOUT_MS = 2000


class Fenced(CampusError):
    """The group has gone on without this member; its partitions may belong to another one by now."""


@dataclass(frozen=True, slots=True)
class PollResult:
    """`revoked`: the partitions revoked since the last poll, even if they are assigned again."""

    assigned: frozenset[int]
    revoked: frozenset[int]
    batches: Mapping[int, Sequence[Any]]


class GroupConsumer:
    def __init__(
        self, kafka: KafkaConfig, *, topic: str, group: str, client_id: str, fetch_bytes_min: int = 1
    ) -> None:
        """Joins the group at the first poll. A fetch waits for `fetch_bytes_min` of new records, for at most
        `kafka.consumer.fetch_max_wait_ms`. Raises BrokerAway."""
        self.topic, self.group = topic, group
        self._kafka = kafka
        self._revocations = _Revocations()
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
        self._consumer.subscribe([topic], listener=self._revocations)

    def poll(self, *, timeout_s: float, records_max: int) -> PollResult:
        """The next records of the assigned partitions. Raises BrokerAway, HistoryMissing."""
        with broker_errors(self._kafka):
            try:
                self._continue_joining()
                polled = self._consumer.poll(round(timeout_s * 1000), max_records=records_max)
            except kafka_errors.NoOffsetForPartitionError:
                polled = {}  # just assigned, and the group never committed: the caller will seek
            except kafka_errors.OffsetOutOfRangeError as error:
                if self._sought.issuperset(tp.partition for tp in error.args[0]):
                    raise HistoryMissing(f"{self.topic} does not hold the next offset: {error}") from error
                polled = {}  # just assigned, and the commit is outside the log: the caller will seek
        revoked = self._revocations.drain()
        self._sought -= revoked
        assigned = frozenset(tp.partition for tp in self._consumer.assignment())
        batches = {tp.partition: records for tp, records in polled.items()}
        return PollResult(assigned, revoked, batches)

    def seek(self, partition: int, offset: int) -> None:
        """Raises Fenced."""
        tp = TopicPartition(self.topic, partition)
        with self._fenced_if_revoked():
            if tp not in self._consumer.assignment():
                raise kafka_errors.IllegalStateError("it is not assigned any more")
            self._consumer.seek(tp, offset)
            self._sought.add(partition)

    def positions(self, partitions: Collection[int]) -> dict[int, int]:
        """The next offsets to read; transaction markers take offsets too. Raises BrokerAway, Fenced."""
        with broker_errors(self._kafka), self._fenced_if_revoked():
            return {p: self._position(TopicPartition(self.topic, p)) for p in partitions}

    def ends(self, partitions: Collection[int]) -> dict[int, int]:
        """The offsets that the next records will get. Raises BrokerAway."""
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        ends = list_offsets(self._kafka, self._consumer.end_offsets, tps, timeout_ms=REQUEST_TIMEOUT_MS)
        return {tp.partition: end for tp, end in ends.items()}

    def externally_moved_offsets(self, partitions: Collection[int]) -> dict[int, int]:
        """The committed offsets that an external tool has set since our last commit. Raises BrokerAway."""
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        with broker_errors(self._kafka):
            commits = {
                tp: self._consumer.committed(tp, metadata=True, timeout_ms=REQUEST_TIMEOUT_MS) for tp in tps
            }
        return {
            tp.partition: commit.offset
            for tp, commit in commits.items()
            if commit is not None and not is_own_commit(commit)
        }

    def commit(self, partitions: Collection[int]) -> None:
        """Commit the positions, for lag and tools, and to learn whether this member is still in the group.
        Skipped during a rebalance: a later commit will do. Raises Fenced, BrokerAway."""
        tps = [TopicPartition(self.topic, partition) for partition in partitions]
        with broker_errors(self._kafka), self._fenced_if_revoked():
            try:
                offsets = {tp: _own_commit(self._position(tp)) for tp in tps}
                self._consumer.commit(offsets, timeout_ms=REQUEST_TIMEOUT_MS)
            except kafka_errors.RebalanceInProgressError:
                return
            except kafka_errors.CommitFailedError as error:
                raise Fenced(f"{self.group} has gone on without this member: {error}") from error

    def close(self) -> None:
        """Leave the group, so that the other members take over at once."""
        self._consumer.close(timeout_ms=CLOSE_TIMEOUT_MS)

    @contextmanager
    def _fenced_if_revoked(self) -> Iterator[None]:
        """kafka-python's I/O thread may revoke a partition at any moment after a poll."""
        try:
            yield
        except (kafka_errors.IllegalStateError, kafka_errors.NoOffsetForPartitionError) as error:
            raise Fenced(f"a partition of {self.group} was revoked: {error}") from error

    def _continue_joining(self) -> None:
        """Request a join that is in progress again, so that the next poll continues it.

        kafka-python forgets a join that outlasts a poll: a leader that rejoined for new partitions sees no
        reason to go on once it has assigned them. Then it never takes its own assignment, sends no
        heartbeats, and the group drops it without a word. There is no public API for this.
        """
        if self._consumer.group_metadata().state is MemberState.REBALANCING:
            self._consumer._coordinator.request_rejoin()

    def _position(self, tp: TopicPartition) -> int:
        position = self._consumer.position(tp, timeout_ms=REQUEST_TIMEOUT_MS)
        if position is None:
            raise BrokerAway(self._kafka, f"no position for {tp.topic}-{tp.partition}")
        return int(position)


def is_own_commit(commit: OffsetAndMetadata) -> bool:
    """Whether a role of ours made this commit and nobody moved it. Older versions left the offset out."""
    return commit.metadata in (COMMIT_METADATA, _own_commit(commit.offset).metadata)


def _own_commit(position: int) -> OffsetAndMetadata:
    return OffsetAndMetadata(position, f"{COMMIT_METADATA} {position}", -1)


class _Revocations(ConsumerRebalanceListener):  # type: ignore[misc]
    """kafka-python calls it on its I/O thread, where nothing may block."""

    def __init__(self) -> None:
        self._partitions: deque[int] = deque()  # its methods are safe in several threads

    def drain(self) -> frozenset[int]:
        count = len(self._partitions)
        return frozenset(self._partitions.popleft() for _ in range(count))

    def on_partitions_assigned(self, assigned: Any) -> None:
        pass  # the assignment is read after each poll

    def on_partitions_revoked(self, revoked: Any) -> None:
        self._partitions.extend([tp.partition for tp in revoked])

    on_partitions_lost = on_partitions_revoked
