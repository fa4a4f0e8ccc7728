"""What a replay has found: figures, what everything adds up to, and the first difference, whole.

A verdict is drawn from these and nothing else. Of the differences only the first is kept: what comes after
it may follow from it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import msgspec

from campus.analytics.metrics import OrderMetrics, summed
from campus.domain.events import Entry

TEXT_CHARS_MAX = 2_000

Verdict: TypeAlias = Literal["identical", "different", "empty"]


@dataclass(frozen=True, slots=True)
class Difference:
    """`journal`: the entry as it stands there; `decided`: the same decided again; `record`: the record of
    order-events that it is about. Each is None where there is none. `field` is None if only the bytes differ.
    """

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
class Replay:
    """`records`: of order-events, `undecided` among them. `decisions`: what counts of the journal; of those
    `other_rules` were made under other rules than this program's, by their version: they were taken over as
    they are, and prove nothing. `digest`: SHA-256 of what was decided, a line each, in partition order.
    """

    records: int = 0
    undecided: int = 0
    decisions: int = 0
    different: int = 0
    claims: int = 0
    other_rules: Counter[int] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    digest: str = ""
    stock: dict[str, int] = field(default_factory=dict)
    partitions: dict[int, OrderMetrics] = field(default_factory=dict)
    told: dict[int, OrderMetrics] = field(default_factory=dict)
    miscounted: int = 0  # partitions in which analytics has other metrics
    first_difference: Difference | None = None

    @property
    def verdict(self) -> Verdict:
        """Nothing compared is nothing proved."""
        if self.different or self.miscounted:
            return "different"
        return "identical" if self.compared else "empty"

    @property
    def compared(self) -> int:
        return self.decisions - self.other_rules.total()

    @property
    def metrics(self) -> OrderMetrics:
        """Folded from what was decided again."""
        return summed(self.partitions.values())

    @property
    def metrics_of_analytics(self) -> OrderMetrics | None:
        """None where analytics has not been asked."""
        return summed(self.told.values()) if self.told else None

    def differs(self, difference: Difference) -> None:
        """What differs in a journal comes before what analytics makes of it."""
        if difference.where == "analytics":
            self.miscounted += 1
        else:
            self.different += 1
        first = self.first_difference
        if first is None or (first.where, difference.where) == ("analytics", "journal"):
            self.first_difference = difference


def first_field(one: Entry, other: Entry) -> str | None:
    """The first field in which two entries differ; None if they say the same."""
    if type(one) is not type(other):
        return "event_type"
    for name in one.__struct_fields__:
        if getattr(one, name) != getattr(other, name):
            return name
    return None


def first_figure(ours: OrderMetrics, theirs: OrderMetrics) -> tuple[str, Any, Any] | None:
    """The first figure in which they differ, as `items.pizza.portions`, and both; a missing one is 0."""
    return _first_figure("", msgspec.to_builtins(ours), msgspec.to_builtins(theirs))


def _first_figure(path: str, ours: Any, theirs: Any) -> tuple[str, Any, Any] | None:
    if not isinstance(ours, dict) and not isinstance(theirs, dict):
        return None if ours == theirs else (path, ours, theirs)
    ours, theirs = ours or {}, theirs or {}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        inner = f"{path}.{name}" if path else name
        if found := _first_figure(inner, ours.get(name, 0), theirs.get(name, 0)):
            return found
    return None


def shown(value: bytes | None) -> str:
    """The bytes as text, cut; anyone may have written them."""
    text = (value or b"").decode("utf-8", "backslashreplace")
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"
