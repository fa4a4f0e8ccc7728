"""Restoring folds of the journal: from the newest snapshot that fits, and the journal's tail after it.

The result is the same as folding the journal from its beginning. A snapshot is believed only if it can be
read and if the record that it says it goes up to stands in the journal at its offset; else an older one is
taken, or the beginning.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as StopEvent
from typing import Any, Generic, Protocol, TypeVar

from campus.domain.events import JournalEvent
from campus.domain.journal import JournalRule
from campus.domain.snapshot import Snapshot, SnapshotUnreadable, unpacked
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import Bounds, TopicPartition

SNAPSHOTS_LOOKED_AT = 2  # compaction keeps two: campus/processing/snapshots.py

log = logging.getLogger("snapshots")


class Foldable(Protocol):
    def apply(self, event: JournalEvent) -> None: ...
    def state(self) -> bytes: ...


A = TypeVar("A", bound=Foldable)


class History(Protocol):
    """What is needed of a HistoryReader; the simulation has its own."""

    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]: ...
    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: StopEvent | None = None
    ) -> Iterator[tuple[TopicPartition, Sequence[Any]]]: ...


@dataclass(slots=True)
class RestoredState(Generic[A]):
    """A partition's fold, and the rule that says up to where it holds all that counts.

    `begun_at`: from where on the journal was read for it, the rest is from a snapshot; 0 without one.
    `key`: of that snapshot's record.
    """

    rule: JournalRule
    fold: A
    begun_at: int
    key: bytes | None


@dataclass(frozen=True, slots=True)
class Folds(Generic[A]):
    """How a partition's fold is made: new, or of the state that was written down (or ValueError)."""

    new: Callable[[int], A]
    of_state: Callable[[int, bytes], A]


class Restorer(Generic[A]):
    def __init__(self, folds: Folds[A], history: History, *, journal: str, snapshots: str) -> None:
        """`journal`, `snapshots`: the topics; partition p's snapshots are in partition p."""
        self._folds, self._history = folds, history
        self._journal, self._snapshots = journal, snapshots

    def restored(self, ends: Mapping[int, int], stop: StopEvent) -> dict[int, RestoredState[A]]:
        """The folds of all that counts before the given offsets; not to be used if `stop` was set.

        Raises BrokerAway, HistoryMissing.
        """
        starts = self._starts(ends.keys())
        beginnings = self._beginnings(ends, starts, stop)
        folded: dict[int, RestoredState[A]] = {}
        while len(folded) < len(ends) and not stop.is_set():
            tried = {p: self._next(p, beginnings[p], starts[p]) for p in ends if p not in folded}
            false = self._fold_tails(tried, ends, stop)
            folded.update({p: one for p, one in tried.items() if p not in false})
        return folded

    def rebuilt(self, ends: Mapping[int, int], stop: StopEvent) -> dict[int, RestoredState[A]]:
        """The same, folded from the journal's beginning whatever snapshots there are.

        Without those whose journal has lost its beginning. Raises BrokerAway, HistoryMissing.
        """
        starts = self._starts(ends.keys())
        folded = {partition: self._unwritten(partition) for partition in ends if starts[partition] == 0}
        self._fold_tails(folded, ends, stop)
        return folded

    def _next(self, partition: int, beginnings: list[RestoredState[A]], start: int) -> RestoredState[A]:
        if not beginnings:
            raise JournalTrimmed(TopicPartition(self._journal, partition), start)
        return beginnings.pop(0)

    def _starts(self, partitions: Collection[int]) -> dict[int, int]:
        bounds = self._history.bounds([TopicPartition(self._journal, partition) for partition in partitions])
        return {tp.partition: at.start for tp, at in bounds.items()}

    def _beginnings(
        self, ends: Mapping[int, int], starts: Mapping[int, int], stop: StopEvent
    ) -> dict[int, list[RestoredState[A]]]:
        """Where each fold may begin: at the snapshots that can be read, newest first; at the beginning."""
        beginnings: dict[int, list[RestoredState[A]]] = {partition: [] for partition in ends}
        for partition, key, snapshot in self._last_snapshots(ends.keys(), stop):
            if starts[partition] <= snapshot.offset < ends[partition]:
                beginnings[partition] += self._of_snapshot(partition, key, snapshot)
        for partition, found in beginnings.items():
            found.sort(key=lambda folded: folded.rule.offset, reverse=True)
            if starts[partition] == 0:
                found.append(self._unwritten(partition))
        return beginnings

    def _unwritten(self, partition: int) -> RestoredState[A]:
        return RestoredState(JournalRule(), self._folds.new(partition), begun_at=0, key=None)

    def _last_snapshots(
        self, partitions: Collection[int], stop: StopEvent
    ) -> Iterator[tuple[int, bytes | None, Snapshot]]:
        bounds = self._history.bounds(
            [TopicPartition(self._snapshots, partition) for partition in partitions]
        )
        spans = {tp: Bounds(max(at.start, at.end - SNAPSHOTS_LOOKED_AT), at.end) for tp, at in bounds.items()}
        for tp, records in self._history.read(spans, stop):
            for record in records:
                try:
                    yield tp.partition, record.key, unpacked(record.value)
                except SnapshotUnreadable as fault:
                    log.warning("passing over the snapshot at %s offset %d: %s", tp, record.offset, fault)

    def _of_snapshot(self, partition: int, key: bytes | None, snapshot: Snapshot) -> list[RestoredState[A]]:
        rule = JournalRule(snapshot.owner, snapshot.seq, snapshot.offset)
        try:
            fold = self._folds.of_state(partition, snapshot.state)
        except ValueError as fault:
            log.warning("passing over a snapshot of partition %d: %s", partition, fault)
            return []
        return [RestoredState(rule, fold, begun_at=snapshot.offset + 1, key=key)]

    def _fold_tails(
        self, tried: Mapping[int, RestoredState[A]], ends: Mapping[int, int], stop: StopEvent
    ) -> set[int]:
        """Fold the journal on from where each fold begins; those whose beginning is another journal's."""
        spans = {
            TopicPartition(self._journal, partition): Bounds(max(0, folded.rule.offset), ends[partition])
            for partition, folded in tried.items()
        }
        unconfirmed = {partition for partition, folded in tried.items() if folded.rule.offset >= 0}
        false: set[int] = set()
        for tp, records in self._history.read(spans, stop):
            partition, folded = tp.partition, tried[tp.partition]
            if partition in unconfirmed and records:
                unconfirmed.remove(partition)
                if not folded.rule.is_of(records[0]):
                    false.add(partition)
                    log.warning("passing over a snapshot for %s: it is of another journal", tp)
                records = records[1:]
            if partition not in false:
                for event in folded.rule.counting(records):
                    folded.fold.apply(event)
        return false


class JournalTrimmed(HistoryMissing):
    def __init__(self, tp: TopicPartition, start: int) -> None:
        super().__init__(
            f"{tp} has lost its records 0 to {start - 1}, and no snapshot stands in for them. Probably "
            "the topic had a retention limit; it must keep everything (retention.ms=-1). Restore the topic, "
            "or start with a new topics.prefix"
        )
