"""Restores the state of partitions: the newest usable snapshot, then the journal's tail after it.

The result equals folding the journal from its beginning. A snapshot is used only if it is readable and if the
journal holds, at the snapshot's offset, the record that the snapshot names as its last one. Else an older
snapshot is tried, then the beginning of the journal.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from threading import Event as StopEvent
from typing import Generic, Protocol, TypeVar

from campus.domain.events import JournalEvent
from campus.domain.journal import JournalRule
from campus.domain.snapshot import SnapshotUnreadable, unpacked
from campus.kafka.log_reader import HistoryMissing, LogReader
from campus.kafka.records import Bounds, TopicPartition

SNAPSHOTS_READ = 2  # per partition; compaction keeps two (campus/processing/snapshots.py)

log = logging.getLogger("snapshots")


class Fold(Protocol):
    """The state of one partition. `apply` takes the next event that counts, `state` serializes the fold."""

    def apply(self, event: JournalEvent) -> None: ...
    def state(self) -> bytes: ...


F = TypeVar("F", bound=Fold)


@dataclass(frozen=True, slots=True)
class FoldFactory(Generic[F]):
    """Makes a partition's fold: an empty one, or one from a serialized state (raises ValueError)."""

    new: Callable[[int], F]
    from_state: Callable[[int, bytes], F]


@dataclass(slots=True)
class RestoredState(Generic[F]):
    """A partition's fold, and the journal rule that knows how far the fold has come.

    `tail_start`: the journal offset right after the snapshot that was used; 0 without a snapshot.
    `snapshot_key`: the record key of that snapshot.
    """

    rule: JournalRule
    fold: F
    tail_start: int
    snapshot_key: bytes | None


class Restorer(Generic[F]):
    def __init__(self, folds: FoldFactory[F], reader: LogReader, *, journal: str, snapshots: str) -> None:
        """`journal`, `snapshots`: topic names. The snapshots of partition p are in partition p."""
        self._folds, self._reader = folds, reader
        self._journal, self._snapshots = journal, snapshots

    def restore(self, ends: Mapping[int, int], stop: StopEvent) -> dict[int, RestoredState[F]]:
        """Each partition's state just before its offset in `ends`; incomplete if `stop` gets set.

        Raises BrokerAway, HistoryMissing.
        """
        starts = self._journal_starts(ends.keys())
        snapshots = self._read_snapshots(ends, starts, stop)
        candidates = {p: self._candidates(p, snapshots[p], starts[p]) for p in ends}
        restored: dict[int, RestoredState[F]] = {}
        while len(restored) < len(ends) and not stop.is_set():
            tried = {p: next(candidates[p]) for p in ends if p not in restored}
            rejected = self._fold_tails(tried, ends, stop)
            restored.update({p: state for p, state in tried.items() if p not in rejected})
        return restored

    def rebuild(self, ends: Mapping[int, int], stop: StopEvent) -> dict[int, RestoredState[F]]:
        """As `restore`, but folded from the beginning of the journal, without any snapshot.

        Leaves out partitions whose journal has lost its beginning. Raises BrokerAway, HistoryMissing.
        """
        starts = self._journal_starts(ends.keys())
        rebuilt = {partition: self._empty(partition) for partition in ends if starts[partition] == 0}
        self._fold_tails(rebuilt, ends, stop)
        return rebuilt

    def _journal_starts(self, partitions: Collection[int]) -> dict[int, int]:
        bounds = self._reader.bounds([TopicPartition(self._journal, partition) for partition in partitions])
        return {tp.partition: at.start for tp, at in bounds.items()}

    def _candidates(
        self, partition: int, snapshots: list[RestoredState[F]], start: int
    ) -> Iterator[RestoredState[F]]:
        """Where the fold may start, best first: its snapshots from the newest on, then an empty fold."""
        yield from sorted(snapshots, key=lambda state: state.rule.offset, reverse=True)
        if start > 0:
            raise HistoryMissing(
                f"{TopicPartition(self._journal, partition)} has lost its records 0 to {start - 1}, and no "
                "snapshot covers them. Probably the topic had a retention limit; it must keep everything "
                "(retention.ms=-1). Restore the topic, or start with a new topics.prefix"
            )
        yield self._empty(partition)

    def _empty(self, partition: int) -> RestoredState[F]:
        return RestoredState(JournalRule(), self._folds.new(partition), tail_start=0, snapshot_key=None)

    def _read_snapshots(
        self, ends: Mapping[int, int], starts: Mapping[int, int], stop: StopEvent
    ) -> dict[int, list[RestoredState[F]]]:
        """The readable ones among the last snapshots that lie within the journal and before its end."""
        bounds = self._reader.bounds([TopicPartition(self._snapshots, partition) for partition in ends])
        spans = {tp: Bounds(max(at.start, at.end - SNAPSHOTS_READ), at.end) for tp, at in bounds.items()}
        found: dict[int, list[RestoredState[F]]] = {partition: [] for partition in ends}
        for tp, records in self._reader.read(spans, stop):
            for record in records:
                try:
                    snapshot = unpacked(record.value)
                    if starts[tp.partition] <= snapshot.offset < ends[tp.partition]:
                        fold = self._folds.from_state(tp.partition, snapshot.state)
                        rule = JournalRule(snapshot.owner, snapshot.seq, snapshot.offset)
                        state = RestoredState(rule, fold, snapshot.offset + 1, record.key)
                        found[tp.partition].append(state)
                except (SnapshotUnreadable, ValueError) as error:
                    log.warning("ignoring the snapshot at %s offset %d: %s", tp, record.offset, error)
        return found

    def _fold_tails(
        self, states: Mapping[int, RestoredState[F]], ends: Mapping[int, int], stop: StopEvent
    ) -> set[int]:
        """Fold the journal onto each state; the partitions whose snapshot belongs to another journal."""
        spans = {
            TopicPartition(self._journal, partition): Bounds(max(0, state.rule.offset), ends[partition])
            for partition, state in states.items()
        }
        unconfirmed = {partition for partition, state in states.items() if state.rule.offset >= 0}
        rejected: set[int] = set()
        for tp, records in self._reader.read(spans, stop):
            partition, state = tp.partition, states[tp.partition]
            if partition in unconfirmed and records:
                unconfirmed.remove(partition)
                if not state.rule.is_of(records[0]):
                    rejected.add(partition)
                    log.warning("ignoring a snapshot for %s: it belongs to another journal", tp)
                records = records[1:]
            if partition not in rejected:
                for event in state.rule.counting(records):
                    state.fold.apply(event)
        return rejected
