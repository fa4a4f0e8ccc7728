"""The result of a campaign: what was sent and answered, the server's footprint, and its faults."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.attack.monitor import Footprint

KINDS_SHOWN = 40
KIND_CHARS_MAX = 90


@dataclass
class Report:
    attacks: Counter[str] = field(default_factory=Counter)
    requests: int = 0  # found by the strict reader, and malformed ones
    statuses: Counter[int] = field(default_factory=Counter)
    resets: int = 0
    good_s: list[float] = field(default_factory=list)
    faults: "Faults" = field(default_factory=lambda: Faults())
    accepted: int = 0
    before: Footprint | None = None
    after: Footprint | None = None
    took_s: float = 0.0

    def lines(self) -> Iterator[str]:
        yield f"{sum(self.attacks.values()):,} attacks with {self.requests:,} requests in {self.took_s:.0f} s"
        for name, count in sorted(self.attacks.items()):
            yield f"  {name:<20}{count:>8,}"
        yield "answers: " + ", ".join(
            f"{count:,} × {status}" for status, count in sorted(self.statuses.items())
        )
        yield f"{self.resets:,} connections were reset; {self.accepted:,} orders were accepted"
        good = sorted(self.good_s)
        yield (
            f"good requests beside them: {len(good):,}, median {good[len(good) // 2] * 1e3:.1f} ms, "
            f"p99 {good[int(len(good) * 0.99)] * 1e3:.1f} ms, longest {good[-1] * 1e3:.0f} ms"
        )
        yield f"before: {self.before}\nafter:  {self.after}"
        yield from self.faults.lines()


class Faults:
    """Counted by their text without numbers, each kind with its shortest example."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, fault: str, example: str = "") -> None:
        kind = re.sub(r"\d{2,}|0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]+", "N", fault)[:KIND_CHARS_MAX]
        self._counts[kind] += 1
        text = f"{fault}\n  {example}"
        if kind not in self._examples or len(text) < len(self._examples[kind]):
            self._examples[kind] = text

    def lines(self) -> Iterator[str]:
        yield f"{len(self)} faults of {len(self._counts)} kinds"
        for kind, count in self._counts.most_common(KINDS_SHOWN):
            yield f"--- {count:,} × {self._examples[kind]}"
