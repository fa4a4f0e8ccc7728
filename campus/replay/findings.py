"""What a replay has found: the figures, the sums of what was decided again, and the first difference in full.

The verdict depends on nothing else. Later differences are only counted: they may follow from the first one.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from campus.analytics.metrics import OrderMetrics, summed
from campus.domain.events import Entry

TEXT_CHARS_MAX = 2_000
HISTORY_MAX = 20

Verdict: TypeAlias = Literal["identical", "different", "empty"]


@dataclass(frozen=True, slots=True)
class Difference:
    """`journal`: the entry in the journal. `decided`: the same entry decided again. `record`: their record of
    order-events. Each is None if there is none. `field` is None if only the bytes differ."""

    where: Literal["journal", "analytics"]
    partition: int
    what: str
    field: str | None = None
    seq: int | None = None
    journal_offset: int | None = None
    source_offset: int | None = None
    journal: str | None = None
    decided: str | None = None
    record: str | None = None


@dataclass(slots=True)
class ReplayFindings:
    """`item`: the only one that is counted and compared, and `history` its last entries; None for all items.
    `records`: those of order-events, `undecided` ones included. `decisions`: the entries that count.
    `other_rules`: how many of them were made by each other version of the rules; they are applied as they are
    and prove nothing. `digest`: SHA-256 of the entries decided again, one line each, in partition order."""

    item: str | None = None
    records: int = 0
    undecided: int = 0
    decisions: int = 0
    different: int = 0
    claims: int = 0
    other_rules: Counter[int] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    stock: dict[str, int] = field(default_factory=dict)
    partitions: dict[int, OrderMetrics] = field(default_factory=dict)  # decided again
    analytics: dict[int, OrderMetrics] = field(default_factory=dict)  # counted by analytics
    miscounted: int = 0  # partitions in which the two differ
    first_difference: Difference | None = None
    history: deque[Entry] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))

    @property
    def verdict(self) -> Verdict:
        """`empty` if nothing was compared: that proves nothing."""
        if self.different or self.miscounted:
            return "different"
        return "identical" if self.compared else "empty"

    @property
    def compared(self) -> int:
        return self.decisions - self.other_rules.total()

    @property
    def metrics(self) -> OrderMetrics:
        """The metrics of what was decided again."""
        return summed(self.partitions.values())

    @property
    def metrics_of_analytics(self) -> OrderMetrics | None:
        """None if analytics has written nothing down."""
        return summed(self.analytics.values()) if self.analytics else None

    def report(self, difference: Difference) -> None:
        """Count a difference. One in a journal is shown before one in analytics, which may follow from it."""
        if difference.where == "analytics":
            self.miscounted += 1
        else:
            self.different += 1
        first = self.first_difference
        if first is None or (first.where, difference.where) == ("analytics", "journal"):
            self.first_difference = difference


def first_field(one: Entry, other: Entry) -> str | None:
    """The first field in which two entries differ; None if they are equal."""
    if type(one) is not type(other):
        return "event_type"
    return next((f for f in one.__struct_fields__ if getattr(one, f) != getattr(other, f)), None)


def first_figure(ours: OrderMetrics, theirs: OrderMetrics) -> tuple[str, Any, Any] | None:
    """The first figure that differs, such as `items.pizza.portions`, and both values; a missing one is 0."""
    return _first_figure("", msgspec.to_builtins(ours), msgspec.to_builtins(theirs))


def _first_figure(path: str, ours: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    if not isinstance(ours, dict) and not isinstance(theirs, dict):
        return None if ours == theirs else (path, ours, theirs)
    ours, theirs = ours or {}, theirs or {}
    for name in dict.fromkeys([*ours, *theirs]):
        inner = f"{path}.{name}" if path else name
        if found := _first_figure(inner, ours.get(name, 0), theirs.get(name, 0)):
            return found
    return None


def as_shown(value: bytes | None) -> str:
    """The bytes as text of a limited length. Anyone may have written them."""
    text = (value or b"").decode("utf-8", "backslashreplace")
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"
