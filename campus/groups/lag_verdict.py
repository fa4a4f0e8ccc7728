"""Whether a consumer group keeps up, judged from a window of samples instead of a threshold of lag.

The rules are those of LinkedIn's Burrow ("Consumer Lag Evaluation Rules" in its wiki) for one partition of
one group. The first that fits is the verdict:

    REWIND  the committed offset went back within the window
    OK      the lag was zero in some sample, or the window has no duration
    STOP    the committed offset did not move, and no member has the partition
    STALL   a member has the partition, but the committed offset did not move
    WARN    the offset moved, but the lag has grown and never fell: the group reads too slowly
    OK      otherwise

Burrow reads every commit, while samples cannot see a commit that repeats an offset. So here the membership
tells a stopped consumer from a stalled one. And a rewind is reported even if the lag was zero before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Verdict = Literal["OK", "WARN", "STALL", "STOP", "REWIND"]


@dataclass(frozen=True, slots=True)
class Observation:
    """`start`, `end`: of the log; `committed`: by the group; `is_assigned`: to a member of it."""

    at_s: float
    start: int
    committed: int | None
    end: int
    is_assigned: bool

    @property
    def position(self) -> int:
        """Where the group would start to read: at the start of the log if it has never committed."""
        return self.start if self.committed is None else self.committed

    @property
    def lag(self) -> int:
        return self.end - self.position


@dataclass(frozen=True, slots=True)
class Judgement:
    """Rates in records/s, None if the window has no duration; `time_to_drain_s`: None if it never drains."""

    rate_in: float | None
    rate_out: float | None
    time_to_drain_s: float | None
    verdict: Verdict


def judge(window: Sequence[Observation]) -> Judgement:
    """Judge the observations of one partition, oldest first; at least one."""
    span_s = window[-1].at_s - window[0].at_s
    if span_s <= 0:
        return Judgement(None, None, 0.0 if window[-1].lag <= 0 else None, "OK")
    rate_in = (window[-1].end - window[0].end) / span_s
    # A rewind does not count as negative reading; records that are read again after it count.
    rate_out = sum(max(0, later.position - earlier.position) for earlier, later in pairwise(window)) / span_s
    return Judgement(rate_in, rate_out, _time_to_drain_s(window[-1].lag, rate_in, rate_out), _verdict(window))


def _time_to_drain_s(lag: int, rate_in: float, rate_out: float) -> float | None:
    if lag <= 0:
        return 0.0
    return lag / (rate_out - rate_in) if rate_out > rate_in else None


def _verdict(window: Sequence[Observation]) -> Verdict:
    pairs = list(pairwise(window))
    if any(later.position < earlier.position for earlier, later in pairs):
        return "REWIND"
    if any(seen.lag <= 0 for seen in window):
        return "OK"
    if window[0].position == window[-1].position:
        return "STALL" if window[-1].is_assigned else "STOP"
    has_grown = window[-1].lag > window[0].lag
    never_fell = all(later.lag >= earlier.lag for earlier, later in pairs)
    return "WARN" if has_grown and never_fell else "OK"
