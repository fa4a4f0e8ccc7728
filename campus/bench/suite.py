"""The four tests. Each starts the system or finds it running, loads it, observes it, checks the outcome."""

import os
import platform
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from campus.audit.findings import Findings
from campus.audit.kafka_logs import run_audit
from campus.bench import lag, latency, produce, replay
from campus.bench.environment import BrokerProbe, Environment
from campus.bench.load import Load
from campus.bench.load_process import Report, run_in_load_process
from campus.bench.report import Results
from campus.domain.times import iso_utc
from campus.replay.findings import ReplayFindings
from campus.replay.kafka_logs import replay as decide_again

# Begins a stage of the work: its name, and its size if that is known. Returns a callback for what is done.
Stage = Callable[[str, int | None], Report]
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """None: the default of each test."""

    events: int | None = None
    clients: int | None = None
    rate_per_s: float | None = None
    duration_s: float | None = None

    def load(self, default: Load) -> Load:
        """`default`, with the options that are given instead."""
        length = self if self.events or self.duration_s else default
        return Load(
            clients=self.clients or default.clients,
            events=length.events,
            duration_s=length.duration_s,
            rate_per_s=self.rate_per_s or default.rate_per_s,
        )


@dataclass(frozen=True, slots=True)
class Suite:
    environment: Environment
    options: Options
    stage: Stage

    def run(self, tests: Collection[str]) -> Results:
        """Run these tests. Raises BenchFailed, BrokerAway, HistoryMissing."""
        began_s = time.monotonic()
        results = Results(
            environment=self.environment.description,
            machine=_describe_machine(),
            began_at=iso_utc(time.time_ns() // 1_000_000),
            seed=self.environment.seed,
        )
        if "latency" in tests:
            results.latency = self._test_latency()
        if "produce" in tests:
            results.production = self._test_production()
        if "lag" in tests:
            results.lag = self._test_lag()
        if "replay" in tests:
            results.replay = self._test_replay(has_events=len(tests) > 1)
        results.took_s = time.monotonic() - began_s
        return results

    def _test_latency(self) -> latency.LatencyResult:
        load = self.options.load(latency.OPEN_LOOP_LOAD if self.options.rate_per_s else latency.LOAD)
        with self.environment.running():
            return self._load("latency: ordering", load.total, latency.measure, load)

    def _test_production(self) -> produce.ProductionResult:
        with self.environment.running():
            produced = self._produce()
            self.stage("events: until analytics has counted them", None)
            counted_at_s = self.environment.group("analytics").wait_until_caught_up()
            findings = self._audit(produced.order_ids)
        return produce.evaluate(produced, findings, counted_at_s=counted_at_s)

    def _test_lag(self) -> lag.LagResult:
        load = self.options.load(lag.LOAD)
        environment, group, delay_s = self.environment, self.environment.group("inventory"), None
        if load.rate_per_s and not environment.is_live:
            delay_s = lag.OVERLOAD / load.rate_per_s
            environment = environment.slowed_down(delay_s)
        with environment.running(), group.observer() as observe:
            sampler = lag.LagSampler(observe)
            sample = sampler.sample
            result = self._load("lag: ordering", load.total, lag.run_from_idle, load, meanwhile=sample)
            peak = sampler.lag
            on_progress = self.stage("lag: draining", peak)
            sampler.sample_until_drained(lambda left: on_progress(peak - left))
            findings = self._audit(result.accepted)
        observations = sampler.observations
        return lag.evaluate(load, result, observations, findings, group=group.name, delay_s=delay_s)

    def _test_replay(self, *, has_events: bool) -> replay.ReplayResult:
        """`has_events`: earlier tests have produced some; else they are produced first."""
        if self.environment.is_live:  # the offsets of a running group cannot be moved
            return replay.evaluate(self._decide_again())
        if not has_events:
            with self.environment.running():
                self._produce()
        config, analytics = self.environment.config, self.environment.group("analytics")
        before = replay.read_snapshots(config)
        self.stage("replay: resetting the offsets", None)
        analytics.reset_to_earliest()
        self.stage("replay: rebuilding the metrics", None)
        began_s = time.monotonic()
        with self.environment.running("analytics"):
            rebuilt_at_s = analytics.wait_until_caught_up()
        after = replay.read_snapshots(config, since=before.ends)
        rebuilt_s = None if rebuilt_at_s is None else rebuilt_at_s - began_s
        return replay.evaluate(self._decide_again(), before, after, rebuilt_s)

    # Steps that tests share

    def _load(
        self,
        stage: str,
        total: int | None,
        work: Callable[..., R],
        *arguments: Any,
        meanwhile: Callable[[], None] | None = None,
    ) -> R:
        """Run `work(report, target, *arguments)` in a load process. Raises BenchFailed."""
        target = replace(self.environment, system=None)  # the system cannot go to another process
        meanwhile = meanwhile or BrokerProbe(target.config.kafka).probe
        on_progress = self.stage(stage, total)
        return run_in_load_process(work, target, *arguments, on_progress=on_progress, meanwhile=meanwhile)

    def _produce(self) -> produce.ProducedEvents:
        events = self.options.events or produce.EVENTS
        stage = "events: producing, until inventory has decided them"
        return self._load(stage, events, produce.produce, events)

    def _audit(self, accepted: Sequence[str]) -> Findings:
        on_progress = self.stage("auditing", None)
        return run_audit(self.environment.config, accepted, on_progress=lambda done, _: on_progress(done))

    def _decide_again(self) -> ReplayFindings:
        self.stage("replay: deciding everything again", None)
        return decide_again(self.environment.config)


def _describe_machine() -> str:
    """With the load before the run: other programs' work is part of every latency."""
    load = f"; load average {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors{load}"
