"""Records of several partitions, read in chunks and merged by their times."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from campus.kafka.records import Bounds, TopicPartition
from campus.replay import timeline
from campus.replay.timeline import in_time_order
from tests.builders import ARecord

A, B = TopicPartition("order-events", 0), TopicPartition("inventory-events", 0)


class Shelf:
    """A reader that allows one read at a time, and records the largest batch it has returned."""

    def __init__(self, times: Mapping[TopicPartition, list[int]]) -> None:
        self.records = {
            p: [ARecord(n, None, timestamp=ms) for n, ms in enumerate(at)] for p, at in times.items()
        }
        self.is_reading = False
        self.most = 0

    def read(self, spans: Mapping[TopicPartition, Bounds]) -> Iterator[tuple[TopicPartition, list[ARecord]]]:
        assert not self.is_reading, "two read at once"
        self.is_reading = True
        for tp, span in spans.items():
            found = self.records[tp][span.start : span.end]
            self.most = max(self.most, len(found))
            yield tp, found
        self.is_reading = False


def in_order(shelf: Any) -> list[tuple[str, int]]:
    spans = {tp: Bounds(0, len(records)) for tp, records in shelf.records.items()}
    return [(tp.topic, record.offset) for _, tp, record in in_time_order(shelf, spans)]


def test_records_are_ordered_by_time_and_then_by_the_order_of_the_spans() -> None:
    shelf = Shelf({A: [10, 20, 30], B: [10, 25, 30]})
    assert in_order(shelf) == [
        ("order-events", 0),
        ("inventory-events", 0),
        ("order-events", 1),
        ("inventory-events", 1),
        ("order-events", 2),
        ("inventory-events", 2),
    ]


def test_a_clock_that_was_set_back_does_not_change_the_order_of_a_log() -> None:
    shelf = Shelf({A: [10, 50, 20, 30], B: [40]})
    assert [offset for topic, offset in in_order(shelf) if topic == "order-events"] == [0, 1, 2, 3]
    assert in_order(shelf)[1] == ("inventory-events", 0)


def test_records_are_read_in_chunks_and_none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "CHUNK_OFFSETS", 3)
    shelf = Shelf({A: list(range(0, 100, 2)), B: list(range(1, 60, 2))})
    assert len(in_order(shelf)) == 80
    assert shelf.most == 3
