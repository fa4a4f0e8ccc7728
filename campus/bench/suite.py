"""The four tests. Each starts the system or finds it running, loads it, observes it, checks the outcome."""

import os
import platform
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from campus.audit.findings import Findings
from campus.audit.kafka_logs import audited
from campus.bench import lag, latency, produce, replay
from campus.bench.environment import BrokerProbe, Environment
from campus.bench.lag import LagResult, LagSampler
from campus.bench.latency import LatencyResult
from campus.bench.load import Load
from campus.bench.load_process import run_in_load_process
from campus.bench.measured_group import MeasuredGroup
from campus.bench.produce import ProducedEvents, ProductionResult
from campus.bench.replay import ReplayResult
from campus.bench.results import Results
from campus.domain.times import iso_utc
from campus.replay.findings import Replay
from campus.replay.kafka_logs import replay as decide_again

R = TypeVar("R")

OPEN_LOOP_CLIENTS = 64
OPEN_LOOP_S = 10.0

# A stage of the work: its name, and its size if that is known. Yields a callback for how much is done.
Stage = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """None: the default of each test."""

    events: int | None = None
    clients: int | None = None
    rate_per_s: float | None = None
    duration_s: float | None = None
    seed: int = 1

    def latency_load(self) -> Load:
        """By default a hundred requests, one after the other."""
        if self.rate_per_s is not None:
            return self._open_loop(OPEN_LOOP_CLIENTS, self.rate_per_s)
        events = self.events if self.duration_s else self.events or latency.EVENTS
        return Load(clients=self.clients or 1, events=events, duration_s=self.duration_s)

    def lag_load(self) -> Load:
        return self._open_loop(lag.CLIENTS, self.rate_per_s or lag.RATE_PER_S)

    def _open_loop(self, clients: int, rate_per_s: float) -> Load:
        return Load(
            clients=self.clients or clients,
            events=self.events,
            duration_s=self.duration_s or (None if self.events else OPEN_LOOP_S),
            rate_per_s=rate_per_s,
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
            seed=self.options.seed,
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

    def _test_latency(self) -> LatencyResult:
        load = self.options.latency_load()
        with self.environment.running():
            result, decided_at_s = self._load("latency: ordering", load.total, latency.run_and_listen, load)
        return latency.evaluate(load, result, decided_at_s)

    def _test_production(self) -> ProductionResult:
        with self.environment.running():
            produced = self._produce()
            with self.stage("events: until analytics has counted them", None):
                counted_at_s = self._analytics_group().wait_until_caught_up()
            findings = self._audit(produced.order_ids)
        return produce.evaluate(
            produced, counted_at_s=counted_at_s, audit=findings.verdict, violations=findings.violations
        )

    def _test_lag(self) -> LagResult:
        load, environment, delay_s = self.options.lag_load(), self.environment, None
        if not environment.is_live and load.rate_per_s:
            delay_s = lag.OVERLOAD / load.rate_per_s
            environment = environment.slowed_down(delay_s)
        group = environment.group("inventory", environment.config.topics.orders_topic)
        with environment.running(), group.observer() as observe:
            sampler = LagSampler(observe)
            result = self._load(
                "lag: ordering", load.total, lag.run_from_idle, load, group, meanwhile=sampler.sample_if_due
            )
            peak = sampler.lag
            with self.stage("lag: draining", peak) as on_progress:
                sampler.sample_until_drained(lambda left: on_progress(peak - left))
            findings = self._audit(result.accepted)
        return lag.evaluate(
            load,
            result,
            sampler.observations,
            group=group.name,
            delay_s=delay_s,
            audit=findings.verdict,
            violations=findings.violations,
        )

    def _test_replay(self, *, has_events: bool) -> ReplayResult:
        """`has_events`: earlier tests have produced some; else they are produced first."""
        if self.environment.is_live:
            return self._replay_live()
        if not has_events:
            with self.environment.running():
                self._produce()
        return self._replay_after_reset()

    def _replay_after_reset(self) -> ReplayResult:
        """See replay.py for the reasons."""
        config, analytics = self.environment.config, self._analytics_group()
        before = replay.read_snapshots(config.kafka, config.topics)
        with self.stage("replay: resetting the offsets", None):
            analytics.reset_to_earliest()
        began_s = time.monotonic()
        with self.environment.running("analytics"), self.stage("replay: rebuilding the metrics", None):
            rebuilt_at_s = analytics.wait_until_caught_up()
        after = replay.read_snapshots(config.kafka, config.topics, since=before.ends)
        return replay.evaluate(
            self._decide_again(),
            before.metrics,
            after.metrics,
            rebuilt_s=None if rebuilt_at_s is None else rebuilt_at_s - began_s,
            metrics_bytes=before.state_bytes,
            difference=replay.find_difference(before, after),
        )

    def _replay_live(self) -> ReplayResult:
        """Without the reset: the offsets of a running group cannot be moved."""
        decided = self._decide_again()
        return replay.evaluate(
            decided,
            decided.metrics_of_analytics or decided.metrics,
            None,
            rebuilt_s=None,
            metrics_bytes=sum(len(metrics.state()) for metrics in decided.told.values()),
            difference=None,
        )

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
        with self.stage(stage, total) as on_progress:
            return run_in_load_process(
                work,
                self.environment.load_target(self.options.seed),
                *arguments,
                on_progress=on_progress,
                meanwhile=meanwhile or BrokerProbe(self.environment.config.kafka).probe_if_due,
            )

    def _produce(self) -> ProducedEvents:
        events = self.options.events or produce.EVENTS
        return self._load(
            "events: producing, until inventory has decided them", events, produce.produce, events
        )

    def _analytics_group(self) -> MeasuredGroup:
        return self.environment.group("analytics", self.environment.config.topics.journal_topic)

    def _audit(self, accepted: Sequence[str]) -> Findings:
        with self.stage("auditing", None) as on_progress:
            return audited(self.environment.config, accepted, on_progress=lambda done, _: on_progress(done))

    def _decide_again(self) -> Replay:
        with self.stage("replay: deciding everything again", None):
            return decide_again(self.environment.config)


def _describe_machine() -> str:
    """With the load before the run: other programs' work is part of every latency."""
    load = f"; load average {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors{load}"
