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
from collections.abc import Iterable, Iterator
from contextlib import suppress

from campus.analytics.metrics import OrderMetrics
from campus.domain.codec import ConsumerRecord, Undecodable, decode_input, decode_journal, encode
from campus.domain.events import Entry, OwnerClaimed
from campus.domain.journal import JournalRule, owner_of
from campus.inventory.ledger import StockLedger
from campus.inventory.rules import RULES_VERSION
from campus.replay.findings import Difference, ReplayFindings, as_shown, first_field, first_figure


class Replayer:
    def __init__(self, partitions: int, *, item: str | None = None) -> None:
        """`item`: count and compare only what is about it."""
        self.partitions = partitions
        self.digest = hashlib.sha256()
        self.findings = ReplayFindings(item)

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
        if analytics is not None:
            partition.compare_metrics(analytics)

    def finish(self) -> ReplayFindings:
        self.findings.digest = self.digest.hexdigest()
        return self.findings


class PartitionReplay:
    def __init__(self, replayer: Replayer, number: int) -> None:
        self.number, self.item = number, replayer.findings.item
        self.findings, self.digest = replayer.findings, replayer.digest
        self.ledger = StockLedger(number, replayer.partitions)
        self.metrics = self.findings.partitions[number] = OrderMetrics()
        self.rule = JournalRule()
        self.rules_version = RULES_VERSION  # of the last claim
        # The last owner's first record that the rule ignored as no repeat, until one counts again: an entry
        # before it is lost, or it cannot be decoded any more.
        self.gap: ConsumerRecord | None = None

    def run(
        self, journal: Iterable[ConsumerRecord], inputs: Iterator[ConsumerRecord], inputs_end: int
    ) -> None:
        head = next(inputs, None)
        for record in journal:
            event = next(self.rule.counting([record]), None)
            if event is None:
                if self.gap is None and self._leaves_a_gap(record):
                    self.gap = record
            elif isinstance(event, OwnerClaimed):
                self.findings.claims += 1
                self.rules_version = event.rules
                self.ledger.apply(event)
            else:
                self.gap = None
                if head is None:
                    self._report_invented(event, record)
                elif self.rules_version == RULES_VERSION:
                    self._compare(event, record, head)
                    head = next(inputs, None)
                else:
                    self._take_over(event, record)
                    while head and head.offset <= event.source_offset:
                        head = next(inputs, None)
        if self.gap:
            self._report_missing(self.gap, head)
        while head and head.offset < inputs_end:
            if self._is_about_input(head):
                self.findings.records += 1
                self.findings.undecided += 1
            head = next(inputs, None)
        self.findings.ignored += self.rule.ignored
        stock = self.ledger.stock
        self.findings.stock |= {item: left for item, left in stock.items() if self.item in (None, item)}

    def compare_metrics(self, analytics: OrderMetrics) -> None:
        """Compare with what analytics has counted."""
        ours, theirs = self.metrics, analytics
        if self.item is not None:
            ours, theirs = _of_item(ours, self.item), _of_item(theirs, self.item)
        self.findings.analytics[self.number] = theirs
        if found := first_figure(ours, theirs):
            figure, our_value, their_value = found
            what = f"analytics has counted {their_value}, what was decided again gives {our_value}"
            self.findings.report(Difference("analytics", self.number, what, figure, seq=self.rule.seq))

    # The entries and claims that count, in the order of the journal

    def _leaves_a_gap(self, ignored: ConsumerRecord) -> bool:
        if self.rule.owner is None or owner_of(ignored) != self.rule.owner:
            return False
        event = decode_journal(ignored.value)
        return event is None or (not isinstance(event, OwnerClaimed) and event.seq > self.rule.seq)

    def _take_over(self, entry: Entry, written: ConsumerRecord) -> None:
        """Apply an entry that other rules decided, without comparing it."""
        if self._is_about(entry):
            self.findings.records += 1
            self.findings.decisions += 1
            self.findings.other_rules[self.rules_version] += 1
            self._add_up(entry, written.value or b"")
        self.ledger.apply(entry)

    def _compare(self, entry: Entry, written: ConsumerRecord, source: ConsumerRecord) -> None:
        """Decide the source again and compare. The ledger applies its own decision, as a new owner would."""
        decided, _ = self.ledger.decide(source)
        self.ledger.apply(decided)
        value = encode(decided)
        if is_about_item := self._is_about(decided):
            self._add_up(decided, value)
        if is_about_item or self._is_about(entry):
            self.findings.records += 1
            self.findings.decisions += 1
            if value != written.value:
                self._report_difference(entry, decided, written, source, value)

    def _add_up(self, decided: Entry, value: bytes) -> None:
        self.digest.update(value + b"\n")
        self.metrics.apply(decided)
        if self.item is not None:
            self.findings.history.append(decided)

    def _is_about(self, entry: Entry) -> bool:
        return self.item is None or getattr(entry, "item", None) == self.item

    def _is_about_input(self, record: ConsumerRecord) -> bool:
        with suppress(Undecodable):
            return self.item is None or decode_input(record.value).item == self.item
        return False

    # Differences

    def _report_difference(
        self, entry: Entry, decided: Entry, written: ConsumerRecord, source: ConsumerRecord, value: bytes
    ) -> None:
        name = "source_offset" if entry.source_offset != source.offset else first_field(entry, decided)
        if name is None:
            what = "both say the same, in other bytes"
        elif name == "event_type":
            what = f"{type(entry).__name__} in the journal, {type(decided).__name__} decided again"
        else:
            what = f"{getattr(entry, name)!r} in the journal, {getattr(decided, name)!r} decided again"
        self._report(what, name, entry.seq, written, source, value)

    def _report_invented(self, entry: Entry, written: ConsumerRecord) -> None:
        """An entry after the last record: there is nothing to decide."""
        if self._is_about(entry):
            self.findings.decisions += 1
            what = f"an entry of offset {entry.source_offset}, but order-events has no record left for it"
            self._report(what, "source_offset", entry.seq, written, None, None)

    def _report_missing(self, gap: ConsumerRecord, source: ConsumerRecord | None) -> None:
        """Reported whatever the item: a lost entry leaves everything after it undecided."""
        value = encode(self.ledger.decide(source)[0]) if source else None
        seq = self.rule.seq + 1
        what = f"no entry {seq} counts, and what its owner wrote at offset {gap.offset} goes on without it"
        self._report(what, "seq", seq, None, source, value)

    def _report(
        self,
        what: str,
        field: str | None,
        seq: int,
        written: ConsumerRecord | None,
        source: ConsumerRecord | None,
        decided: bytes | None,
    ) -> None:
        difference = Difference(
            "journal",
            self.number,
            what,
            field,
            seq,
            journal_offset=written.offset if written else None,
            source_offset=source.offset if source else None,
            journal=as_shown(written.value) if written else None,
            decided=as_shown(decided) if decided else None,
            record=as_shown(source.value) if source else None,
        )
        self.findings.report(difference)


def _of_item(metrics: OrderMetrics, item: str) -> OrderMetrics:
    """The figures that are kept by item."""
    found = metrics.items.get(item)
    return OrderMetrics(items={item: found} if found else {})
