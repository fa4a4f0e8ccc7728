"""Replay: order-events decided once more by a fresh ledger, and every entry of the journal held against it.

It shares the program's own rules on purpose: what it proves is that they and the log give the journal, byte
for byte, and the metrics. That the rules are right is the audit's to prove (audit.py). Both logs of a
partition are walked side by side, one partition after the other, so what it keeps is the folds and no log.

    replaying = Replaying(partitions)
    for p in range(partitions):
        replaying.partition(p, the journal of p, the records of order-events of p, …)
    replay = replaying.finish()

On a system that runs the end of the journal must have been taken before that of order-events: what stands in
the journal was read from there before.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from campus.analytics.metrics import OrderMetrics
from campus.domain.codec import Unfit, decode_input, decode_journal, encode
from campus.domain.events import Entry, OwnerClaimed
from campus.domain.journal import JournalRecord, JournalRule, owner_of
from campus.inventory.ledger import InputRecord, StockLedger
from campus.inventory.rules import RULES_VERSION
from campus.replay.findings import Difference, Replay, first_field, first_figure, shown

NewLedger = Callable[[int, int], StockLedger]
Watch = Callable[[Entry], None]


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


class Replaying:
    def __init__(
        self,
        partitions: int,
        *,
        item: str | None = None,
        new_ledger: NewLedger = StockLedger,
        watch: Watch = lambda _: None,
    ) -> None:
        """`item`: only what is about it is counted and compared. `watch` is shown each entry that counts."""
        self._partitions, self._item = partitions, item
        self._new_ledger, self._watch = new_ledger, watch
        self._digest = hashlib.sha256()
        self._replay = Replay()

    def partition(
        self,
        number: int,
        journal: Iterable[JournalRecord],
        inputs: Iterable[InputRecord],
        *,
        inputs_end: int,
        told: OrderMetrics | None = None,
    ) -> None:
        """`inputs` may go on beyond `inputs_end`: what is there is not missed in the journal.

        `told`: what analytics has counted of the same journal.
        """
        partition = PartitionReplay(
            number,
            self._new_ledger(number, self._partitions),
            self._replay,
            self._digest,
            self._watch,
            self._item,
        )
        partition.run(journal, iter(inputs), inputs_end)
        self._replay.partitions[number] = partition.metrics
        self._replay.stock |= partition.stock()
        if told is not None:
            self._replay.told[number] = partition.compare_metrics(told)

    def finish(self) -> Replay:
        self._replay.digest = self._digest.hexdigest()
        return self._replay


@dataclass(slots=True)
class PartitionReplay:
    number: int
    ledger: StockLedger
    replay: Replay
    digest: Digest
    watch: Watch
    item: str | None
    metrics: OrderMetrics = field(default_factory=OrderMetrics)
    rule: JournalRule = field(default_factory=JournalRule)
    other_rules: int | None = None  # under which the claim that is in force was made, if not ours
    at: Any = None  # the record of the journal that the rule has in hand
    gap: Any = None  # the first of the owner's entries that did not count, until one counts again

    def run(self, journal: Iterable[JournalRecord], inputs: Iterator[InputRecord], inputs_end: int) -> None:
        head = next(inputs, None)
        for event in self.rule.counting(self._noting_gaps(journal)):
            if isinstance(event, OwnerClaimed):
                self._claimed(event)
            elif head is None:
                self._invented(event)
            elif self.other_rules is not None:
                head = self._take_over(event, head, inputs)
            else:
                self._compare(event, head)
                head = next(inputs, None)
        if self.gap:
            self._miss_entry(head)
        while head and head.offset < inputs_end:
            if self._is_about_input(head):
                self.replay.records += 1
                self.replay.undecided += 1
            head = next(inputs, None)
        self.replay.ignored += self.rule.ignored

    def stock(self) -> dict[str, int]:
        return {item: left for item, left in self.ledger.stock.items() if self.item in (None, item)}

    def compare_metrics(self, told: OrderMetrics) -> OrderMetrics:
        """Returns of what was told that which was compared."""
        told = told if self.item is None else _of_item(told, self.item)
        ours = self.metrics if self.item is None else _of_item(self.metrics, self.item)
        if found := first_figure(ours, told):
            figure, of_ours, of_told = found
            what = f"analytics has counted {of_told}, what was decided again gives {of_ours}"
            self.replay.differs(Difference("analytics", self.number, what, figure, seq=self.rule.seq))
        return told

    # What counts of the journal, in its order

    def _noting_gaps(self, journal: Iterable[JournalRecord]) -> Iterator[JournalRecord]:
        """Hands each record to the rule, and when the rule is done with it looks whether it was passed over
        although it is its owner's: then an entry before it is lost, or it is no entry any more."""
        for record in journal:
            self.at, seq = record, self.rule.seq
            yield record
            if self.rule.seq != seq:
                self.gap = None
            elif self.gap is None and self._leaves_a_gap(record):
                self.gap = record

    def _leaves_a_gap(self, record: JournalRecord) -> bool:
        if record.offset == self.rule.offset or self.rule.owner is None:
            return False  # a claim, or a word from before the first
        if owner_of(record) != self.rule.owner:
            return False
        event = decode_journal(record.value)
        return event is None or (not isinstance(event, OwnerClaimed) and event.seq > self.rule.seq)

    def _claimed(self, claim: OwnerClaimed) -> None:
        self.replay.claims += 1
        self.other_rules = claim.rules if claim.rules != RULES_VERSION else None
        self.ledger.apply(claim)

    def _take_over(
        self, entry: Entry, record: InputRecord, inputs: Iterator[InputRecord]
    ) -> InputRecord | None:
        """What was decided by other rules is decided: apply it. Returns the record that comes next."""
        assert self.other_rules is not None
        if self._is_about(entry):
            self.replay.records += 1
            self.replay.decisions += 1
            self.replay.other_rules[self.other_rules] += 1
            self._add_up(entry, self.at.value)
        self.ledger.apply(entry)
        head: InputRecord | None = record
        while head and head.offset <= entry.source_offset:
            head = next(inputs, None)
        return head

    def _compare(self, entry: Entry, record: InputRecord) -> None:
        """Decide the next record again. The fold goes on by its own decision, as a new owner would."""
        decided, _ = self.ledger.decide(record)
        self.ledger.apply(decided)
        value = encode(decided)
        if is_asked_for := self._is_about(decided):
            self._add_up(decided, value)
        if is_asked_for or self._is_about(entry):
            self.replay.records += 1
            self.replay.decisions += 1
            if value != self.at.value:
                self._differs(entry, record, decided, value)

    def _add_up(self, decided: Entry, value: bytes) -> None:
        self.digest.update(value + b"\n")
        self.metrics.apply(decided)
        self.watch(decided)

    def _is_about(self, entry: Entry) -> bool:
        return self.item is None or getattr(entry, "item", None) == self.item

    def _is_about_input(self, record: InputRecord) -> bool:
        if self.item is None:
            return True
        try:
            return decode_input(record.value).item == self.item
        except Unfit:
            return False

    # What differs

    def _differs(self, entry: Entry, record: InputRecord, decided: Entry, value: bytes) -> None:
        name = "source_offset" if entry.source_offset != record.offset else first_field(entry, decided)
        if name is None:
            what = "both say the same, in other bytes"
        elif name == "event_type":
            what = f"{type(entry).__name__} in the journal, {type(decided).__name__} decided again"
        else:
            what = f"{getattr(entry, name)!r} in the journal, {getattr(decided, name)!r} decided again"
        self._report(what, name, entry.seq, self.at, record, value)

    def _invented(self, entry: Entry) -> None:
        """There is nothing to decide, and never will be in this partition."""
        if self._is_about(entry):
            self.replay.decisions += 1
            what = (
                f"an entry that no record of order-events is left for, it says offset {entry.source_offset}"
            )
            self._report(what, "source_offset", entry.seq, self.at, None, None)

    def _miss_entry(self, record: InputRecord | None) -> None:
        """Whatever the item: an entry that is lost leaves all that comes after it undecided."""
        value = encode(self.ledger.decide(record)[0]) if record else None
        seq = self.rule.seq + 1
        what = (
            f"no entry {seq} counts, and what its owner wrote at offset {self.gap.offset} goes on without it"
        )
        self._report(what, "seq", seq, None, record, value)

    def _report(
        self,
        what: str,
        name: str | None,
        seq: int,
        stands: Any,
        record: InputRecord | None,
        decided: bytes | None,
    ) -> None:
        self.replay.differs(
            Difference(
                "journal",
                self.number,
                what,
                name,
                seq,
                journal_offset=stands.offset if stands else None,
                source_offset=record.offset if record else None,
                journal=shown(stands.value) if stands else None,
                decided=shown(decided) if decided else None,
                record=shown(record.value) if record else None,
            )
        )


def _of_item(metrics: OrderMetrics, item: str) -> OrderMetrics:
    """Of the figures those that are kept by item."""
    found = metrics.items.get(item)
    return OrderMetrics(items={item: found} if found else {})
