"""Made-up results with fixed figures, for the tests of the report, the evidence and the plots."""

from campus.bench.lag import LagResult, PartitionLagSummary
from campus.bench.latency import LatencyPoint, LatencyResult, summarize
from campus.bench.load import GeneratorStats, Load
from campus.bench.produce import ProductionResult
from campus.bench.replay import OrderCounts, ReplayResult
from campus.bench.report import Results
from campus.groups.lag_verdict import Observation


def a_latency(**figures: object) -> LatencyResult:
    accepted_s = [0.001 * (n + 1) for n in range(100)]
    usual = {
        "load": Load(clients=1, events=100),
        "requests": 100,
        "took_s": 0.5,
        "accepted": summarize(accepted_s),
        "decided": summarize(2 * latency_s for latency_s in accepted_s),
        "refused": {},
        "undecided": 0,
        "sent_late_p99_ms": 0.0,
        "generator": GeneratorStats(busy=0.12, late_most_s=0.0005),
        "points": tuple(LatencyPoint(n / 200, at, 2 * at) for n, at in enumerate(accepted_s)),
    }
    return LatencyResult(**{**usual, **figures})


def a_production(**figures: object) -> ProductionResult:
    usual = {
        "events": 10_000,
        "acknowledged_s": 0.5,
        "decided_s": 1.25,
        "counted_s": 2.0,
        "lost": 0,
        "audit": "clean",
        "violations": 0,
        "acknowledged_at_s": tuple(0.5 * (n + 1) / 10_000 for n in range(10_000)),
        "decided_at_s": tuple(1.25 * (n + 1) / 10_000 for n in range(10_000)),
    }
    return ProductionResult(**{**usual, **figures})


def a_lag(**figures: object) -> LagResult:
    usual = {
        "load": Load(clients=32, duration_s=10.0, rate_per_s=200.0),
        "group": "bench-inventory",
        "delay_s": 0.01,
        "accepted": 2_000,
        "refused": 0,
        "load_s": 10.0,
        "generator": GeneratorStats(busy=0.05, late_most_s=0.0005),
        "peak": 1_000,
        "peak_at_s": 10.0,
        "drained_s": 10.2,
        "partitions": (
            PartitionLagSummary(0, 0, 0, 0, "OK", "OK"),
            PartitionLagSummary(1, 1_000, 1_000, 0, "WARN", "OK"),
        ),
        "audit": "clean",
        "violations": 0,
        "observations": {
            partition: [
                Observation(float(at_s), 0, 2_000 - partition * 100 * min(at_s, 20 - at_s), 2_000, True)
                for at_s in range(21)
            ]
            for partition in (0, 1)
        },
    }
    return LagResult(**{**usual, **figures})


def a_replay(**figures: object) -> ReplayResult:
    counts = OrderCounts(events=10_000, successful=400, failed=9_600)
    usual = {
        "before": counts,
        "after": counts,
        "rebuilt_s": 0.9,
        "metrics_bytes": 650,
        "first_difference": None,
        "verdict": "identical",
        "decisions": 10_004,
        "digest": "5a" * 32,
        "minutes": {"2026-01-01T12:00": 9_000, "2026-01-01T12:02": 1_000},
    }
    return ReplayResult(**{**usual, **figures})


def all_results() -> Results:
    return Results(
        environment="topics and groups of its own (bench-00000000-…), removed afterwards",
        machine="Linux x86_64, 2 processors; load average 0.1 before",
        began_at="2026-01-01T12:00:00.000Z",
        seed=7,
        took_s=45.0,
        latency=a_latency(),
        production=a_production(),
        lag=a_lag(),
        replay=a_replay(),
    )
