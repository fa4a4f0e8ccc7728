"""The loop that keeps the order book: reads what stood in the logs, then follows both, without a group.

Its invariant: the stock is that of all entries that count, by a snapshot and the journal's tail after it. The
orders are those of the logs' last records: of the journal the last `orders_max` over all partitions, and of
order-events what comes after the last one decided. What comes after the start is taken by the rule of the
journal; what stood there before, by UnanchoredJournal.

Every process has a whole book of its own, and nothing stands on it; so a fault costs only reading again.
"""

import heapq
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from threading import Event as StopEvent
from typing import Any, Protocol

from campus.book.order_book import OrderBook, PartitionStock, Placed
from campus.book.order_window import OrderWindow
from campus.config.settings import TopicsConfig
from campus.domain.codec import Undecodable, decode_input
from campus.domain.events import Entry, OrderPlaced
from campus.domain.journal import JournalRule, UnanchoredJournal
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.kafka.clients import BrokerAway
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import Bounds, TopicPartition
from campus.processing.restore import Folds, History, Restorer

LOOK_EVERY_S = 1.0  # at the ends of the logs: how far behind we are, and whether the broker is there at all
ASK_TIMEOUT_S = 0.8  # stopping waits for it
SILENCE_MOST_S = 3.0  # without a record or an answer, before the broker is said to be away

FOLDS = Folds(lambda _: PartitionStock(), lambda _, state: PartitionStock.from_state(state))


class Logs(History, Protocol):
    """What is needed of a HistoryReader; tests have their own."""

    def follow_all(
        self, starts: Mapping[TopicPartition, int]
    ) -> Iterator[Mapping[TopicPartition, Sequence[Any]]]: ...
    def positions(self) -> dict[TopicPartition, int]: ...
    def ends(self, tps: Collection[TopicPartition], *, timeout_s: float) -> dict[TopicPartition, int]: ...


