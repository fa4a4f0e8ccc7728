"""Writing folds down now and then, so that a restart reads a snapshot and the journal's tail.

Only what is acknowledged and contiguous may be handed in: then a snapshot is true whoever wrote it and
whenever it lands. Without one everything still works, only slower, so a snapshot that Kafka refuses is
warned of and given up.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from campus.domain.snapshot import SNAPSHOT_BYTES_MAX, packed
from campus.inventory.dedupe_window import WINDOW_ORDER_BYTES, WINDOW_ORDERS_MAX
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from campus.processing.restore import Foldable, RestoredState

assert WINDOW_ORDERS_MAX * WINDOW_ORDER_BYTES < SNAPSHOT_BYTES_MAX - 1024 * 1024

# By turns: compaction keeps the newest of each key, and so an older snapshot beside the newest.
KEYS = (b"even", b"odd")

log = logging.getLogger("snapshots")


class Appender(Protocol):
    def append(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]
    ) -> dict[TopicPartition, AppendResult]: ...


A = TypeVar("A", bound=Foldable)


class _Written:
    """What was last written of a partition."""

    def __init__(self, seq: int, at_s: float, turn: int) -> None:
        self.seq, self.at_s, self.turn = seq, at_s, turn


class Snapshots:
    def __init__(
        self, appender: Appender, topic: str, *, every_events: int, every_s: float, clock: Callable[[], float]
    ) -> None:
        """Due after so many events of a partition, or so much time with any, since the last one."""
        self._appender, self._topic = appender, topic
        self._every_events, self._every_s, self._clock = every_events, every_s, clock
        self._written: dict[int, _Written] = {}

    def count_from(self, partition: int, folded: RestoredState[A]) -> None:
        """The partition was restored to this; what is of a snapshot is written down, or soon read again.

        Of what was folded from the journal's beginning nothing is, whatever snapshots there are: it may be
        their fault that somebody wanted it made again.
        """
        seq = folded.rule.seq if folded.begun_at else 0
        self._written[partition] = _Written(seq, self._clock(), turn=int(folded.key == KEYS[0]))

    def write_due(self, folds: Mapping[int, RestoredState[A]]) -> None:
        """Raises AppendFailed if trying again can help; then nothing is known of the broker."""
        self.write(
            {partition: folded for partition, folded in folds.items() if self._is_due(partition, folded)}
        )

    def write(self, folds: Mapping[int, RestoredState[A]]) -> None:
        """Write down those that have anything new, due or not. Raises as `write_due`."""
        changed = {p: folded for p, folded in folds.items() if folded.rule.seq > self._written[p].seq}
        if not changed:
            return
        try:
            self._appender.append(
                {TopicPartition(self._topic, p): [self._record(p, one)] for p, one in changed.items()}
            )
        except AppendFailed as failed:
            if failed.retriable:
                raise
            log.warning("a snapshot was refused, the next start takes longer: %s", failed)
        for partition, folded in changed.items():
            written = self._written[partition]
            written.seq, written.at_s, written.turn = folded.rule.seq, self._clock(), 1 - written.turn

    def _is_due(self, partition: int, folded: RestoredState[A]) -> bool:
        written = self._written[partition]
        return (
            folded.rule.seq - written.seq >= self._every_events
            or self._clock() - written.at_s >= self._every_s
        )

    def _record(self, partition: int, folded: RestoredState[A]) -> ProducerRecord:
        return KEYS[self._written[partition].turn], packed(folded.rule, folded.fold), ()
