"""The loop that keeps the order book: loads the latest orders from the logs, then follows both of them.

The invariant: the stock is that of all journal entries that count, from a snapshot and the journal's tail.
The orders are those of the logs' last records: the last `orders_max` of the journal over all partitions, and
in order-events all after the last decided one. New journal records count by the rule of the journal; those
from before the start are read with UnanchoredJournal.
"""

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import Event as StopEvent
from typing import Any

from campus.book.order_book import OrderBook
from campus.book.order_window import OrderWindow, PlacedRecord
from campus.book.stock_levels import StockLevels
from campus.config.settings import TopicsConfig
from campus.domain.codec import Undecodable, decode_input
from campus.domain.events import Entry, OrderPlaced
from campus.domain.journal import UnanchoredJournal
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.kafka.clients import BrokerAway
from campus.kafka.log_reader import HistoryMissing, LogReader
from campus.kafka.records import Bounds, TopicPartition
from campus.processing.restore import FoldFactory, RestoredState, Restorer

CHECK_EVERY_S = 1.0  # of the ends of the logs: how far behind the book is, and whether the broker answers
ASK_TIMEOUT_S = 0.8  # a stop waits for the answer
SILENCE_MAX_S = 3.0  # without a record or an answer, until the broker counts as away

FOLD_FACTORY = FoldFactory(lambda _: StockLevels({}, {}, 0), lambda _, state: StockLevels.from_state(state))


