"""Is a consumer group keeping up? Judged from a window of observations, not by a threshold of lag.

The rules are those of LinkedIn's Burrow ("Consumer Lag Evaluation Rules" in its wiki), for one partition
of one group, in our words. The first that fits is the verdict:

    REWIND  the committed offset went backwards within the window
    OK      nothing was left to read at some moment of the window, or the window is a moment only
    STOP    nothing was committed for as long as the window is, and nobody is there to do it
    STALL   somebody is there, but the offset does not move
    WARN    the offset moves, and yet the lag has grown and never fell: it is read too slowly
    OK      else

Burrow reads each commit as it is made. Whoever asks for the offsets now and then cannot see a commit that
repeats an offset; so what tells a stopped consumer from a stalled one is who is in the group. And a rewind
is told here even if the lag was zero before it, since somebody did that on purpose or in error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Verdict = Literal["OK", "WARN", "STALL", "STOP", "REWIND"]


@dataclass(frozen=True, slots=True)
class Observation:
    """`start`, `end`: of the log; `committed`: by the group, if ever; `is_held`: by a member of it."""

    at_s: float
    start: int
    committed: int | None
    end: int
    is_held: bool

    @property
    def position(self) -> int:
        """Where the group goes on: what never committed has everything before it."""
        return self.start if self.committed is None else self.committed

    @property
    def lag(self) -> int:
        return self.end - self.position


@dataclass(frozen=True, slots=True)
class Judgement:
    """Rates in records/s over the window, None if it is a moment only; `time_to_drain_s`: None for never."""

    rate_in: float | None
    rate_out: float | None
    time_to_drain_s: float | None
    verdict: Verdict


def judged(window: Sequence[Observation]) -> Judgement:
    """Of the observations of a partition, oldest first; at least one."""
    span_s = window[-1].at_s - window[0].at_s
    if span_s <= 0:
        return Judgement(None, None, 0.0 if window[-1].lag <= 0 else None, "OK")
    rate_in = (window[-1].end - window[0].end) / span_s
    # A rewind is no negative reading; what is read again after it is read.
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
        return "STALL" if window[-1].is_held else "STOP"
    has_grown = window[-1].lag > window[0].lag
    never_fell = all(later.lag >= earlier.lag for earlier, later in pairs)
    return "WARN" if has_grown and never_fell else "OK"
