"""How long an order takes: until its 202, and end to end, until its outcome is visible on inventory-events.

The two are separate figures: the 202 says that Kafka has the order, the outcome that inventory has decided
it. In an open loop, both count from when the request was due.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from campus.bench.environment import Environment
from campus.bench.load import GeneratorStats, Load, LoadResult, run_load
from campus.bench.load_process import BenchFailed, Report
from campus.bench.outcome_listener import outcome_listener

LOAD = Load(clients=1, events=100)  # one after the other
OPEN_LOOP_LOAD = Load(clients=64, duration_s=10.0)  # if a rate is given
WARM_UP_ORDERS_MIN = 10  # and at least one for each client, so that every group has its members


@dataclass(frozen=True, slots=True)
class Summary:
    count: int
    mean_ms: float
    min_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class LatencyPoint(NamedTuple):
    """One accepted order. `at_s`: since the load began; `decided_s`: None if no outcome came."""

    at_s: float
    accepted_s: float
    decided_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyResult:
    """`refused`: the number of requests by status; NO_RESPONSE (0) is one of them."""

    load: Load
    requests: int
    took_s: float
    accepted: Summary | None
    decided: Summary | None
    refused: dict[int, int]
    undecided: int
    sent_late_p99_ms: float
    generator: GeneratorStats
    points: tuple[LatencyPoint, ...]

    @property
    def has_passed(self) -> bool:
        return self.accepted is not None and not self.refused and not self.undecided

    @property
    def rate_per_s(self) -> float:
        return self.requests / self.took_s if self.took_s else 0.0


def measure(report: Report, target: Environment, load: Load) -> LatencyResult:
    """Run in the load process. Raises BenchFailed."""
    with outcome_listener(target) as listener:

        def wait_for_outcomes(order_ids: Sequence[str]) -> None:
            listener.wait_for(order_ids)
            if not listener.decided_at_s:
                raise BenchFailed(
                    "orders are accepted, but no outcome comes. Probably inventory does not run, or is far "
                    "behind. Run `campuskafka.py lag`"
                )

        warm_up_orders = max(WARM_UP_ORDERS_MIN, load.clients)
        result = run_load(
            load, target, report=report, warm_up_orders=warm_up_orders, on_warmed_up=wait_for_outcomes
        )
        listener.wait_for(result.accepted)
    return evaluate(load, result, listener.decided_at_s)


def evaluate(load: Load, result: LoadResult, decided_at_s: Mapping[str, float]) -> LatencyResult:
    requests = result.requests
    points = tuple(
        LatencyPoint(
            at_s=request.due_s - result.began_s,
            accepted_s=request.latency_s,
            decided_s=None if at_s is None else at_s - request.due_s,
        )
        for request in requests
        if request.is_accepted
        for at_s in [decided_at_s.get(request.response.order_id or "")]
    )
    late_ms = sorted(1000 * (request.sent_s - request.due_s) for request in requests)
    return LatencyResult(
        load=load,
        requests=len(requests),
        took_s=result.ended_s - result.began_s,
        accepted=summarize(point.accepted_s for point in points),
        decided=summarize(point.decided_s for point in points if point.decided_s is not None),
        refused=dict(Counter(request.response.status for request in requests if not request.is_accepted)),
        undecided=sum(point.decided_s is None for point in points),
        sent_late_p99_ms=percentile(late_ms, 99) if late_ms else 0.0,
        generator=result.generator,
        points=points,
    )


def summarize(latencies_s: Iterable[float]) -> Summary | None:
    """None if there are no values."""
    ordered_ms = sorted(1000 * latency_s for latency_s in latencies_s)
    if not ordered_ms:
        return None
    return Summary(
        count=len(ordered_ms),
        mean_ms=fmean(ordered_ms),
        min_ms=ordered_ms[0],
        p50_ms=percentile(ordered_ms, 50),
        p95_ms=percentile(ordered_ms, 95),
        p99_ms=percentile(ordered_ms, 99),
        max_ms=ordered_ms[-1],
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """By nearest rank: of n > 0 sorted values the one of rank ceil(percent · n / 100), never interpolated."""
    # In integers: in floating point, 0.07 · 100 is a little more than 7, and its ceiling is 8.
    rank = max(1, -(-percent * len(ordered) // 100))
    return ordered[rank - 1]
