"""The loop of analytics: polls the journal and folds the entries that count; it decides nothing.

The invariant: a partition's fold holds every event that counts from the journal's beginning up to its
position, and nothing else. Nothing else depends on a follower, so an error costs only reading again.
"""

import time
from collections.abc import Callable, Collection, Mapping
from threading import Event as StopEvent

from campus.analytics.metrics import OrderMetrics
from campus.config.settings import TopicsConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.records import TopicPartition
from campus.processing.moved_offsets import MovedOffsets
from campus.processing.restore import FoldFactory, RestoredState, Restorer
from campus.processing.role_loop import Clients, PeriodicCommit
from campus.processing.snapshots import Snapshots

POLL_S = 0.2
METRICS = FoldFactory(lambda _: OrderMetrics(), lambda _, state: OrderMetrics.from_state(state))


class Follower:
    def __init__(
        self,
        topics: TopicsConfig,
        clients: Clients,
        *,
        snapshots: Snapshots,
        records_max: int,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics, self._snapshots = topics, snapshots
        self._group, self._reader = clients.group, clients.reader
        self._restorer = Restorer(
            METRICS, clients.reader, journal=topics.journal_topic, snapshots=topics.analytics_snapshots_topic
        )
        self._moved_offsets = MovedOffsets(clients.group, self._restorer, log)
        self._records_max, self._clock = records_max, clock
        self._commits = PeriodicCommit(clients.group, clock)
        self._followed: dict[int, RestoredState[OrderMetrics]] = {}

    def folds(self) -> dict[int, OrderMetrics]:
        """The folds of our own partitions. Only for the thread that calls `step`."""
        return {partition: state.fold for partition, state in self._followed.items()}

    def folds_of_all(self) -> dict[int, OrderMetrics]:
        """The folds of all partitions; those of other instances from their snapshots and the journal's tail.

        Only our own while the broker is away. Raises HistoryMissing.
        """
        others = set(range(self._topics.partitions)) - self._followed.keys()
        tps = [TopicPartition(self._topics.journal_topic, partition) for partition in others]
        try:
            ends = {tp.partition: bounds.end for tp, bounds in self._reader.bounds(tps).items()}
            restored = self._restorer.restore(ends, StopEvent())
        except BrokerAway:
            return self.folds()
        return self.folds() | {partition: state.fold for partition, state in restored.items()}

    def step(self, stop: StopEvent) -> bool:
        """Poll and fold, restore newly assigned partitions, write due snapshots, commit.

        Returns whether the group confirmed our membership.
        Raises AppendFailed, BrokerAway, Fenced, HistoryMissing.
        """
        if new := self._poll_and_fold():
            self._restore(new, stop)
        self._snapshots.write_due(self._followed)
        return self._commits.commit_if_due(self._followed.keys())

    def reset(self) -> None:
        """Nothing to discard after an error: what was read is true, and the positions match it."""

    def finish(self, *, within_s: float) -> None:
        """At a clean stop: read on to the journal's present end, write snapshots, commit the offsets.

        Raises AppendFailed, BrokerAway, Fenced.
        """
        deadline = self._clock() + within_s
        ends = self._group.ends(self._followed.keys())
        while self._is_behind(ends) and self._clock() < deadline:
            self._poll_and_fold()
        self._snapshots.write(self._followed)
        if self._followed:
            self._group.commit(self._followed.keys())

    def _restore(self, partitions: Collection[int], stop: StopEvent) -> None:
        ends = self._group.ends(partitions)
        restored = self._restorer.restore(ends, stop)
        # The group's offset was committed for what the snapshot has; the journal has grown since.
        positions = {p: state.tail_start or state.rule.offset + 1 for p, state in restored.items()}
        restored = self._moved_offsets.apply(restored, positions, ends, stop)
        if stop.is_set():
            return
        for partition, state in restored.items():
            self._snapshots.track(partition, state)
            self._followed[partition] = state
            self._group.seek(partition, state.rule.offset + 1)

    def _poll_and_fold(self) -> Collection[int]:
        """Fold the next records of our partitions; returns the newly assigned partitions.

        The poll has advanced the positions, so folding comes before anything that can fail. A partition that
        was taken away is released even if it came back: its position has changed. Its state is still true, so
        a snapshot saves the next owner work.
        """
        polled = self._group.poll(timeout_s=POLL_S, records_max=self._records_max)
        gone = polled.revoked | (self._followed.keys() - polled.assigned)
        released = {p: self._followed.pop(p) for p in gone if p in self._followed}
        for partition, records in polled.batches.items():
            if partition in self._followed:
                state = self._followed[partition]
                for event in state.rule.counting(records):
                    state.fold.apply(event)
        self._snapshots.write(released)
        return polled.assigned - self._followed.keys()

    def _is_behind(self, ends: Mapping[int, int]) -> bool:
        positions = self._group.positions(self._followed.keys())
        return any(position < ends[partition] for partition, position in positions.items())
