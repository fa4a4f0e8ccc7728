"""Lag under more orders than inventory handles: how it grows, its peak, and how long it takes to drain.

Lag is the end of the log less the position that the group has committed, as Kafka tells both; nothing is
reckoned. Roles commit about once a second, so lag comes down in steps, and a drain is seen up to a second
late.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from threading import Event

from campus.addresses import Address, wait_until
from campus.bench.consumers import Consumers
from campus.bench.load import Generator, Load, Offered, offer
from campus.bench.load_process import Tell, run_in_load_process
from campus.bench.orders import Wishes
from campus.groups.lag_verdict import Observation, Verdict, judge

RATE_PER_S = 200.0
DURATION_S = 10.0
CLIENTS = 32
OVERLOAD = 2.0  # so many times what a slowed inventory handles

LOOK_EVERY_S = 0.25
# What is judge is the least of every so many seconds: a role commits once a second, and between two commits
# lag only grows. Of fewer than so many of them it cannot be said that it grows on.
JUDGED_EVERY_S = 2.0
JUDGED_LEAST = 4
DRAIN_PATIENCE_S = 30.0  # without a partition's lag getting less

Look = Callable[[], Mapping[int, Observation]]


@dataclass(frozen=True, slots=True)
class LagPoint:
    """`at_s`: since the load began; before it, less than 0."""

    at_s: float
    partition: int
    committed: int | None
    end: int
    lag: int


@dataclass(frozen=True, slots=True)
class PartitionLag:
    partition: int
    peak: int
    at_load_end: int
    at_last: int
    verdict_under_load: Verdict
    verdict_at_last: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """`drained_s`: from the load's end until no partition lagged; None if one still does. `delay_s`: what an
    order took inventory on top; None of a live system."""

    load: Load
    group: str
    delay_s: float | None
    accepted: int
    refused: int
    load_s: float
    generator: Generator
    peak: int
    peak_at_s: float
    drained_s: float | None
    partitions: tuple[PartitionLag, ...]
    audit: str
    violations: int
    points: tuple[LagPoint, ...]

    @property
    def is_right(self) -> bool:
        drained = self.drained_s is not None
        return self.accepted > 0 and not self.refused and drained and self.audit == "clean"


@dataclass
class Watch:
    """Looks now and then, by a look that asks Kafka, and keeps what it saw, by partition."""

    look: Look
    clock: Callable[[], float] = time.monotonic
    seen: dict[int, list[Observation]] = field(default_factory=dict)
    _due_at_s: float = 0.0

    def look_if_due(self) -> None:
        if self.clock() < self._due_at_s:
            return
        self._due_at_s = self.clock() + LOOK_EVERY_S
        for partition, observation in self.look().items():
            self.seen.setdefault(partition, []).append(observation)

    @property
    def lag(self) -> int:
        """Of all partitions, at the last look."""
        return sum(observations[-1].lag for observations in self.seen.values())

    def until_drained(self, told: Callable[[int], None]) -> None:
        """Goes on looking until nothing is left, or for a while nothing was read."""
        least, patience_until_s = self.lag, self.clock() + DRAIN_PATIENCE_S

        def is_over() -> bool:
            nonlocal least, patience_until_s
            self.look_if_due()
            told(self.lag)
            if self.lag < least:
                least, patience_until_s = self.lag, self.clock() + DRAIN_PATIENCE_S
            return self.lag == 0 or self.clock() > patience_until_s

        wait_until(is_over, Event(), timeout_s=None)


def loaded(
    load: Load,
    wishes: Wishes,
    endpoint: Address,
    inventory: Consumers,
    watch: Watch,
    *,
    on_progress: Callable[[int], None],
) -> Offered:
    """The load, watched while it lasts. Raises BenchFailed, BrokerAway."""
    return run_in_load_process(
        _work, load, wishes, endpoint, inventory, on_progress=on_progress, meanwhile=watch.look_if_due
    )


def figures(
    load: Load,
    offered: Offered,
    seen: Mapping[int, Sequence[Observation]],
    *,
    group: str,
    delay_s: float | None,
    audit: str,
    violations: int,
) -> Lag:
    points = tuple(
        LagPoint(at.at_s - offered.began_s, partition, at.committed, at.end, at.lag)
        for partition, observations in sorted(seen.items())
        for at in observations
    )
    peak, peak_at_s = _peak(points)
    accepted = len(offered.accepted)
    return Lag(
        load=load,
        group=group,
        delay_s=delay_s,
        accepted=accepted,
        refused=len(offered.samples) - accepted,
        load_s=offered.ended_s - offered.began_s,
        generator=offered.generator,
        peak=peak,
        peak_at_s=peak_at_s,
        drained_s=_drained_s(seen, offered.ended_s),
        partitions=tuple(_partition(p, seen[p], offered) for p in sorted(seen)),
        audit=audit,
        violations=violations,
        points=points,
    )


def totals(points: Sequence[LagPoint]) -> dict[float, int]:
    """The lag of all partitions, by the time of the look."""
    total: dict[float, int] = {}
    for point in points:
        total[point.at_s] = total.get(point.at_s, 0) + point.lag
    return dict(sorted(total.items()))


def _peak(points: Sequence[LagPoint]) -> tuple[int, float]:
    total = totals([point for point in points if point.at_s >= 0])
    peak_at_s = max(total, key=lambda at_s: total[at_s], default=0.0)
    return total.get(peak_at_s, 0), peak_at_s


def _drained_s(seen: Mapping[int, Sequence[Observation]], load_ended_s: float) -> float | None:
    """Of the first look after the load at which no partition lagged, nor did at any look after it."""
    if not seen or any(observations[-1].lag for observations in seen.values()):
        return None
    lagged_s = [at.at_s for observations in seen.values() for at in observations if at.lag]
    looks_s = [at.at_s for at in next(iter(seen.values()))]
    drained_at_s = min(at_s for at_s in looks_s if at_s > max(lagged_s, default=0.0))
    return max(0.0, drained_at_s - load_ended_s)


def _partition(partition: int, seen: Sequence[Observation], offered: Offered) -> PartitionLag:
    under_load = [at for at in seen if offered.began_s <= at.at_s <= offered.ended_s]
    after_it = [at for at in seen if at.at_s > offered.ended_s]
    of_load = [at for at in seen if at.at_s >= offered.began_s]
    return PartitionLag(
        partition=partition,
        peak=max((at.lag for at in of_load), default=0),
        at_load_end=under_load[-1].lag if under_load else 0,
        at_last=seen[-1].lag,
        verdict_under_load=_verdict(under_load or seen),
        verdict_at_last=_verdict(after_it or seen),
    )


def _verdict(seen: Sequence[Observation]) -> Verdict:
    last_s = seen[-1].at_s
    spans = groupby(seen, lambda at: int((last_s - at.at_s) // JUDGED_EVERY_S))
    window = [min(span, key=lambda at: at.lag) for _, span in spans]
    verdict = judge(window).verdict
    return "OK" if verdict == "WARN" and len(window) < JUDGED_LEAST else verdict


def _work(tell: Tell, load: Load, wishes: Wishes, endpoint: Address, inventory: Consumers) -> Offered:
    """In the process of the load, which begins when nothing is left of the one order before it."""
    return offer(
        load, wishes, endpoint, tell=tell, warmed_up=lambda _: inventory.caught_up_at_s(), warm_up_orders=1
    )
