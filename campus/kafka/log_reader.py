"""Reads partitions outside any consumer group, from one offset to another or without end.

All the requested records come, in order, or an error says what is missing.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, TypeAlias

from kafka import KafkaConsumer
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import BrokerAway, broker_errors, list_offsets, make_consumer
from campus.kafka.records import Bounds, TopicPartition

POLL_MS = 200
RECORDS_MAX = 10_000
FETCH_BYTES_MAX = 4 * 1024 * 1024

OnProgress: TypeAlias = Callable[[int, int], None]  # (records read so far, all records)


class HistoryMissing(CampusError):
    """The log has lost records that the state depends on. To go on could repeat what was done with them."""

    exit_code = 1


class BeginningMissing(HistoryMissing):
    def __init__(self, tp: TopicPartition, start: int) -> None:
        super().__init__(
            f"{tp.topic}-{tp.partition} begins at offset {start}: the records before it are gone. Probably "
            "the topic has a retention limit, or they were deleted; it must keep all (retention.ms=-1)."
        )


class LogReader:
    """Owned by one thread from construction to `close`."""

    def __init__(
        self, kafka: KafkaConfig, *, client_id: str, heartbeat: Callable[[], None] = lambda: None
    ) -> None:
        """`heartbeat` is called before each poll of a `read`. Raises BrokerAway."""
        self._kafka, self._heartbeat = kafka, heartbeat
        self._consumer: KafkaConsumer = make_consumer(
            kafka, client_id=client_id, group_id=None, max_partition_fetch_bytes=FETCH_BYTES_MAX
        )

    def bounds(self, tps: Collection[TopicPartition]) -> dict[TopicPartition, Bounds]:
        """Raises BrokerAway."""
        starts = list_offsets(self._kafka, self._consumer.beginning_offsets, tps)
        ends = list_offsets(self._kafka, self._consumer.end_offsets, tps)
        return {tp: Bounds(start, ends[tp]) for tp, start in starts.items()}

    def whole_bounds(self, topics: Collection[str], partitions: int) -> dict[TopicPartition, Bounds]:
        """The bounds of all partitions of these topics, for proofs that need every record.

        Raises BrokerAway; BeginningMissing if a partition does not begin at offset 0 any more.
        """
        bounds = self.bounds([TopicPartition(topic, p) for topic in topics for p in range(partitions)])
        for tp, span in bounds.items():
            if span.start > 0:
                raise BeginningMissing(tp, span.start)
        return bounds

    def ends(self, tps: Collection[TopicPartition], *, timeout_s: float) -> dict[TopicPartition, int]:
        """The offsets that the next records will get. Raises BrokerAway."""
        timeout_ms = round(timeout_s * 1000)
        return list_offsets(self._kafka, self._consumer.end_offsets, tps, timeout_ms=timeout_ms)

    def read(
        self, spans: Mapping[TopicPartition, Bounds], stop: Event | None = None
    ) -> Iterator[tuple[TopicPartition, Sequence[Any]]]:
        """Every record of each span, in batches, each partition in the order of its log; less only if `stop`
        is set. Raises BrokerAway if nothing arrives for `request_timeout_s`, HistoryMissing if the log lacks
        a start."""
        unread = {tp: span for tp, span in spans.items() if span.start < span.end}
        if not unread:
            return
        self._seek({tp: span.start for tp, span in unread.items()})
        progress_at = time.monotonic()
        while unread and not (stop and stop.is_set()):
            self._heartbeat()
            for tp, records in self._poll().items():
                if tp in unread:
                    yield tp, [record for record in records if record.offset < unread[tp].end]
                progress_at = time.monotonic()  # after the yield: the caller's time is not the broker's
            for tp in [tp for tp, span in unread.items() if (self._position(tp) or 0) >= span.end]:
                progress_at = time.monotonic()
                self._consumer.pause(tp)
                del unread[tp]
            if time.monotonic() > progress_at + self._kafka.request_timeout_s:
                tps = ", ".join(f"{topic}-{partition}" for topic, partition in unread)
                raise BrokerAway(self._kafka, f"nothing came from {tps}")

    def follow_all(
        self, starts: Mapping[TopicPartition, int]
    ) -> Iterator[Mapping[TopicPartition, Sequence[Any]]]:
        """The records of several partitions from their starts on, without end; at times nothing, so that the
        caller can look at the clock. After an error follow again from there. Raises BrokerAway,
        HistoryMissing."""
        self._seek(starts)
        while True:
            yield self._poll()

    def positions(self) -> dict[TopicPartition, int]:
        """The next offsets to read; transaction markers take offsets too. Raises BrokerAway,
        HistoryMissing."""
        return {
            TopicPartition(*tp): position
            for tp in self._consumer.assignment()
            if (position := self._position(tp)) is not None
        }

    def close(self) -> None:
        self._consumer.close(timeout_ms=1000)

    def _seek(self, starts: Mapping[TopicPartition, int]) -> None:
        self._consumer.assign([*starts])
        # Assigning the same partitions again changes nothing, and `read` has paused them at their end.
        self._consumer.resume(*starts)
        for tp, start in starts.items():
            self._consumer.seek(tp, start)

    def _poll(self) -> dict[TopicPartition, Sequence[Any]]:
        with self._errors():
            polled = self._consumer.poll(POLL_MS, max_records=RECORDS_MAX)
        return {TopicPartition(*tp): records for tp, records in polled.items()}

    def _position(self, tp: TopicPartition) -> int | None:
        with self._errors():
            position: int | None = self._consumer.position(tp, timeout_ms=POLL_MS)
        return position

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with broker_errors(self._kafka):
            try:
                yield
            except (OffsetOutOfRangeError, LogTruncationError) as error:
                raise HistoryMissing(f"the log does not hold the requested records: {error}") from error


class ReadProgress:
    """Counts the records of several logs as they are read, and reports the count after each batch."""

    def __init__(self, total: int, on_progress: OnProgress) -> None:
        self._done, self._total, self._on_progress = 0, total, on_progress

    def records(self, batches: Iterable[tuple[TopicPartition, Sequence[Any]]]) -> Iterator[Any]:
        """The records of the batches that a LogReader gives."""
        for _, batch in batches:
            self._done += len(batch)
            self._on_progress(self._done, self._total)
            yield from batch
