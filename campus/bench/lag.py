"""Consumer lag while more orders come than inventory handles: how it grows, its peak, and how long it drains.

Lag is the end offset minus the committed offset, both as Kafka reports them, never an estimate. Roles commit
about once a second, so lag falls in steps, and the end of a drain is seen up to a second late.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from threading import Event
from typing import NamedTuple

from campus.addresses import wait_until
from campus.audit.findings import Findings
from campus.bench.environment import LoadTarget
from campus.bench.load import GeneratorStats, Load, LoadResult, run_load
from campus.bench.load_process import Report
from campus.bench.measured_group import MeasuredGroup, Observe
from campus.groups.lag_verdict import Observation, Verdict, judge

RATE_PER_S = 200.0
CLIENTS = 32
OVERLOAD = 2.0  # the load's rate, as a multiple of what the slowed inventory handles

SAMPLE_EVERY_S = 0.25
# Lag is judged by its minimum in each interval: a role commits once a second, and in between lag only grows.
# Fewer intervals than the minimum cannot show that it keeps growing.
JUDGED_INTERVAL_S = 2.0
JUDGED_INTERVALS_MIN = 4
DRAIN_TIMEOUT_S = 30.0  # without the lag falling


class LagPoint(NamedTuple):
    """`at_s`: since the load began; negative before it."""

    at_s: float
    partition: int
    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class PartitionLagSummary:
    partition: int
    peak: int
    at_load_end: int
    at_last: int
    verdict_under_load: Verdict
    verdict_at_last: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class LagResult:
    """`drained_s`: from the end of the load until no partition lagged; None if one still does. `delay_s`:
    added to the processing of each order; None on a live system."""

    load: Load
    group: str
    delay_s: float | None
    accepted: int
    refused: int
    load_s: float
    generator: GeneratorStats
    peak: int
    peak_at_s: float
    drained_s: float | None
    partitions: tuple[PartitionLagSummary, ...]
    audit: str
    violations: int
    points: tuple[LagPoint, ...]

    @property
    def has_passed(self) -> bool:
        drained = self.drained_s is not None
        return self.accepted > 0 and not self.refused and drained and self.audit == "clean"


@dataclass
class LagSampler:
    """Observes a group every SAMPLE_EVERY_S and keeps the observations, by partition."""

    observe: Observe
    clock: Callable[[], float] = time.monotonic
    observations: dict[int, list[Observation]] = field(default_factory=dict)
    _due_at_s: float = 0.0

    def sample_if_due(self) -> None:
        if self.clock() < self._due_at_s:
            return
        self._due_at_s = self.clock() + SAMPLE_EVERY_S
        for partition, observation in self.observe().items():
            self.observations.setdefault(partition, []).append(observation)

    @property
    def lag(self) -> int:
        """Of all partitions, in the last sample."""
        return sum(observations[-1].lag for observations in self.observations.values())

    def sample_until_drained(self, on_lag: Callable[[int], None]) -> None:
        """Return when no lag is left, or when it has not fallen for DRAIN_TIMEOUT_S."""
        least, give_up_at_s = self.lag, self.clock() + DRAIN_TIMEOUT_S

        def is_over() -> bool:
            nonlocal least, give_up_at_s
            self.sample_if_due()
            on_lag(self.lag)
            if self.lag < least:
                least, give_up_at_s = self.lag, self.clock() + DRAIN_TIMEOUT_S
            return self.lag == 0 or self.clock() > give_up_at_s

        wait_until(is_over, Event(), timeout_s=None)


def run_from_idle(report: Report, target: LoadTarget, load: Load, group: MeasuredGroup) -> LoadResult:
    """Run in the load process. The load begins when the group has processed the warm-up order."""

    def wait_for_group(_: Sequence[str]) -> None:
        group.wait_until_caught_up()

    return run_load(load, target, report=report, on_warmed_up=wait_for_group, warm_up_orders=1)


def evaluate(
    load: Load,
    result: LoadResult,
    observations: Mapping[int, Sequence[Observation]],
    findings: Findings,
    *,
    group: str,
    delay_s: float | None,
) -> LagResult:
    points = tuple(
        LagPoint(seen.at_s - result.began_s, partition, seen.committed, seen.end, seen.lag)
        for partition in sorted(observations)
        for seen in observations[partition]
    )
    totals = sum_partitions([point for point in points if point.at_s >= 0])
    peak_at_s = max(totals, key=lambda at_s: totals[at_s], default=0.0)
    accepted = len(result.accepted)
    return LagResult(
        load=load,
        group=group,
        delay_s=delay_s,
        accepted=accepted,
        refused=len(result.requests) - accepted,
        load_s=result.ended_s - result.began_s,
        generator=result.generator,
        peak=totals.get(peak_at_s, 0),
        peak_at_s=peak_at_s,
        drained_s=_drained_s(observations, result.ended_s),
        partitions=tuple(_summary(p, observations[p], result) for p in sorted(observations)),
        audit=findings.verdict,
        violations=findings.violations,
        points=points,
    )


def sum_partitions(points: Sequence[LagPoint]) -> dict[float, int]:
    """The lag of all partitions by the time of the sample."""
    totals: dict[float, int] = {}
    for point in points:
        totals[point.at_s] = totals.get(point.at_s, 0) + point.lag
    return dict(sorted(totals.items()))


def _drained_s(observations: Mapping[int, Sequence[Observation]], load_ended_s: float) -> float | None:
    """From the end of the load to the first sample after the last one with lag."""
    if not observations or any(seen[-1].lag for seen in observations.values()):
        return None
    every = [observation for seen in observations.values() for observation in seen]
    last_lag_at_s = max((o.at_s for o in every if o.lag), default=0.0)
    return max(0.0, min(o.at_s for o in every if o.at_s > last_lag_at_s) - load_ended_s)


def _summary(partition: int, seen: Sequence[Observation], result: LoadResult) -> PartitionLagSummary:
    under_load = [o for o in seen if result.began_s <= o.at_s <= result.ended_s]
    after_load = [o for o in seen if o.at_s > result.ended_s]
    return PartitionLagSummary(
        partition=partition,
        peak=max((o.lag for o in [*under_load, *after_load]), default=0),
        at_load_end=under_load[-1].lag if under_load else 0,
        at_last=seen[-1].lag,
        verdict_under_load=_verdict(under_load or seen),
        verdict_at_last=_verdict(after_load or seen),
    )


def _verdict(seen: Sequence[Observation]) -> Verdict:
    last_s = seen[-1].at_s
    intervals = groupby(seen, lambda o: int((last_s - o.at_s) // JUDGED_INTERVAL_S))
    window = [min(interval, key=lambda o: o.lag) for _, interval in intervals]
    verdict = judge(window).verdict
    return "OK" if verdict == "WARN" and len(window) < JUDGED_INTERVALS_MIN else verdict
