"""Both logs of all partitions, merged into one timeline by their append times.

Memory is bounded: at most CHUNK_OFFSETS records of each partition of a topic are held at a time. Records of
one partition keep the order of its log, whatever their times say.
"""

import heapq
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from operator import itemgetter
from typing import Any, NamedTuple

from campus.config.settings import Config
from campus.domain.codec import Undecodable, decode_input
from campus.domain.events import Input, JournalEvent
from campus.domain.journal import JournalRule
from campus.kafka.log_reader import LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.replay.kafka_logs import Ends

CHUNK_OFFSETS = 2_000


class LogEvent(NamedTuple):
    """A record of order-events, or one of the journal that counts."""

    at_ms: int
    tp: TopicPartition
    offset: int
    event: Input | Undecodable | JournalEvent


def read_timeline(config: Config, ends: Ends) -> Generator[LogEvent, None, None]:
    """All events up to the ends, or those about the item, oldest first. Raises BrokerAway, HistoryMissing."""
    topics = config.topics
    # order-events first: at equal times a request comes before the decision about it.
    spans = {TopicPartition(topics.orders_topic, p): Bounds(0, end) for p, end in ends.orders_due.items()}
    spans |= {TopicPartition(topics.journal_topic, p): Bounds(0, end) for p, end in ends.journal.items()}
    rules = {TopicPartition(topics.journal_topic, partition): JournalRule() for partition in ends.journal}
    with closing(LogReader(config.kafka, client_id="replay-timeline")) as reader:
        for at_ms, tp, record in in_time_order(reader, spans):
            for event in _events(rules.get(tp), record):
                if ends.item is None or getattr(event, "item", None) == ends.item:
                    yield LogEvent(at_ms, tp, record.offset, event)


def _events(rule: JournalRule | None, record: Any) -> Iterator[Input | Undecodable | JournalEvent]:
    """`rule`: for a record of the journal, the rule of its partition; it may not count."""
    if rule is not None:
        yield from rule.counting([record])
        return
    try:
        yield decode_input(record.value)
    except Undecodable as fault:
        yield fault


def in_time_order(
    reader: LogReader, spans: Mapping[TopicPartition, Bounds]
) -> Iterator[tuple[int, TopicPartition, Any]]:
    """The records of all spans with their times. At equal times the span that comes first in `spans` wins."""
    return heapq.merge(*(_timed(reader, tp, span) for tp, span in spans.items()), key=itemgetter(0))


def _timed(reader: LogReader, tp: TopicPartition, span: Bounds) -> Iterator[tuple[int, TopicPartition, Any]]:
    """The records of one span, with times that never go back.

    The spans share a reader that reads one of them at a time, so each chunk is read as a whole.
    """
    at_ms = 0
    for start in range(span.start, span.end, CHUNK_OFFSETS):
        chunk = Bounds(start, min(start + CHUNK_OFFSETS, span.end))
        for record in [record for _, batch in reader.read({tp: chunk}) for record in batch]:
            at_ms = max(at_ms, record.timestamp)
            yield at_ms, tp, record
