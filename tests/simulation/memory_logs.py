"""The logs of a MemoryLog as a book follows them: the test says what they give next, and when they fail."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from campus.runtime.config import KafkaConfig
from campus.stream.clients import BrokerAway
from campus.stream.history import Bounds
from campus.stream.writer import Place
from tests.builders import ARecord
from tests.simulation.memory_log import MemoryHistory, MemoryLog


class MemoryLogs(MemoryHistory):
    """`asked`: the next batches are so many records of one place; None: all there are. `is_away`: whoever
    asks for the ends, or reads the past, hears nothing."""

    def __init__(self, log: MemoryLog) -> None:
        super().__init__(log)
        self.asked: tuple[Place, int] | None = None
        self.is_away = False
        self.spans_read: list[tuple[Place, Bounds]] = []
        self._at: dict[Place, int] = {}

    def bounds(self, places: Collection[Place]) -> dict[Place, Bounds]:
        self._fail_if_away()
        return super().bounds(places)

    def read(
        self, spans: Mapping[Place, Bounds], stop: Any = None
    ) -> Iterator[tuple[Place, Sequence[ARecord]]]:
        self._fail_if_away()
        self.spans_read += spans.items()
        if not (stop and stop.is_set()):
            yield from super().read(spans, stop)

    def follow_all(self, starts: Mapping[Place, int]) -> Iterator[Mapping[Place, Sequence[ARecord]]]:
        self._at = dict(starts)
        while True:
            places = self._at if self.asked is None else [self.asked[0]]
            most = None if self.asked is None else self.asked[1]
            there = {place: self._log.at(*place)[self._at[place] :][:most] for place in places}
            batches = {place: records for place, records in there.items() if records}
            for place, records in batches.items():
                self._at[place] += len(records)
            yield batches

    def positions(self) -> dict[Place, int]:
        return dict(self._at)

    def ends(self, places: Collection[Place], *, timeout_s: float) -> dict[Place, int]:
        self._fail_if_away()
        return {place: len(self._log.at(*place)) for place in places}

    def _fail_if_away(self) -> None:
        if self.is_away:
            raise BrokerAway(KafkaConfig(), "nothing listens there")
