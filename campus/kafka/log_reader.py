"""Reading a log from one offset up to another, outside of any group: to restore, and for commands.

What is asked for comes whole and in order, or an error says what is missing; a part is never passed
off as the whole.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import BrokerAway, broker_errors, make_consumer, offsets_of
from campus.kafka.records import Bounds, TopicPartition

POLL_MS = 200
RECORDS_MAX = 10_000
FETCH_BYTES_MAX = 4 * 1024 * 1024


class HistoryMissing(CampusError):
    """Records that the state stands on are gone; going on would decide what was decided."""

    exit_code = 1


class BeginningMissing(HistoryMissing):
    def __init__(self, tp: TopicPartition, start: int) -> None:
        super().__init__(
            f"{tp.topic}-{tp.partition} begins at offset {start}: what was before cannot be looked at "
            "again. Probably the topic has a retention limit, or records were deleted; it must keep "
            "everything (retention.ms=-1)."
        )


class LogReader:
    """Owned by one thread, from its making to its closing."""

    def __init__(
        self, kafka: KafkaConfig, *, client_id: str, heartbeat: Callable[[], None] = lambda: None
    ) -> None:
        """`heartbeat` is called again and again in a long `read`. Raises BrokerAway."""
        self._kafka, self._beat = kafka, heartbeat
        self._consumer: KafkaConsumer = make_consumer(
            kafka,
            client_id=client_id,
            group_id=None,
            max_partition_fetch_bytes=FETCH_BYTES_MAX,
        )

    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Raises BrokerAway."""
        if not tps:
            return {}
        starts = self._asked(self._consumer.beginning_offsets, tps)
        ends = self._asked(self._consumer.end_offsets, tps)
        return {tp: Bounds(start, ends[tp]) for tp, start in starts.items()}

    def ends(self, tps: Collection[TopicPartition], *, timeout_s: float) -> dict[TopicPartition, int]:
        """The offsets that the next records will get. Raises BrokerAway."""
        return self._asked(self._consumer.end_offsets, tps, timeout_ms=round(timeout_s * 1000))

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Event | None = None
    ) -> Iterator[tuple[TopicPartition, Sequence[Any]]]:
        """Every record of each span, per place in the order of the log, in batches as they come.

        Ends early only if `stop` is set. Raises BrokerAway when nothing comes for a request's time,
        HistoryMissing when a span does not start where it should.
        """
        pending = {tp: span for tp, span in spans.items() if span.start < span.end}
        if not pending:
            return
        self._go_to({tp: span.start for tp, span in pending.items()})
        patience = _Patience(self._kafka.request_timeout_s)
        while pending and not (stop and stop.is_set()):
            self._beat()
            for tp, records in self._poll().items():
                patience.renew()
                if tp in pending:
                    yield tp, _before(records, pending[tp].end)
                    patience.renew()  # what the caller took its time for is not the broker's fault
            for tp in [tp for tp in pending if self._is_through(tp, pending[tp])]:
                patience.renew()
                self._consumer.pause(tp)
                del pending[tp]
            if patience.is_over():
                tps = ", ".join(f"{topic}-{partition}" for topic, partition in pending)
                raise BrokerAway(self._kafka, f"nothing came from {tps}")

    def follow(self, tp: TopicPartition, start: int) -> Iterator[Sequence[Any]]:
        """The records of one partition from `start` on, in batches as they come, without an end; an empty
        batch now and then, so that the caller can look at the time. Raises BrokerAway, HistoryMissing."""
        for batches in self.follow_all({tp: start}):
            yield batches.get(tp, ())

    def follow_all(
        self, starts: Mapping[TopicPartition, int]
    ) -> Iterator[Mapping[TopicPartition, Sequence[Any]]]:
        """The same of several partitions, each from its start on. After an error it has ended: the caller
        knows what it was given, and follows on from there."""
        self._go_to(starts)
        while True:
            yield self._poll()

    def positions(self) -> dict[TopicPartition, int]:
        """Where reading goes on in each place that is followed; beyond the last record if a transaction's
        marker came after it. Raises BrokerAway, HistoryMissing."""
        return {
            TopicPartition(*tp): position
            for tp in self._consumer.assignment()
            if (position := self._position(tp)) is not None
        }

    def close(self) -> None:
        self._consumer.close(timeout_ms=1000)

    def _asked(
        self, ask: Callable[..., Any], tps: Collection[TopicPartition], **timeout: int
    ) -> dict[TopicPartition, int]:
        """The places with their offsets, in the order in which they were given."""
        offsets = offsets_of(self._kafka, ask, tps, **timeout)
        return {tp: offsets[tp] for tp in tps}

    def _go_to(self, starts: Mapping[TopicPartition, int]) -> None:
        self._consumer.assign([*starts])
        # To assign the same once more changes nothing, and what was read to its end was paused there.
        self._consumer.resume(*starts)
        for tp, start in starts.items():
            self._consumer.seek(tp, start)

    def _poll(self) -> dict[TopicPartition, Sequence[Any]]:
        with self._errors():
            polled = self._consumer.poll(POLL_MS, max_records=RECORDS_MAX)
        return {TopicPartition(*tp): records for tp, records in polled.items()}

    def _is_through(self, tp: TopicPartition, span: Bounds) -> bool:
        position = self._position(tp)
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
