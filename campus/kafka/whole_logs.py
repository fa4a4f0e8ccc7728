"""Reads logs from offset 0 up to ends that were taken before, for proofs that need every record."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from campus.kafka.log_reader import BeginningMissing, LogReader
from campus.kafka.records import Bounds, TopicPartition

OnProgress: TypeAlias = Callable[[int, int], None]  # (records read so far, all records)


def whole_bounds(reader: LogReader, topics: Collection[str], partitions: int) -> dict[TopicPartition, Bounds]:
    """Where these topics end now, per partition.

    Raises BrokerAway; BeginningMissing if a partition does not begin at offset 0 any more.
    """
    bounds = reader.bounds([TopicPartition(topic, p) for topic in topics for p in range(partitions)])
    for tp, span in bounds.items():
        if span.start > 0:
            raise BeginningMissing(tp, span.start)
    return bounds


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
