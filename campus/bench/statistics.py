"""Latencies as a few figures. Percentiles are by nearest rank: each is a value that was measured.

The p-th percentile of n sorted values is the one of rank ceil(p · n / 100), never interpolated: the 99th of
100 values is the second largest, and the 99th of 10 is the largest.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    count: int
    mean_ms: float
    min_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


def summarize(latencies_s: Iterable[float]) -> Summary | None:
    """None if there are no values."""
    ordered_ms = sorted(1000 * latency_s for latency_s in latencies_s)
    if not ordered_ms:
        return None
    return Summary(
        count=len(ordered_ms),
        mean_ms=math.fsum(ordered_ms) / len(ordered_ms),
        min_ms=ordered_ms[0],
        p50_ms=percentile(ordered_ms, 50),
        p95_ms=percentile(ordered_ms, 95),
        p99_ms=percentile(ordered_ms, 99),
        max_ms=ordered_ms[-1],
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """By nearest rank, of at least one sorted value."""
    # In integers: in floating point, 0.07 · 100 is a little more than 7, and its ceiling is 8.
    rank = max(1, -(-percent * len(ordered) // 100))
    return ordered[rank - 1]
