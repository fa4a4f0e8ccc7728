"""The logs of a MemoryLog as a book follows them: the test says what they give next, and when they fail."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from campus.config.settings import KafkaConfig
from campus.kafka.clients import BrokerAway
from campus.kafka.records import Bounds, TopicPartition
from tests.builders import ARecord
from tests.simulation.memory_log import MemoryHistory, MemoryLog


class MemoryLogs(MemoryHistory):
    """`asked`: the next batches are so many records of one place; None: all there are. `is_away`: whoever
    asks for the ends, or reads the past, hears nothing."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.asked: tuple[TopicPartition, int] | None = None
        self.is_away = False
        self.spans_read: list[tuple[TopicPartition, Bounds]] = []
        self._at: dict[TopicPartition, int] = {}

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
        self._at = dict(starts)
        while True:
            tps = self._at if self.asked is None else [self.asked[0]]
            most = None if self.asked is None else self.asked[1]
            there = {tp: self._log.at(*tp)[self._at[tp] :][:most] for tp in tps}
            batches = {tp: records for tp, records in there.items() if records}
            for tp, records in batches.items():
                self._at[tp] += len(records)
            yield batches

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._at)

    def ends(self, tps: Collection[TopicPartition], *, timeout_s: float) -> dict[TopicPartition, int]:
        self._fail_if_away()
        return {tp: len(self._log.at(*tp)) for tp in tps}

    def _fail_if_away(self) -> None:
        if self.is_away:
            raise BrokerAway(KafkaConfig(), "nothing listens there")
