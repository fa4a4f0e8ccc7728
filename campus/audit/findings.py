"""What an audit has found: figures, the journal's own totals, and each violation with its coordinates.

The count of violations is complete, the list is cut; a verdict is drawn from these and nothing else.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, TypeAlias

VIOLATIONS_LISTED_MAX = 100
SHARED_IDS_LISTED_MAX = 10

Verdict: TypeAlias = Literal["clean", "violated", "empty"]


class Kind(str, Enum):
    """What can be wrong; each is what it would mean to whoever ordered."""

    # One record in, one entry out.
    SEQ_GAP = "seq_gap"  # entries are lost: what its own owner wrote after them does not count
    RECORD_WITHOUT_ENTRY = "record_without_entry"  # an order was passed over
    ENTRY_WITHOUT_RECORD = "entry_without_record"  # nobody ordered this
    OFFSET_NOT_GROWING = "offset_not_growing"  # a record was decided a second time
    # The entry is of its record.
    DIFFERS_FROM_RECORD = "differs_from_record"  # not what was ordered
    WRONG_TYPE = "wrong_type"  # not an outcome that such a record can have in this partition
    # Stock: opening + added - reserved + released = remaining, and never below zero.
    STOCK_BELOW_ZERO = "stock_below_zero"
    WRONG_REMAINING = "wrong_remaining"
    OPENING_TWICE = "opening_twice"
    # Once for each id, and for a true reason.
    RESERVED_TWICE = "reserved_twice"
    DECIDED_TWICE = "decided_twice"  # while the owner still remembered the id
    DECIDED_TOO_LATE = "decided_too_late"  # a rerouted order that may have been decided and forgotten
    IGNORED_UNDECIDED = "ignored_undecided"  # called a duplicate, and is none: an order was lost
    RELEASED_TWICE = "released_twice"  # portions for sale that are not there
    RELEASED_UNRESERVED = "released_unreserved"  # the same: the order is not known to have reserved any
    WRONG_RELEASE = "wrong_release"  # not as much as was reserved
    FALSE_REASON = "false_reason"
    # What had to be on record elsewhere.
    DEAD_LETTER_MISSING = "dead_letter_missing"
    REROUTE_MISSING = "reroute_missing"
    EXPECTED_MISSING = "expected_missing"  # somebody was told that it was taken
    # What analytics has written down.
    ANALYTICS_DIFFERS = "analytics_differs"  # it does not count what the journal says


@dataclass(frozen=True, slots=True)
class Violation:
    """`offset` is that of the record of order-events that it is about, `seq` that of its entry."""

    kind: Kind
    what: str
    partition: int | None = None
    offset: int | None = None
    seq: int | None = None


@dataclass(slots=True)
class Totals:
    """What the entries of one partition that count add up to.

    `cancelled` orders are among the `reserved`; their portions are not among the `portions`.
    """

    seq: int = 0
    reserved: int = 0
    cancelled: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    portions: Counter[str] = field(default_factory=Counter)

    @property
    def orders(self) -> int:
        return self.reserved + sum(self.failed.values())

    def differ_from(self, told: "Totals") -> str | None:
        """The first figure in which two totals differ, in words."""
        pairs = {
            "reserved": (self.reserved, told.reserved),
            "cancelled": (self.cancelled, told.cancelled),
            "failed": (_without_zeros(self.failed), _without_zeros(told.failed)),
            "portions": (_without_zeros(self.portions), _without_zeros(told.portions)),
        }
        for name, (ours, theirs) in pairs.items():
            if ours != theirs:
                return f"{name} are {theirs}, the journal up to seq {told.seq} says {ours}"
        return None


@dataclass(slots=True)
class Findings:
    """`undecided`: records after the last decided one. `repeated`: side outputs that a crash wrote again.

    `not_cancelled`: wishes to cancel that were rejected, by reason.
    """

    records: int = 0
    undecided: int = 0
    decisions: int = 0
    claims: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    reroutes: int = 0
    repeated: int = 0
    not_cancelled: Counter[str] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    totals: dict[int, Totals] = field(default_factory=dict)
    shared_ids: int = 0
    shared_ids_listed: list[str] = field(default_factory=list)
    violations: int = 0
    violations_listed: list[Violation] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """Nothing decided is nothing proved."""
        if self.violations:
            return "violated"
        return "clean" if self.decisions else "empty"

    def accuse(self, violation: Violation) -> None:
        self.violations += 1
        if len(self.violations_listed) < VIOLATIONS_LISTED_MAX:
            self.violations_listed.append(violation)

    def note_shared(self, order_id: str) -> None:
        """An id that was decided in another partition, too: used for several items, it is several orders."""
        self.shared_ids += 1
        listed = self.shared_ids_listed
        if len(listed) < SHARED_IDS_LISTED_MAX and order_id not in listed:
            listed.append(order_id)

    def summed_totals(self) -> Totals:
        total = Totals()
        for part in self.totals.values():
            total.seq += part.seq
            total.reserved += part.reserved
            total.cancelled += part.cancelled
            total.failed.update(part.failed)
            total.portions.update(part.portions)
        return total


def _without_zeros(counts: Counter[str]) -> dict[str, int]:
    """Of an item of which all was cancelled, some say that it has none, and others say nothing."""
    return {name: count for name, count in counts.items() if count}
