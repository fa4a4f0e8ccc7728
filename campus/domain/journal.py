"""The rule of the journal: an entry counts if its owner made the last claim before it, and its seq
is the last one plus 1.

Every reader that folds the journal (owner, analytics, replay) asks here, so that they cannot
disagree. What does not count is counted by its reason: a repeat, an entry after a gap, a word of an
old owner that woke up, bytes that no owner writes. Not here: how entries are decided (ledger.py).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from campus.domain.codec import decode_journal
from campus.domain.events import Entry, JournalEvent, OwnerClaimed

OWNER_HEADER = "owner"


class JournalRecord(Protocol):
    """A record as a Kafka consumer hands it over."""

    @property
    def offset(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


class JournalRule:
    """What has counted so far in one partition of the journal.

    `owner`, `seq` and `offset` are those of the last record that counted; at the beginning there is
    none, and `offset` is -1.
    """

    def __init__(self, owner: str | None = None, seq: int = 0, offset: int = -1) -> None:
        self.owner, self.seq, self.offset = owner, seq, offset
        self.ignored: Counter[str] = Counter()

    def counts(self, event: JournalEvent, owner: str | None) -> bool:
        """Whether the partition's next event, written by `owner`, counts; remembers that it did."""
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

    def counting(self, records: Iterable[JournalRecord]) -> Iterator[JournalEvent]:
        """The events among the partition's next records that count, claims among them.

        What was delivered before is passed over: an old claim would count again, and be the last one.
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

    def is_of(self, record: JournalRecord) -> bool:
        """Whether the record at our offset is the one that we counted last: else it is another journal."""
        event = decode_journal(record.value)
        if record.offset != self.offset or event is None:
            return False
        if isinstance(event, OwnerClaimed):
            return event.owner == self.owner
        return owner_of(record) == self.owner and event.seq == self.seq


class JournalFromTheMiddle:
    """What was decided, heard from somewhere within a partition, where the rule cannot be known.

    Nobody there knows whose claim is the last one, nor which seq comes next. So until the first claim every
    owner is heard, and after it the one who made it; repeats and what follows a gap are heard, too. Deciding
    is deterministic: what does not count says the same of its record as what does, unless an owner with
    other rules or another memory wrote it. So this is for looking, not for deciding, and for those alone to
    whom hearing a thing twice is the same as once.
    """

    def __init__(self, last_seq: int) -> None:
        """`last_seq`: the last that counts, where hearing ends; an old owner may have gone on beyond it."""
        self._last_seq = last_seq
        self._owner: str | None = None

    def heard(self, records: Iterable[JournalRecord]) -> Iterator[tuple[int, Entry]]:
        """The entries among the partition's next records, each with its offset."""
        for record in records:
            event, owner = decode_journal(record.value), owner_of(record)
            if isinstance(event, OwnerClaimed):
                self._owner = event.owner
            elif event is None or owner is None or event.seq > self._last_seq:
                continue
            elif self._owner in (None, owner):
                yield record.offset, event


def owner_of(record: JournalRecord) -> str | None:
    for name, value in record.headers:
        if name == OWNER_HEADER and value is not None:
            return value.decode("utf-8", "replace")
    return None
