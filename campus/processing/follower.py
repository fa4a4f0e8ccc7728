"""The loop that follows the journal and adds it up: poll, fold what counts, commit, again.

Its invariant: a partition's fold holds all that counts from the journal's beginning up to its position,
and nothing else. It changes nothing that others stand on, so a fault costs only reading again.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event as StopEvent
from typing import Any, Generic, TypeVar

from campus.config.settings import TopicsConfig
from campus.kafka.group_consumer import GroupConsumer
from campus.kafka.log_reader import LogReader
from campus.kafka.records import TopicPartition
from campus.processing.moved_offsets import Wishes
from campus.processing.restore import Foldable, Folds, RestoredState, Restorer
from campus.processing.snapshots import Snapshots

POLL_S = 0.2
COMMIT_EVERY_S = 1.0

A = TypeVar("A", bound=Foldable)


class Follower(Generic[A]):
    def __init__(
        self,
        folds: Folds[A],
        topics: TopicsConfig,
        *,
        group: GroupConsumer,
        history: LogReader,
        snapshots: Snapshots,
        records_max: int,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topics = topics
        self._group, self._history, self._snapshots = group, history, snapshots
        self._restorer = Restorer(
            folds, history, journal=topics.journal_topic, snapshots=topics.analytics_snapshots_topic
        )
        self._wishes = Wishes(group, self._restorer, log)
        self._records_max, self._clock = records_max, clock
        self._followed: dict[int, RestoredState[A]] = {}
        self._commit_due_at = clock()

    def folds(self) -> dict[int, A]:
        """Per partition that is ours; of the thread that steps."""
        return {partition: followed.fold for partition, followed in self._followed.items()}

    def folds_of_all(self) -> dict[int, A]:
        """Also of the partitions that other instances have, from their snapshots and the tails after them.

        Raises BrokerAway, HistoryMissing.
        """
        others = set(range(self._topics.partitions)) - self._followed.keys()
        tps = [TopicPartition(self._topics.journal_topic, partition) for partition in others]
        ends = {tp.partition: at.end for tp, at in self._history.bounds(tps).items()}
        restored = self._restorer.restored(ends, StopEvent())
        return self.folds() | {partition: folded.fold for partition, folded in restored.items()}

    def step(self, stop: StopEvent) -> bool:
        """One round; says whether the group has confirmed us.

        Raises AppendFailed, BrokerAway, Fenced, HistoryMissing.
        """
        if new := self._take_in():
            self._restore(new, stop)
        self._snapshots.write_due(self._followed)
        return self._commit_if_due()

    def start_anew(self) -> None:
        """After an error there is nothing to throw away: what was read is true, and positions go with it."""

    def finish(self, *, within_s: float) -> None:
        """At a clean stop: take in what stands in the journal now, write it down, publish how far we came."""
        deadline = self._clock() + within_s
        ends = self._group.ends(self._followed.keys())
        while self._is_behind(ends) and self._clock() < deadline:
            self._take_in()
        self._snapshots.write(self._followed)
        if self._followed:
            self._group.commit(self._followed.keys())

    def _restore(self, partitions: Collection[int], stop: StopEvent) -> None:
        folded = self._restored_as_wished(self._group.ends(partitions), stop)
        if stop.is_set():
            return
        for partition, followed in folded.items():
            self._snapshots.count_from(partition, followed)
            self._followed[partition] = followed
            self._group.seek(partition, followed.rule.offset + 1)

    def _restored_as_wished(self, ends: Mapping[int, int], stop: StopEvent) -> dict[int, RestoredState[A]]:
        restored = self._restorer.restored(ends, stop)
        if stop.is_set():
            return restored
        # What was counted before this start is what the snapshot has; the journal has grown since.
        counted = {p: one.begun_at or one.rule.offset + 1 for p, one in restored.items()}
        return self._wishes.heeded(restored, counted, ends, stop)

    def _take_in(self) -> Collection[int]:
        """Fold what comes next of the partitions that are ours; says which of them are new.

        Polling has moved the positions, so folding comes before all that can fail. Partitions that were
        taken away are no longer ours, even if they came back: then reading goes on from elsewhere. What we
        have of them is still true, and spares the next one work.
        """
        polled = self._group.poll(timeout_s=POLL_S, records_max=self._records_max)
        gone = polled.revoked | (self._followed.keys() - polled.assigned)
        released = {p: self._followed.pop(p) for p in gone if p in self._followed}
        self._fold(polled.batches)
        self._snapshots.write(released)
        return polled.assigned - self._followed.keys()

    def _fold(self, batches: Mapping[int, Sequence[Any]]) -> None:
        for partition, records in batches.items():
            if partition in self._followed:
                followed = self._followed[partition]
                for event in followed.rule.counting(records):
                    followed.fold.apply(event)

    def _is_behind(self, ends: Mapping[int, int]) -> bool:
        positions = self._group.positions(self._followed.keys())
        return any(position < ends[partition] for partition, position in positions.items())

    def _commit_if_due(self) -> bool:
        if not self._followed or self._clock() < self._commit_due_at:
            return False
        self._group.commit(self._followed.keys())
        self._commit_due_at = self._clock() + COMMIT_EVERY_S
        return True
