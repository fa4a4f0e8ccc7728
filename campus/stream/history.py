"""Reading a log from one offset up to another, outside of any group: to restore, and for commands.

What is asked for comes whole and in order, or an error says what is missing; a part is never passed
off as the whole.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import OffsetOutOfRangeError

from campus.runtime.config import KafkaConfig
from campus.runtime.errors import CampusError
from campus.stream.clients import BrokerAway, broker_errors, make_consumer
from campus.stream.writer import Place

POLL_MS = 200
RECORDS_MAX = 10_000
FETCH_BYTES_MAX = 4 * 1024 * 1024


class HistoryMissing(CampusError):
    """Records that the state stands on are gone; going on would decide what was decided."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """`start`: the first offset that is still there; `end`: the one that the next record gets."""

    start: int
    end: int


class HistoryReader:
    """Owned by one thread, from its making to its closing."""

    def __init__(self, kafka: KafkaConfig, *, client_id: str) -> None:
        """Raises BrokerAway."""
        self._kafka = kafka
        self._consumer: KafkaConsumer = make_consumer(
            kafka,
            client_id=client_id,
            group_id=None,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )

    def bounds(self, places: Collection[Place]) -> dict[Place, Bounds]:
        """Raises BrokerAway."""
        asked = [TopicPartition(*place) for place in places]
        if not asked:
            return {}
        with broker_errors(self._kafka):
            starts = self._consumer.beginning_offsets(asked)
            ends = self._consumer.end_offsets(asked)
        return {place: Bounds(starts[tp], ends[tp]) for place, tp in zip(places, asked, strict=True)}

    def read(
        self, spans: Mapping[Place, Bounds], stop: Event | None = None
    ) -> Iterator[tuple[Place, Sequence[Any]]]:
        """Every record of each span, per place in the order of the log, in batches as they come.

        Ends early only if `stop` is set. Raises BrokerAway when nothing comes for a request's time,
        HistoryMissing when a span does not start where it should.
        """
        pending = {place: span for place, span in spans.items() if span.start < span.end}
        if not pending:
            return
        self._go_to({place: span.start for place, span in pending.items()})
        patience = _Patience(self._kafka.request_timeout_s)
        while pending and not (stop and stop.is_set()):
            for place, records in self._poll().items():
                patience.renew()
                if place in pending:
                    yield place, _before(records, pending[place].end)
                    patience.renew()  # what the caller took its time for is not the broker's fault
            for place in [place for place in pending if self._is_through(place, pending[place])]:
                patience.renew()
                self._consumer.pause(TopicPartition(*place))
                del pending[place]
            if patience.is_over():
                places = ", ".join(f"{topic}-{partition}" for topic, partition in pending)
                raise BrokerAway(self._kafka, f"nothing came from {places}")

    def follow(self, place: Place, start: int) -> Iterator[Sequence[Any]]:
        """The records of one partition from `start` on, in batches as they come, without an end; an empty
        batch now and then, so that the caller can look at the time. Raises BrokerAway, HistoryMissing."""
        self._go_to({place: start})
        while True:
            yield self._poll().get(place, ())

    def close(self) -> None:
        self._consumer.close(timeout_ms=1000)

    def _go_to(self, starts: Mapping[Place, int]) -> None:
        places = [TopicPartition(*place) for place in starts]
        self._consumer.assign(places)
        # To assign the same once more changes nothing, and what was read to its end was paused there.
        self._consumer.resume(*places)
        for place, start in zip(places, starts.values(), strict=True):
            self._consumer.seek(place, start)

    def _poll(self) -> dict[Place, Sequence[Any]]:
        with broker_errors(self._kafka):
            try:
                polled = self._consumer.poll(POLL_MS, max_records=RECORDS_MAX)
            except OffsetOutOfRangeError as fault:
                raise HistoryMissing(f"the log does not hold what is asked for: {fault}") from fault
        return {Place(tp.topic, tp.partition): records for tp, records in polled.items()}

    def _is_through(self, place: Place, span: Bounds) -> bool:
        with broker_errors(self._kafka):
            position = self._consumer.position(TopicPartition(*place), timeout_ms=POLL_MS)
        return position is not None and position >= span.end


class _Patience:
    """How long nothing may come before nothing is taken to be coming."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self.renew()

    def renew(self) -> None:
        self._until = time.monotonic() + self._timeout_s

    def is_over(self) -> bool:
        return time.monotonic() > self._until


def _before(records: Sequence[Any], end: int) -> Sequence[Any]:
    if records and records[-1].offset < end:
        return records
    return [record for record in records if record.offset < end]
