"""The results of a run: which tests ran, whether all passed, and their figures as data and as text.

The keys of the data are a contract, and so are, to the letter, the headings of the text and the first lines
below each, whose numbers are plain: people compare reports, and scripts read them. Our further figures stand
below those lines, indented. Pure: the same results give the same text.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from campus.bench.lag import LagResult
from campus.bench.latency import LatencyResult, Summary
from campus.bench.load import GeneratorStats, Load
from campus.bench.produce import ProductionResult
from campus.bench.replay import OrderCounts, ReplayResult

SERIES = (
    "points",
    "observations",
    "acknowledged_at_s",
    "decided_at_s",
)  # too long for JSON; evidence.py writes them
RULE = "=" * 72
NAME_CHARS = 26
BUSY_MAX = 0.7  # of the time; above it, the load generator may measure itself


@dataclass(slots=True, kw_only=True)
class Results:
    """A test is None if it did not run. `environment`, `machine`: where it was measured, in words."""

    environment: str
    machine: str
    began_at: str
    seed: int
    took_s: float = 0.0
    latency: LatencyResult | None = None
    production: ProductionResult | None = None
    lag: LagResult | None = None
    replay: ReplayResult | None = None

    @property
    def tests(self) -> dict[str, LatencyResult | ProductionResult | LagResult | ReplayResult]:
        """Those that ran, by the name of their field."""
        return {name: test for name in SECTIONS if (test := getattr(self, name)) is not None}

    @property
    def has_passed(self) -> bool:
        """No test is no success."""
        return bool(self.tests) and all(test.has_passed for test in self.tests.values())


def as_data(results: Results) -> dict[str, Any]:
    """For JSON: all figures, without the series they come from."""
    data = {name: value for name, value in msgspec.to_builtins(results).items() if value is not None}
    for name, test in results.tests.items():
        for series in SERIES:
            data[name].pop(series, None)
        data[name]["right"] = test.has_passed
        if isinstance(test, LatencyResult | ProductionResult):
            data[name]["rate_per_s"] = test.rate_per_s
        if isinstance(test, ReplayResult):
            data[name]["consistent_metrics"] = test.has_passed
    return {"right": results.has_passed, "ground": data.pop("environment"), **data}


def as_text(results: Results) -> str:
    lines = [
        _line("CampusKafka test report", results.began_at),
        _line("Measured on", results.environment),
        _line("Machine", results.machine),
        _line("Orders", f"drawn from seed {results.seed}"),
    ]
    for name, test in results.tests.items():
        title, section = SECTIONS[name]
        lines += ["", RULE, title, RULE, *section(test)]
    verdict = "all tests passed" if results.has_passed else "something is NOT right, see above"
    return "\n".join([*lines, "", RULE, f"{verdict} ({results.took_s:.1f} s in all)"])


def _latency(test: LatencyResult) -> Iterator[str]:
    """The contract's lines are about the 202: what a client of the API waits for."""
    accepted = test.accepted
    yield f"Total Requests: {test.requests}"
    yield f"Average Latency: {f'{accepted.mean_ms:.2f} ms' if accepted else 'none'}"
    yield f"Min Latency: {f'{accepted.min_ms:.2f} ms' if accepted else 'none'}"
    yield f"Max Latency: {f'{accepted.max_ms:.2f} ms' if accepted else 'none'}"
    yield ""
    yield _line("Load", f"{_load(test.load)}; {test.rate_per_s:.0f} requests/s")
    yield _line("Latency in ms", "".join(f"{name:>8}" for name in ("avg", "min", "p50", "p95", "p99", "max")))
    yield _line("to the 202", _percentiles(test.accepted))
    yield _line("to the outcome", _percentiles(test.decided))
    yield _line("", "(visible on inventory-events; percentiles by nearest rank)")
    if test.load.rate_per_s:
        yield _line("", "(both from when a request was due: what it waited to be sent is in it)")
        yield _line("Sent late, p99", f"{test.sent_late_p99_ms:.2f} ms")
    yield _generator(test.generator)
    refused = [f"{count} × {status or 'no answer'}" for status, count in sorted(test.refused.items())]
    yield _line("Refused", ", ".join(refused) or "0")
    yield _line("Without an outcome", str(test.undecided))


