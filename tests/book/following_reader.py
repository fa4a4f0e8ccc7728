"""A log reader in memory that also follows logs: the test decides what each batch holds and when it fails."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from campus.config.settings import KafkaConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.records import Bounds, TopicPartition
from tests.builders import ARecord
from tests.simulation.memory_log import MemoryLog, MemoryReader


class FollowingReader(MemoryReader):
    """`next_batch`: a partition and how many of its records come next; None for everything there is.

    `is_away`: requests for offsets and for older records raise BrokerAway.
    """

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.next_batch: tuple[TopicPartition, int] | None = None
        self.is_away = False
        self.spans_read: list[tuple[TopicPartition, Bounds]] = []
        self._positions: dict[TopicPartition, int] = {}

    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        self._fail_if_away()
        return super().bounds(tps)

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Any = None
    ) -> Iterator[tuple[TopicPartition, Sequence[ARecord]]]:
        self._fail_if_away()
        self.spans_read += spans.items()
        if not (stop and stop.is_set()):
            yield from super().read(spans, stop)

    def follow_all(
        self, starts: Mapping[TopicPartition, int]
    ) -> Iterator[Mapping[TopicPartition, Sequence[ARecord]]]:
        self._positions = dict(starts)
        while True:
            tps, records_max = [*self._positions], None
            if self.next_batch is not None:
                tps, records_max = [self.next_batch[0]], self.next_batch[1]
            new = {tp: self._log.at(*tp)[self._positions[tp] :][:records_max] for tp in tps}
            batches = {tp: records for tp, records in new.items() if records}
            for tp, records in batches.items():
                self._positions[tp] += len(records)
            yield batches

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._positions)

    def ends(self, tps: Collection[TopicPartition], *, timeout_s: float) -> dict[TopicPartition, int]:
        self._fail_if_away()
        return {tp: len(self._log.at(*tp)) for tp in tps}

    def _fail_if_away(self) -> None:
        if self.is_away:
            raise BrokerAway(KafkaConfig(), "nothing listens there")
