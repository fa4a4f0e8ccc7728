"""The rule of the journal: an entry counts if its owner made the last claim before it, and its seq is the
last one plus 1.

Every reader that folds the journal (owner, analytics, book, replay) uses this class, so they cannot disagree.
What does not count is counted by its reason: a repeat, an entry after a gap, an entry of an old owner, bytes
that no owner writes. Not here: how entries are decided (inventory/ledger.py).
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from campus.domain.codec import ConsumerRecord, decode_journal
from campus.domain.events import Entry, JournalEvent, OwnerClaimed

OWNER_HEADER = "owner"


class JournalRule:
    """What has counted so far in one partition of the journal.

    `owner`, `seq` and `offset` belong to the last record that counted. Before the first one, `owner` is None,
    `seq` is 0 and `offset` is -1.
    """

    def __init__(self, owner: str | None = None, seq: int = 0, offset: int = -1) -> None:
        self.owner, self.seq, self.offset = owner, seq, offset
        self.ignored: Counter[str] = Counter()

    def counts(self, event: JournalEvent, owner: str | None) -> bool:
        """Whether the partition's next event, written by `owner`, counts. If so, it becomes the last one."""
        if isinstance(event, OwnerClaimed):
            self.owner = event.owner
            return True
        if owner is None or owner != self.owner:
            self.ignored["old_owner"] += 1
            return False
        if event.seq != self.seq + 1:
            self.ignored["repeat" if event.seq <= self.seq else "after_gap"] += 1
            return False
        self.seq = event.seq
        return True

    def counting(self, records: Iterable[ConsumerRecord]) -> Iterator[JournalEvent]:
        """The entries and claims that count, among the partition's next records.

        Records that were delivered before are skipped: an old claim would count again, as the last one.
        """
        for record in records:
            if record.offset <= self.offset:
                continue
            event = decode_journal(record.value)
            if event is None:
                self.ignored["unreadable"] += 1
            elif self.counts(event, owner_of(record)):
                self.offset = record.offset
                yield event

    def is_of(self, record: ConsumerRecord) -> bool:
        """Whether this record is the last one that counted here. If not, it belongs to another journal."""
        event = decode_journal(record.value)
        if record.offset != self.offset or event is None:
            return False
        if isinstance(event, OwnerClaimed):
            return event.owner == self.owner
        return owner_of(record) == self.owner and event.seq == self.seq


class UnanchoredJournal:
    """The entries of one partition, read from an offset where the last claim and seq are not known.

    Until the first claim it yields the entries of every owner, after it only those of the owner that claimed.
    It also yields repeats and entries after a gap. Deciding is deterministic, so an entry that does not count
    says the same of its record as the one that does, unless its owner had other rules or another window. So
    this is for display, not for decisions, and only for readers to whom a repeat changes nothing.
    """

    def __init__(self, last_seq: int) -> None:
        """`last_seq`: the last that counts in the range to be read. An old owner may have gone beyond it."""
        self._last_seq = last_seq
        self._owner: str | None = None

    def entries(self, records: Iterable[ConsumerRecord]) -> Iterator[tuple[int, Entry]]:
        """The offsets and entries among the partition's next records."""
        for record in records:
            event, owner = decode_journal(record.value), owner_of(record)
            if isinstance(event, OwnerClaimed):
                self._owner = event.owner
            elif event is None or owner is None or event.seq > self._last_seq:
                continue
            elif self._owner in (None, owner):
                yield record.offset, event


def owner_of(record: ConsumerRecord) -> str | None:
    """The owner that a record of the journal names; None if it names none."""
    for name, value in record.headers:
        if name == OWNER_HEADER and value is not None:
            return value.decode("utf-8", "replace")
    return None