def _production(test: ProductionResult) -> Iterator[str]:
    yield f"Total Events: {test.events}"
    yield f"Duration: {test.acknowledged_s:.2f} seconds"
    yield f"Throughput: {test.rate_per_s:.2f} events/second"
    yield ""
    yield _line("Duration is", "from the first event sent to the last one acknowledged by Kafka")
    yield _line("Drained by inventory", f"{_s(test.decided_s)} after the first event was sent")
    yield _line("Drained by analytics", f"{_s(test.counted_s)} (its commit, about one a second)")
    if test.decided_s:
        yield _line("Decided", f"{test.events / test.decided_s:.2f} events/second, end to end")
    yield _line("Lost", str(test.lost))
    yield _line("Audit", f"{test.audit}, {test.violations} violations")


def _lag(test: LagResult) -> Iterator[str]:
    final = sum(partition.at_last for partition in test.partitions)
    yield f"Total Requests: {test.accepted + test.refused}"
    yield f"Peak Lag: {test.peak} messages"
    yield f"Final Lag: {final} messages"
    yield ""
    yield _line("Load", f"{_load(test.load)}, for {test.load_s:.1f} s; {test.refused} refused")
    if test.delay_s is None:
        yield _line("Inventory", "as it runs: a live system is not slowed down, so it may keep up")
    else:
        most = f"so at most {1 / test.delay_s:.0f} a second"
        yield _line("Inventory", f"takes {1000 * test.delay_s:g} ms for each order, {most}")
    yield _line("Group", f"{test.group}; lag is end offset − committed offset")
    yield _line("Peak", f"{test.peak} messages, {test.peak_at_s:.1f} s after the load began")
    is_drained = test.drained_s is not None
    yield _line(
        "Drained", f"{_s(test.drained_s)} after the load" if is_drained else f"NOT, {final} messages left"
    )
    yield _generator(test.generator)
    yield _line("Lag by partition", f"{'peak':>8}{'load end':>10}{'final':>8}   under load, final")
    for p in test.partitions:
        verdicts = f"{p.verdict_under_load}, {p.verdict_at_last}"
        yield _line(str(p.partition), f"{p.peak:>8}{p.at_load_end:>10}{p.at_last:>8}   {verdicts}")
    yield _line("Audit", f"{test.audit}, {test.violations} violations")


def _replay(test: ReplayResult) -> Iterator[str]:
    yield from _counts("Initial Read", test.before)
    if test.after is None:
        yield "After Offset Reset: not done (the offsets of a group that runs cannot be moved)"
    else:
        yield from _counts("After Offset Reset", test.after)
    yield f"Consistent Metrics: {test.has_passed}"
    yield ""
    if test.after is not None:
        yield _line(
            "Metrics of analytics", f"{test.metrics_bytes} bytes in all, compared partition by partition"
        )
        yield _line("Rebuilt within", f"{_s(test.rebuilt_s)}, starting and committing included")
    yield _line("First difference", test.first_difference or "none")
    yield _line("Decided again", f"{test.verdict}, {test.decisions} decisions by a fresh ledger")
    yield _line("Digest", test.digest)


# By the name of the result: its heading and its lines.
SECTIONS: dict[str, tuple[str, Callable[[Any], Iterator[str]]]] = {
    "latency": ("BASELINE LATENCY RESULTS", _latency),
    "production": ("10K EVENTS PRODUCTION RESULTS", _production),
    "lag": ("CONSUMER LAG RESULTS", _lag),
    "replay": ("REPLAY TEST RESULTS", _replay),
}


def _line(name: str, value: str) -> str:
    return f"  {name:<{NAME_CHARS}}{value}"


def _counts(name: str, counts: OrderCounts) -> Iterator[str]:
    yield f"{name}: {counts.events} events"
    yield f"  Successful: {counts.successful}"
    yield f"  Failed: {counts.failed}"


def _load(load: Load) -> str:
    if load.rate_per_s is not None:
        return f"open loop, {load.rate_per_s:g} requests/s due, {load.clients} connections"
    if load.clients == 1:
        return "one request after the other"
    return f"closed loop, {load.clients} clients"


def _generator(generator: GeneratorStats) -> str:
    warning = ": it may have measured ITSELF" if generator.busy > BUSY_MAX else ""
    late = f"its timers at most {1000 * generator.late_most_s:.1f} ms late"
    return _line("Load generator", f"busy {100 * generator.busy:.0f} % of the time, {late}{warning}")


def _percentiles(of: Summary | None) -> str:
    if of is None:
        return f"{'none':>8}"
    values = (of.mean_ms, of.min_ms, of.p50_ms, of.p95_ms, of.p99_ms, of.max_ms)
    return "".join(f"{value:>8.2f}" for value in values)


def _s(value_s: float | None) -> str:
    return "not in time" if value_s is None else f"{value_s:.2f} s"
