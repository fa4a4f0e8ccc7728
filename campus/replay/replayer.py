"""Decides order-events again with a fresh ledger, and compares each decision with the journal's entry.

The two logs of a partition are read side by side, one partition after the other: it keeps the folds in
memory, and no log.

    replayer = Replayer(partitions)
    for p in range(partitions):
        replayer.partition(p, the journal of p, the records of order-events of p, …)
    findings = replayer.finish()

On a running system the end of the journal must be taken before that of order-events: the records of its
entries were in order-events before.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from campus.analytics.metrics import OrderMetrics
from campus.domain.codec import ConsumerRecord, Undecodable, decode_input, decode_journal, encode
from campus.domain.events import Entry, OwnerClaimed
from campus.domain.journal import JournalRule, owner_of
from campus.inventory.ledger import StockLedger
from campus.inventory.rules import RULES_VERSION
from campus.replay.findings import Difference, ReplayFindings, as_shown, first_field, first_figure

NewLedger = Callable[[int, int], StockLedger]
OnDecision = Callable[[Entry], None]


class Replayer:
    def __init__(
        self,
        partitions: int,
        *,
        item: str | None = None,
        new_ledger: NewLedger = StockLedger,
        on_decision: OnDecision = lambda _: None,
    ) -> None:
        """`item`: count and compare only what is about it. `on_decision` gets each entry that was counted."""
        self.partitions, self.item = partitions, item
        self.new_ledger, self.on_decision = new_ledger, on_decision
        self.digest = hashlib.sha256()
        self.findings = ReplayFindings()

    def partition(
        self,
        number: int,
        journal: Iterable[ConsumerRecord],
        inputs: Iterable[ConsumerRecord],
        *,
        inputs_end: int,
        analytics: OrderMetrics | None = None,
    ) -> None:
        """`inputs` may go beyond `inputs_end`: records from there on need no entry in the journal.

        `analytics`: what analytics has counted in the same range of the journal.
        """
        partition = PartitionReplay(self, number)
        partition.run(journal, iter(inputs), inputs_end)
        self.findings.partitions[number] = partition.metrics
        self.findings.stock |= partition.stock()
        if analytics is not None:
            self.findings.analytics[number] = partition.compare_metrics(analytics)

    def finish(self) -> ReplayFindings:
        self.findings.digest = self.digest.hexdigest()
        return self.findings


class PartitionReplay:
    def __init__(self, replayer: Replayer, number: int) -> None:
        self.number, self.item = number, replayer.item
        self.findings, self.digest = replayer.findings, replayer.digest
        self.on_decision = replayer.on_decision
        self.ledger = replayer.new_ledger(number, replayer.partitions)
        self.metrics = OrderMetrics()
        self.rule = JournalRule()
        self.other_rules: int | None = None  # the rules version of the last claim, if it is not ours
        self.current: Any = None  # the record of the journal that the rule is judging
        self.gap: Any = None  # the owner's first record that did not count, until one counts again

    def run(
        self, journal: Iterable[ConsumerRecord], inputs: Iterator[ConsumerRecord], inputs_end: int
    ) -> None:
        head = next(inputs, None)
        for event in self.rule.counting(self._with_gaps_noted(journal)):
            if isinstance(event, OwnerClaimed):
                self._apply_claim(event)
            elif head is None:
                self._report_invented(event)
            elif self.other_rules is not None:
                head = self._take_over(event, head, inputs)
            else:
                self._compare(event, head)
                head = next(inputs, None)
        if self.gap:
            self._report_missing(head)
        while head and head.offset < inputs_end:
            if self._is_about_input(head):
                self.findings.records += 1
                self.findings.undecided += 1
            head = next(inputs, None)
        self.findings.ignored += self.rule.ignored

    def stock(self) -> dict[str, int]:
        return {item: left for item, left in self.ledger.stock.items() if self.item in (None, item)}

    def compare_metrics(self, analytics: OrderMetrics) -> OrderMetrics:
        """Compare with what analytics has counted. Returns the part of it that was compared."""
        ours, theirs = self.metrics, analytics
        if self.item is not None:
            ours, theirs = _of_item(ours, self.item), _of_item(theirs, self.item)
        if found := first_figure(ours, theirs):
            figure, our_value, their_value = found
            what = f"analytics has counted {their_value}, what was decided again gives {our_value}"
            self.findings.report(Difference("analytics", self.number, what, figure, seq=self.rule.seq))
        return theirs

    # The entries and claims that count, in the order of the journal

    def _with_gaps_noted(self, journal: Iterable[ConsumerRecord]) -> Iterator[ConsumerRecord]:
        """Yields each record to the rule. A record of the last owner that the rule then ignores is a gap: an
        entry before it is lost, or it cannot be decoded any more."""
        for record in journal:
            self.current, seq = record, self.rule.seq
            yield record
            if self.rule.seq != seq:
                self.gap = None
            elif self.gap is None and self._leaves_a_gap(record):
                self.gap = record

    def _leaves_a_gap(self, record: ConsumerRecord) -> bool:
        if record.offset == self.rule.offset or self.rule.owner is None:
            return False  # a claim, or a record before the first claim
        if owner_of(record) != self.rule.owner:
            return False
        event = decode_journal(record.value)
        return event is None or (not isinstance(event, OwnerClaimed) and event.seq > self.rule.seq)

    def _apply_claim(self, claim: OwnerClaimed) -> None:
        self.findings.claims += 1
        self.other_rules = claim.rules if claim.rules != RULES_VERSION else None
        self.ledger.apply(claim)

    def _take_over(
        self, entry: Entry, record: ConsumerRecord, inputs: Iterator[ConsumerRecord]
    ) -> ConsumerRecord | None:
        """Apply an entry that other rules decided, without comparing it. Returns the next record."""
        assert self.other_rules is not None
        if self._is_about(entry):
            self.findings.records += 1
            self.findings.decisions += 1
            self.findings.other_rules[self.other_rules] += 1
            self._add_up(entry, self.current.value)
        self.ledger.apply(entry)
        head: ConsumerRecord | None = record
        while head and head.offset <= entry.source_offset:
            head = next(inputs, None)
        return head

    def _compare(self, entry: Entry, record: ConsumerRecord) -> None:
        """Decide the record again and compare. The ledger applies its own decision, as a new owner would."""
        decided, _ = self.ledger.decide(record)
        self.ledger.apply(decided)
        value = encode(decided)
        if is_about_item := self._is_about(decided):
            self._add_up(decided, value)
        if is_about_item or self._is_about(entry):
            self.findings.records += 1
            self.findings.decisions += 1
            if value != self.current.value:
                self._report_difference(entry, record, decided, value)

    def _add_up(self, decided: Entry, value: bytes) -> None:
        self.digest.update(value + b"\n")
        self.metrics.apply(decided)
        self.on_decision(decided)

    def _is_about(self, entry: Entry) -> bool:
        return self.item is None or getattr(entry, "item", None) == self.item

    def _is_about_input(self, record: ConsumerRecord) -> bool:
        with suppress(Undecodable):
            return self.item is None or decode_input(record.value).item == self.item
        return False

    # Differences

    def _report_difference(self, entry: Entry, record: ConsumerRecord, decided: Entry, value: bytes) -> None:
        name = "source_offset" if entry.source_offset != record.offset else first_field(entry, decided)
        if name is None:
            what = "both say the same, in other bytes"
        elif name == "event_type":
            what = f"{type(entry).__name__} in the journal, {type(decided).__name__} decided again"
        else:
            what = f"{getattr(entry, name)!r} in the journal, {getattr(decided, name)!r} decided again"
        self._report(what, name, entry.seq, self.current, record, value)

    def _report_invented(self, entry: Entry) -> None:
        """An entry after the last record: there is nothing to decide."""
        if self._is_about(entry):
            self.findings.decisions += 1
            what = f"an entry of offset {entry.source_offset}, but order-events has no record left for it"
            self._report(what, "source_offset", entry.seq, self.current, None, None)

    def _report_missing(self, record: ConsumerRecord | None) -> None:
        """Reported whatever the item: a lost entry leaves everything after it undecided."""
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
        in_journal: Any,
        record: ConsumerRecord | None,
        decided: bytes | None,
    ) -> None:
        difference = Difference(
            "journal",
            self.number,
            what,
            name,
            seq,
            journal_offset=in_journal.offset if in_journal else None,
            source_offset=record.offset if record else None,
            journal=as_shown(in_journal.value) if in_journal else None,
            decided=as_shown(decided) if decided else None,
            record=as_shown(record.value) if record else None,
        )
        self.findings.report(difference)


def _of_item(metrics: OrderMetrics, item: str) -> OrderMetrics:
    """The figures that are kept by item."""
    found = metrics.items.get(item)
    return OrderMetrics(items={item: found} if found else {})
