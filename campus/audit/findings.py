"""What an audit has found: the figures, the journal's own totals, and the violations with their coordinates.

All violations are counted, and the first ones listed. The verdict depends on nothing else.
"""

from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from msgspec import Struct, field

VIOLATIONS_LISTED_MAX = 100
SHARED_IDS_LISTED_MAX = 10

Verdict: TypeAlias = Literal["clean", "violated", "empty"]


class ViolationKind(str, Enum):
    """What can be wrong. The comments say what it means to the people who ordered."""

    # One record in, one entry out.
    SEQ_GAP = "seq_gap"  # entries are lost: later entries of the same owner do not count
    RECORD_WITHOUT_ENTRY = "record_without_entry"  # an order was skipped
    ENTRY_WITHOUT_RECORD = "entry_without_record"  # nobody ordered this
    OFFSET_NOT_GROWING = "offset_not_growing"  # a record was decided a second time
    # The entry matches its record.
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
    IGNORED_UNDECIDED = "ignored_undecided"  # called a duplicate, but is none: an order was lost
    RELEASED_TWICE = "released_twice"  # portions for sale that do not exist
    RELEASED_UNRESERVED = "released_unreserved"  # the same: the order is not known to have reserved any
    WRONG_RELEASE = "wrong_release"  # not the quantity that was reserved
    FALSE_REASON = "false_reason"
    # What must be in other topics.
    DEAD_LETTER_MISSING = "dead_letter_missing"
    REROUTE_MISSING = "reroute_missing"
    EXPECTED_MISSING = "expected_missing"  # a customer got a 202 for it
    # What analytics has written down.
    ANALYTICS_DIFFERS = "analytics_differs"  # its counts are not those of the journal


@dataclass(frozen=True, slots=True)
class Violation:
    """`offset` is that of the record of order-events, `seq` that of its entry."""

    kind: ViolationKind
    what: str
    partition: int | None = None
    offset: int | None = None
    seq: int | None = None


class Totals(Struct):
    """The sums of the entries that count in one partition, up to `seq`.

    Cancelled orders are among the `reserved`, but their portions are not among the `portions`.
    """

    seq: int = 0
    reserved: int = 0
    cancelled: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    portions: Counter[str] = field(default_factory=Counter)

    @property
    def orders(self) -> int:
        return self.reserved + sum(self.failed.values())

    def difference(self, counted: "Totals") -> str | None:
        """The first figure in which `counted` differs from these totals, in words."""
        # A Counter compares equal if it lacks what the other one counts as 0: an item whose orders were all
        # cancelled may have 0 portions, or not be mentioned.
        for name in ("reserved", "cancelled", "failed", "portions"):
            ours, theirs = getattr(self, name), getattr(counted, name)
            if ours != theirs:
                return f"{name} are {_plain(theirs)}, the journal up to seq {counted.seq} says {_plain(ours)}"
        return None


class Findings(Struct):
    """The fields of `audit --json`, in their order; it shows `totals` summed.

    `undecided`: records after the last decided one. `repeated`: side outputs that a crash wrote again.
    `not_cancelled`: rejected requests to cancel, by reason. `totals`: by partition.
    """

    records: int = 0
    decisions: int = 0
    undecided: int = 0
    claims: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    not_cancelled: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    reroutes: int = 0
    repeated: int = field(default=0, name="side_outputs_repeated")
    shared_ids: int = 0
    shared_ids_listed: list[str] = field(default_factory=list)
    totals: dict[int, Totals] = field(default_factory=dict)
    violations: int = field(default=0, name="violations_total")
    violations_listed: list[Violation] = field(default_factory=list, name="violations")

    @property
    def verdict(self) -> Verdict:
        """`empty` if nothing was decided: that proves nothing."""
        if self.violations:
            return "violated"
        return "clean" if self.decisions else "empty"

    def report(self, violation: Violation) -> None:
        self.violations += 1
        if len(self.violations_listed) < VIOLATIONS_LISTED_MAX:
            self.violations_listed.append(violation)

    def note_shared(self, order_id: str) -> None:
        """An id that another partition has decided, too. Used for several items, it is several orders."""
        self.shared_ids += 1
        listed = self.shared_ids_listed
        if len(listed) < SHARED_IDS_LISTED_MAX and order_id not in listed:
            listed.append(order_id)

    def summed_totals(self) -> Totals:
        total = Totals()
        for part in self.totals.values():
            total.reserved += part.reserved
            total.cancelled += part.cancelled
            total.failed.update(part.failed)
            total.portions.update(part.portions)
        return total


def _plain(figure: int | Counter[str]) -> object:
    return dict(figure) if isinstance(figure, Counter) else figure