class Projector:
    def __init__(
        self,
        book: OrderBook,
        topics: TopicsConfig,
        reader: LogReader,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._topics, self._reader, self._clock = book, topics, reader, clock
        self._restorer = Restorer(
            FOLD_FACTORY, reader, journal=topics.journal_topic, snapshots=topics.inventory_snapshots_topic
        )
        self._states: dict[int, RestoredState[StockLevels]] = {}  # their folds are also the book's stock
        self._next_offsets: dict[TopicPartition, int] = {}  # empty until the history is loaded
        self._batches: Iterator[Mapping[TopicPartition, Sequence[Any]]] = iter(())
        self._ends: dict[TopicPartition, int] = {}  # at the last check
        self._check_due_at = self._last_answer_at = clock()

    def step(self, stop: StopEvent) -> bool:
        """Load the history at first, then apply one batch. True if the broker answered a check of the ends.

        Raises BrokerAway, HistoryMissing.
        """
        if not self._next_offsets:
            self._load_history(stop)
            return False
        batches = next(self._batches)
        if batches:
            self._last_answer_at = self._clock()
            self._apply(batches)
        elif not self._book.caught_up:
            self._check_due_at = self._clock()  # an empty batch: perhaps the book has just caught up
        return self._check_progress_if_due()

    def reset(self) -> None:
        """Continue after an error behind the last record that was read: what was read is true."""
        self._batches = self._reader.follow_all(dict(self._next_offsets))
        self._check_due_at = self._clock()
        self._book.caught_up = False

    # The history: what was in the logs before the start.

    def _load_history(self, stop: StopEvent) -> None:
        journals = self._bounds(self._topics.journal_topic)
        ends = {tp.partition: bounds.end for tp, bounds in journals.items()}
        states = self._restorer.restore(ends, stop)
        if stop.is_set():
            return
        window = self._read_window(journals, states, stop)
        if stop.is_set():
            return
        orders = self._bounds(self._topics.orders_topic)
        for state in states.values():
            state.fold.offset = state.rule.offset
        self._states = states
        self._book.load(window, {partition: state.fold for partition, state in states.items()})
        self._start_following(journals, orders)

    def _read_window(
        self,
        journals: Mapping[TopicPartition, Bounds],
        states: Mapping[int, RestoredState[StockLevels]],
        stop: StopEvent,
    ) -> OrderWindow:
        """The last entries of all partitions merged by time; those of one partition keep their order.

        Reading starts in the middle of the journal, where its rule cannot be applied (UnanchoredJournal).
        """
        spans = last_records(journals, self._book.orders_max)
        readers = {tp: UnanchoredJournal(states[tp.partition].rule.seq) for tp in spans}
        entries: dict[TopicPartition, list[tuple[Entry, int, int]]] = {tp: [] for tp in spans}
        for tp, records in self._reader.read(spans, stop):
            entries[tp] += [(entry, tp.partition, offset) for offset, entry in readers[tp].entries(records)]
        window = OrderWindow(self._book.orders_max)
        for entry, partition, offset in heapq.merge(*entries.values(), key=lambda entry: entry[0].decided_at):
            window.apply(entry, partition, offset)
        return window

    def _start_following(
        self, journals: Mapping[TopicPartition, Bounds], orders: Mapping[TopicPartition, Bounds]
    ) -> None:
        self._next_offsets = {tp: bounds.end for tp, bounds in journals.items()}
        undecided = {}
        for tp, bounds in orders.items():
            start = max(bounds.start, self._states[tp.partition].fold.next_offset)
            undecided[tp] = Bounds(min(start, bounds.end), bounds.end)
        last = last_records(undecided, self._book.orders_max)
        self._next_offsets |= {tp: span.start for tp, span in last.items()}
        self._ends = {tp: bounds.end for tp, bounds in orders.items()}
        self._last_answer_at = self._clock()
        self.reset()

    # New records.

    def _apply(self, batches: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """The journal first: what it decides need not be read from order-events."""
        for tp, records in batches.items():
            self._next_offsets[tp] = records[-1].offset + 1
            if tp.topic == self._topics.journal_topic:
                rule = self._states[tp.partition].rule
                events = ((rule.offset, event) for event in rule.counting(records))
                self._book.apply_journal(tp.partition, events)
        for tp, records in batches.items():
            if tp.topic == self._topics.orders_topic:
                self._book.add_placed(self._undecided_orders(tp.partition, records))

    def _undecided_orders(self, partition: int, records: Sequence[Any]) -> Iterator[PlacedRecord]:
        for record in records:
            if record.offset < self._states[partition].fold.next_offset:
                continue
            try:
                event = decode_input(record.value)
            except Undecodable:
                continue  # its owner makes a dead letter of it
            if isinstance(event, OrderPlaced):
                misrouted = item_partition(event.item, self._topics.partitions) != partition
                yield PlacedRecord(event, partition, record.offset, iso_utc(record.timestamp), misrouted)

    # Progress.

    def _check_progress_if_due(self) -> bool:
        now = self._clock()
        if now < self._check_due_at:
            return False
        self._check_due_at = now + CHECK_EVERY_S
        positions = self._reader.positions()
        caught_up = all(positions.get(tp, 0) >= end for tp, end in self._ends.items())
        try:
            ends = self._reader.ends(list(self._next_offsets), timeout_s=ASK_TIMEOUT_S)
        except BrokerAway:
            if self._clock() - self._last_answer_at < SILENCE_MAX_S:
                return False  # the broker may only be busy
            raise
        self._last_answer_at = self._clock()
        self._check_ends(ends)
        self._ends = ends
        self._book.behind = sum(max(0, end - positions.get(tp, 0)) for tp, end in ends.items())
        self._book.caught_up = caught_up
        return True

    def _check_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        for tp, end in ends.items():
            if end < self._next_offsets[tp]:
                raise HistoryMissing(
                    f"{tp} ends at offset {end}, but {self._next_offsets[tp] - 1} was read from it. Probably "
                    "the topic was deleted and made anew. Restore it, or start with a new topics.prefix."
                )

    def _bounds(self, topic: str) -> dict[TopicPartition, Bounds]:
        return self._reader.bounds([TopicPartition(topic, p) for p in range(self._topics.partitions)])


def last_records(spans: Mapping[TopicPartition, Bounds], records_max: int) -> dict[TopicPartition, Bounds]:
    """The last `records_max` over all spans: an equal share each, and more where others have less."""
    last: dict[TopicPartition, Bounds] = {}
    smallest_first = sorted(spans.items(), key=lambda span: span[1].end - span[1].start)
    for spans_left, (tp, span) in zip(range(len(spans), 0, -1), smallest_first, strict=True):
        last[tp] = Bounds(max(span.start, span.end - records_max // spans_left), span.end)
        records_max -= last[tp].end - last[tp].start
    return last
