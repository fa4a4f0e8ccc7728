"""The results of a run, as data: which tests ran, their figures, and whether all passed."""

from dataclasses import dataclass
from typing import Any

import msgspec

from campus.bench.lag import LagResult
from campus.bench.latency import LatencyResult
from campus.bench.produce import ProductionResult
from campus.bench.replay import ReplayResult

TESTS = ("latency", "production", "lag", "replay")
SERIES = ("points", "acknowledged_at_s", "decided_at_s")  # too long for JSON; evidence.py writes them


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
        tests = zip(TESTS, (self.latency, self.production, self.lag, self.replay), strict=True)
        return {name: test for name, test in tests if test is not None}

    @property
    def has_passed(self) -> bool:
        """No test is no success."""
        return bool(self.tests) and all(test.has_passed for test in self.tests.values())


def as_data(results: Results) -> dict[str, Any]:
    """For JSON: all figures, without the series they come from. Its keys are a contract."""
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
