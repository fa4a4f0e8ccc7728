"""Reading a log from one offset up to another, outside of any group: to restore, and for commands.

What is asked for comes whole and in order, or an error says what is missing; a part is never passed
off as the whole.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from campus.runtime.config import KafkaConfig
from campus.runtime.errors import CampusError
from campus.stream.clients import BrokerAway, broker_errors, make_consumer, offsets_of
from campus.stream.writer import Place

POLL_MS = 200
RECORDS_MAX = 10_000
FETCH_BYTES_MAX = 4 * 1024 * 1024


class HistoryMissing(CampusError):
    """Records that the state stands on are gone; going on would decide what was decided."""

    exit_code = 1


class BeginningMissing(HistoryMissing):
    def __init__(self, place: Place, start: int) -> None:
        super().__init__(
            f"{place.topic}-{place.partition} begins at offset {start}: what was before cannot be looked at "
            "again. Probably the topic has a retention limit, or records were deleted; it must keep "
            "everything (retention.ms=-1)."
        )


@dataclass(frozen=True, slots=True)
class Bounds:
    """`start`: the first offset that is still there; `end`: the one that the next record gets."""

    start: int
    end: int


class HistoryReader:
    """Owned by one thread, from its making to its closing."""

    def __init__(
        self, kafka: KafkaConfig, *, client_id: str, beat: Callable[[], None] = lambda: None
    ) -> None:
        """`beat` is called again and again in a long `read`. Raises BrokerAway."""
        self._kafka, self._beat = kafka, beat
        self._consumer: KafkaConsumer = make_consumer(
            kafka,
            client_id=client_id,
            group_id=None,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )

    def bounds(self, places: Collection[Place]) -> dict[Place, Bounds]:
        """Raises BrokerAway."""
        if not places:
            return {}
        starts = self._asked(self._consumer.beginning_offsets, places)
        ends = self._asked(self._consumer.end_offsets, places)
        return {place: Bounds(start, ends[place]) for place, start in starts.items()}

    def ends(self, places: Collection[Place], *, timeout_s: float) -> dict[Place, int]:
        """The offsets that the next records will get. Raises BrokerAway."""
        return self._asked(self._consumer.end_offsets, places, timeout_ms=round(timeout_s * 1000))

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
            self._beat()
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
        for batches in self.follow_all({place: start}):
            yield batches.get(place, ())

    def follow_all(self, starts: Mapping[Place, int]) -> Iterator[Mapping[Place, Sequence[Any]]]:
        """The same of several partitions, each from its start on. After an error it has ended: the caller
        knows what it was given, and follows on from there."""
        self._go_to(starts)
        while True:
            yield self._poll()

    def positions(self) -> dict[Place, int]:
        """Where reading goes on in each place that is followed; beyond the last record if a transaction's
        marker came after it. Raises BrokerAway, HistoryMissing."""
        return {
            Place(tp.topic, tp.partition): position
            for tp in self._consumer.assignment()
            if (position := self._position(tp)) is not None
        }

    def close(self) -> None:
        self._consumer.close(timeout_ms=1000)

    def _asked(self, ask: Callable[..., Any], places: Collection[Place], **timeout: int) -> dict[Place, int]:
        """The places with their offsets, in the order in which they were given."""
        asked = {place: TopicPartition(*place) for place in places}
        offsets = offsets_of(self._kafka, ask, asked.values(), **timeout)
        return {place: offsets[tp] for place, tp in asked.items()}

    def _go_to(self, starts: Mapping[Place, int]) -> None:
        places = [TopicPartition(*place) for place in starts]
        self._consumer.assign(places)
        # To assign the same once more changes nothing, and what was read to its end was paused there.
        self._consumer.resume(*places)
        for place, start in zip(places, starts.values(), strict=True):
            self._consumer.seek(place, start)

    def _poll(self) -> dict[Place, Sequence[Any]]:
        with self._errors():
            polled = self._consumer.poll(POLL_MS, max_records=RECORDS_MAX)
        return {Place(tp.topic, tp.partition): records for tp, records in polled.items()}

    def _is_through(self, place: Place, span: Bounds) -> bool:
        position = self._position(TopicPartition(*place))
        return position is not None and position >= span.end

    def _position(self, tp: TopicPartition) -> int | None:
        with self._errors():
            position: int | None = self._consumer.position(tp, timeout_ms=POLL_MS)
        return position

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with broker_errors(self._kafka):
            try:
                yield
            except (OffsetOutOfRangeError, LogTruncationError) as fault:
                raise HistoryMissing(f"the log does not hold what is asked for: {fault}") from fault


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
