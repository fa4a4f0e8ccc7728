"""Writes snapshots of folds now and then, so that a restart reads a snapshot and the journal's tail.

The invariant: only acknowledged, contiguous entries may be in a fold that is passed in. Then a snapshot is
true whoever wrote it and whenever it lands. Restoring works without snapshots, only slower; so if Kafka
refuses one, that is logged and the loop goes on.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from campus.domain.snapshot import SNAPSHOT_BYTES_MAX, packed
from campus.inventory.dedupe_window import WINDOW_ORDER_BYTES, WINDOW_ORDERS_MAX
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition
from campus.processing.restore import F, RestoredState

assert WINDOW_ORDERS_MAX * WINDOW_ORDER_BYTES < SNAPSHOT_BYTES_MAX - 1024 * 1024

# Used in turn: compaction keeps the newest record of each key, so the last two snapshots survive it.
KEYS = (b"even", b"odd")

log = logging.getLogger("snapshots")


@dataclass(slots=True)
class _LastSnapshot:
    """Of one partition. `next_key`: the index in KEYS that the next snapshot uses."""

    seq: int
    written_at_s: float
    next_key: int


class Snapshots:
    def __init__(
        self,
        writer: Writer,
        topic: str,
        *,
        every_events: int,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A snapshot is due `every_events` entries after the last one, or after `every_s` with any entry."""
        self._writer, self._topic = writer, topic
        self._every_events, self._every_s, self._clock = every_events, every_s, clock
        self._last: dict[int, _LastSnapshot] = {}

    def track(self, partition: int, restored: RestoredState[F]) -> None:
        """Start to count entries from a restored state. What came from a snapshot counts as written.

        A state folded from the journal's beginning counts as unwritten even if there are snapshots: a bad
        snapshot may be the reason for the rebuild.
        """
        seq = restored.rule.seq if restored.tail_start else 0
        next_key = int(restored.snapshot_key == KEYS[0])
        self._last[partition] = _LastSnapshot(seq, self._clock(), next_key)

    def write_due(self, states: Mapping[int, RestoredState[F]]) -> None:
        """Raises AppendFailed if a retry can help."""
        now_s, last = self._clock(), self._last
        self.write(
            {
                partition: state
                for partition, state in states.items()
                if state.rule.seq - last[partition].seq >= self._every_events
                or now_s - last[partition].written_at_s >= self._every_s
            }
        )

    def write(self, states: Mapping[int, RestoredState[F]]) -> None:
        """Write a snapshot of each state that has new entries, due or not. Raises as `write_due`."""
        changed = {p: state for p, state in states.items() if state.rule.seq > self._last[p].seq}
        if not changed:
            return
        records: dict[TopicPartition, list[ProducerRecord]] = {}
        for partition, state in changed.items():
            key = KEYS[self._last[partition].next_key]
            records[TopicPartition(self._topic, partition)] = [
                (key, packed(state.rule, state.fold.state()), ())
            ]
        try:
            self._writer.append(records)
        except AppendFailed as failed:
            if failed.retriable:
                raise
            log.warning("Kafka refused a snapshot, so the next start takes longer: %s", failed)
        for partition, state in changed.items():
            last = self._last[partition]
            last.seq, last.written_at_s, last.next_key = state.rule.seq, self._clock(), 1 - last.next_key
