"""What happened, as it happened: both logs, over all partitions, in the order of their append times.

Memory is bounded: of each partition of a topic at most CHUNK_OFFSETS records are held at a time. Within a
partition the order is that of the log, whatever its times say.
"""

import heapq
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from threading import Event as StopEvent
from typing import Any, NamedTuple

from campus.config.settings import Config
from campus.domain.codec import Unfit, decode_input
from campus.domain.events import Input, JournalEvent
from campus.domain.journal import JournalRule
from campus.kafka.log_reader import LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.replay.kafka_logs import Ends

CHUNK_OFFSETS = 2_000


class LogEvent(NamedTuple):
    """A record of order-events, or of the journal if it counts there."""

    at_ms: int
    tp: TopicPartition
    offset: int
    event: Input | Unfit | JournalEvent


def happenings(
    config: Config, ends: Ends, item: str | None, stop: StopEvent
) -> Generator[LogEvent, None, None]:
    """All up to the ends, the oldest first, or what is about the item; early to an end only if `stop` is set.

    Raises BrokerAway, HistoryMissing.
    """
    topics = config.topics
    partitions = ends.partitions_of(item, topics.partitions)
    # Of one time, what was ordered comes before what was decided about it.
    spans = {TopicPartition(topics.orders_topic, p): Bounds(0, ends.orders_due[p]) for p in partitions}
    spans |= {TopicPartition(topics.journal_topic, p): Bounds(0, ends.journal[p]) for p in partitions}
    rules = {TopicPartition(topics.journal_topic, partition): JournalRule() for partition in partitions}
    with closing(LogReader(config.kafka, client_id="replay-chronicle")) as reader:
        for at_ms, tp, record in in_time_order(reader, spans, stop):
            for event in _events(rules.get(tp), record):
                if item is None or getattr(event, "item", None) == item:
                    yield LogEvent(at_ms, tp, record.offset, event)


def _events(rule: JournalRule | None, record: Any) -> Iterator[Input | Unfit | JournalEvent]:
    """What the record is, if it is of order-events; of the journal, by its rule: what counts."""
    if rule is not None:
        yield from rule.counting([record])
        return
    try:
        yield decode_input(record.value)
    except Unfit as unfit:
        yield unfit


def in_time_order(
    reader: LogReader, spans: Mapping[TopicPartition, Bounds], stop: StopEvent
) -> Iterator[tuple[int, TopicPartition, Any]]:
    """The records of all spans with their times; of one time those of the span that was named first."""
    timed = (_timed(reader, rank, tp, span, stop) for rank, (tp, span) in enumerate(spans.items()))
    for at_ms, _, _, tp, record in heapq.merge(*timed):
        if stop.is_set():
            return
        yield at_ms, tp, record


def _timed(
    reader: LogReader, rank: int, tp: TopicPartition, span: Bounds, stop: StopEvent
) -> Iterator[tuple[int, int, int, TopicPartition, Any]]:
    """No two are equal up to their offset, so the records themselves are never compared."""
    at_ms = 0
    for record in _in_chunks(reader, tp, span, stop):
        at_ms = max(at_ms, record.timestamp)
        yield at_ms, rank, record.offset, tp, record


def _in_chunks(reader: LogReader, tp: TopicPartition, span: Bounds, stop: StopEvent) -> Iterator[Any]:
    """The reader is shared and reads one thing at a time, so each chunk is read to its end at once."""
    for start in range(span.start, span.end, CHUNK_OFFSETS):
        chunk = Bounds(start, min(start + CHUNK_OFFSETS, span.end))
        yield from [record for _, batch in reader.read({tp: chunk}, stop) for record in batch]
