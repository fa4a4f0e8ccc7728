"""Consumer lag while more orders come than inventory handles: how it grows, its peak, and how long it drains.

Lag is the end offset minus the committed offset, both as Kafka reports them, never an estimate. Roles commit
about once a second, so lag falls in steps, and the end of a drain is seen up to a second late.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile
from threading import Event

from campus.addresses import wait_until
from campus.audit.findings import Findings
from campus.bench.environment import Environment
from campus.bench.load import GeneratorStats, Load, LoadResult, run_load
from campus.bench.load_process import MEANWHILE_EVERY_S, Report
from campus.bench.measured_group import Observe
from campus.groups.lag_verdict import Observation, Verdict, judge

LOAD = Load(clients=32, duration_s=10.0, rate_per_s=200.0)
OVERLOAD = 2.0  # the load's rate, as a multiple of what the slowed inventory handles

# Lag is judged by its minimum in each interval: a role commits once a second, and in between lag only grows.
# Fewer intervals than the minimum cannot show that it keeps growing.
JUDGED_INTERVAL_S = 2.0
JUDGED_INTERVALS_MIN = 4
DRAIN_TIMEOUT_S = 30.0  # without the lag falling


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
    added to the processing of each order; None on a live system. `observations`: by partition, with times
    since the load began, negative before it."""

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
    observations: Mapping[int, Sequence[Observation]]

    @property
    def has_passed(self) -> bool:
        drained = self.drained_s is not None
        return self.accepted > 0 and not self.refused and drained and self.audit == "clean"


@dataclass
class LagSampler:
    """Keeps what it observes of a group, by partition."""

    observe: Observe
    observations: dict[int, list[Observation]] = field(default_factory=dict)

    def sample(self) -> None:
        for partition, observation in self.observe().items():
            self.observations.setdefault(partition, []).append(observation)

    @property
    def lag(self) -> int:
        """Of all partitions, in the last sample."""
        return sum(observations[-1].lag for observations in self.observations.values())

    def sample_until_drained(self, on_lag: Callable[[int], None]) -> None:
        """Return when no lag is left, or when it has not fallen for DRAIN_TIMEOUT_S."""

        def has_fallen() -> bool:
            self.sample()
            on_lag(self.lag)
            return self.lag < least

        self.sample()
        least = self.lag
        while least and wait_until(has_fallen, Event(), timeout_s=DRAIN_TIMEOUT_S, every_s=MEANWHILE_EVERY_S):
            least = self.lag


def run_from_idle(report: Report, target: Environment, load: Load) -> LoadResult:
    """Run in the load process. The load begins when inventory has processed the warm-up order."""

    def wait_for_inventory(_: Sequence[str]) -> None:
        target.group("inventory").wait_until_caught_up()

    return run_load(load, target, report=report, warm_up_orders=1, on_warmed_up=wait_for_inventory)


def evaluate(
    load: Load,
    result: LoadResult,
    observations: Mapping[int, Sequence[Observation]],
    findings: Findings,
    *,
    group: str,
    delay_s: float | None,
) -> LagResult:
    load_s, accepted = result.ended_s - result.began_s, len(result.accepted)
    series = {
        partition: [replace(o, at_s=o.at_s - result.began_s) for o in seen]
        for partition, seen in sorted(observations.items())
    }
    totals = {at_s: lag for at_s, lag in sum_partitions(series).items() if at_s >= 0}
    peak_at_s = max(totals, key=totals.__getitem__, default=0.0)
    return LagResult(
        load=load,
        group=group,
        delay_s=delay_s,
        accepted=accepted,
        refused=len(result.requests) - accepted,
        load_s=load_s,
        generator=result.generator,
        peak=totals.get(peak_at_s, 0),
        peak_at_s=peak_at_s,
        drained_s=_drained_s(totals, load_s),
        partitions=tuple(_summary(partition, seen, load_s) for partition, seen in series.items()),
        audit=findings.verdict,
        violations=findings.violations,
        observations=series,
    )


def sum_partitions(observations: Mapping[int, Sequence[Observation]]) -> dict[float, int]:
    """The lag of all partitions by the time of the sample."""
    totals: Counter[float] = Counter()
    for seen in observations.values():
        totals.update({o.at_s: o.lag for o in seen})
    return dict(sorted(totals.items()))


def _drained_s(totals: dict[float, int], load_s: float) -> float | None:
    """From the end of the load to the first sample after the last one with lag."""
    after_lag = [*takewhile(lambda at_s: not totals[at_s], reversed(totals))]
    return max(0.0, after_lag[-1] - load_s) if after_lag else None


def _summary(partition: int, seen: Sequence[Observation], load_s: float) -> PartitionLagSummary:
    under_load = [o for o in seen if 0 <= o.at_s <= load_s]
    after_load = [o for o in seen if o.at_s > load_s]
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