class Projector:
    def __init__(
        self,
        book: OrderBook,
        topics: TopicsConfig,
        logs: Logs,
        *,
        orders_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._book, self._topics, self._logs, self._clock = book, topics, logs, clock
        self._orders_max = orders_max
        self._restorer = Restorer(
            FOLDS, logs, journal=topics.journal_topic, snapshots=topics.inventory_snapshots_topic
        )
        self._rules: dict[int, JournalRule] = {}
        self._stock: dict[int, PartitionStock] = {}  # the book's own
        self._next: dict[TopicPartition, int] = {}  # empty as long as the history is not read
        self._batches: Iterator[Mapping[TopicPartition, Sequence[Any]]] = iter(())
        self._ends: dict[TopicPartition, int] = {}  # at the last look
        self._caught_up, self._behind = False, 0
        self._look_due_at = self._heard_at = clock()

    def step(self, stop: StopEvent) -> bool:
        """One round; says whether the broker has answered a question. Raises BrokerAway, HistoryMissing."""
        if not self._next:
            self._read_history(stop)
            return False
        batches = next(self._batches)
        if batches:
            self._heard_at = self._clock()
            self._take_in(batches)
        elif not self._caught_up:
            self._look_due_at = self._clock()  # perhaps we have
        return self._look_if_due()

    def start_anew(self) -> None:
        """After an error: what was read is true, and goes on from where it ended."""
        self._batches = self._logs.follow_all(dict(self._next))
        self._look_due_at = self._clock()
        self._caught_up = False
        self._book.come_so_far(caught_up=False, behind=self._behind)

    # What stood in the logs.

    def _read_history(self, stop: StopEvent) -> None:
        journals = self._logs.bounds([self._journal(p) for p in range(self._topics.partitions)])
        ends = {tp.partition: at.end for tp, at in journals.items()}
        folded = self._restorer.restored(ends, stop)
        if stop.is_set():
            return
        entries = self._last_entries(journals, {p: one.rule.seq for p, one in folded.items()}, stop)
        if stop.is_set():
            return
        orders = self._logs.bounds([self._orders(p) for p in range(self._topics.partitions)])
        self._rules = {partition: one.rule for partition, one in folded.items()}
        self._stock = {partition: one.fold for partition, one in folded.items()}
        for partition, rule in self._rules.items():
            self._stock[partition].offset, self._stock[partition].seq = rule.offset, rule.seq
        self._book.begin(self._window_of(entries), self._stock)
        self._follow_from(ends, orders)

    def _last_entries(
        self, journals: Mapping[TopicPartition, Bounds], seqs: Mapping[int, int], stop: StopEvent
    ) -> dict[int, list[tuple[int, Entry]]]:
        """Of each partition. From the middle, so without the rule: see UnanchoredJournal."""
        spans = last_records(journals, self._orders_max)
        unanchored = {tp: UnanchoredJournal(seqs[tp.partition]) for tp in spans}
        entries: dict[int, list[tuple[int, Entry]]] = {tp.partition: [] for tp in spans}
        for tp, records in self._logs.read(spans, stop):
            entries[tp.partition] += unanchored[tp].entries(records)
        return entries

    def _window_of(self, entries: Mapping[int, Sequence[tuple[int, Entry]]]) -> OrderWindow:
        """By time, over all partitions, and within each in its own order."""
        window = OrderWindow(self._orders_max)
        parts = [[(event, p, offset) for offset, event in part] for p, part in entries.items()]
        for event, partition, offset in heapq.merge(*parts, key=lambda entry: entry[0].decided_at):
            window.apply(event, partition, offset)
        return window

    def _follow_from(self, journal_ends: Mapping[int, int], orders: Mapping[TopicPartition, Bounds]) -> None:
        self._next = {self._journal(p): end for p, end in journal_ends.items()}
        undecided = {tp: self._undecided(tp, at) for tp, at in orders.items()}
        for tp, span in last_records(undecided, self._orders_max).items():
            self._next[tp] = span.start
        self._ends = {tp: at.end for tp, at in orders.items()}
        self._batches = self._logs.follow_all(dict(self._next))
        self._look_due_at = self._heard_at = self._clock()

    def _undecided(self, tp: TopicPartition, at: Bounds) -> Bounds:
        start = max(at.start, self._stock[tp.partition].next_offset)
        return Bounds(min(start, at.end), at.end)

    # What comes.

    def _take_in(self, batches: Mapping[TopicPartition, Sequence[Any]]) -> None:
        """The journal first: what it has told, need not be read in order-events."""
        for tp, records in batches.items():
            self._next[tp] = records[-1].offset + 1
            if tp.topic == self._topics.journal_topic:
                self._take_in_journal(tp.partition, records)
        for tp, records in batches.items():
            if tp.topic == self._topics.orders_topic:
                self._book.placed(self._placed(tp.partition, records))

    def _placed(self, partition: int, records: Sequence[Any]) -> Iterator[Placed]:
        """The orders among them that the journal has not told us about already."""
        for record in records:
            if record.offset < self._stock[partition].next_offset:
                continue
            try:
                event = decode_input(record.value)
            except Undecodable:
                continue  # the owner makes a dead letter of it
            if isinstance(event, OrderPlaced):
                misrouted = item_partition(event.item, self._topics.partitions) != partition
                yield Placed(event, partition, record.offset, iso_utc(record.timestamp), misrouted)

    def _take_in_journal(self, partition: int, records: Sequence[Any]) -> None:
        rule = self._rules[partition]
        self._book.journalled(partition, ((rule.offset, event) for event in rule.counting(records)))

    # How far we have come.

    def _look_if_due(self) -> bool:
        now = self._clock()
        if now < self._look_due_at:
            return False
        self._look_due_at = now + LOOK_EVERY_S
        positions = self._logs.positions()
        self._caught_up = all(positions.get(tp, 0) >= end for tp, end in self._ends.items())
        try:
            ends = self._logs.ends(list(self._next), timeout_s=ASK_TIMEOUT_S)
        except BrokerAway:
            if self._clock() - self._heard_at < SILENCE_MOST_S:
                return False  # busy, perhaps
            raise
        self._heard_at = self._clock()
        self._check_ends(ends)
        self._ends = ends
        self._behind = sum(max(0, end - positions.get(tp, 0)) for tp, end in ends.items())
        self._book.come_so_far(caught_up=self._caught_up, behind=self._behind)
        return True

    def _check_ends(self, ends: Mapping[TopicPartition, int]) -> None:
        for tp, end in ends.items():
            if end < self._next[tp]:
                raise HistoryMissing(
                    f"{tp} ends at offset {end}, but {self._next[tp] - 1} was read from it. Probably "
                    "the topic was deleted and made anew. Restore it, or start with a new topics.prefix."
                )

    def _journal(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.journal_topic, partition)

    def _orders(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.orders_topic, partition)


def last_records(spans: Mapping[TopicPartition, Bounds], records_max: int) -> dict[TopicPartition, Bounds]:
    """So many over all places: each an equal share, and more where others have less than theirs."""
    last: dict[TopicPartition, Bounds] = {}
    smallest_first = sorted(spans.items(), key=lambda span: span[1].end - span[1].start)
    for places_left, (tp, span) in zip(range(len(spans), 0, -1), smallest_first, strict=True):
        last[tp] = Bounds(max(span.start, span.end - records_max // places_left), span.end)
        records_max -= last[tp].end - last[tp].start
    return last
