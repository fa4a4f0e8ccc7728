"""The four tests: each starts the system, or finds it running; loads it, watches it, checks the outcome."""

import os
import platform
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from campus.audit.findings import Findings
from campus.audit.kafka_logs import run_audit
from campus.bench import lag, latency, produce
from campus.bench.consumers import Consumers
from campus.bench.environment import BrokerWatch, Ground
from campus.bench.load import Load
from campus.bench.replay import ReplayTest, counted, first_difference, metrics_bytes, read_of
from campus.bench.report import Results
from campus.domain.times import iso_utc
from campus.replay.findings import ReplayFindings
from campus.replay.kafka_logs import replay as decided_again

OPEN_LOOP_CLIENTS = 64
OPEN_LOOP_S = 10.0

# A part of the work: its name, and how much of it there is, if known; yields whom to tell how far it is.
Stage = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked for; None: what is usual for each test."""

    events: int | None = None
    clients: int | None = None
    rate_per_s: float | None = None
    duration_s: float | None = None
    seed: int = 1

    def latency_load(self) -> Load:
        """A hundred orders one after the other, unless something else was asked for."""
        if self.rate_per_s is not None:
            return Load(
                clients=self.clients or OPEN_LOOP_CLIENTS,
                events=self.events,
                duration_s=self.duration_s or (None if self.events else OPEN_LOOP_S),
                rate_per_s=self.rate_per_s,
            )
        events = self.events if self.duration_s else self.events or latency.EVENTS
        return Load(clients=self.clients or 1, events=events, duration_s=self.duration_s)

    def lag_load(self) -> Load:
        return Load(
            clients=self.clients or lag.CLIENTS,
            events=self.events,
            duration_s=self.duration_s or (None if self.events else lag.DURATION_S),
            rate_per_s=self.rate_per_s or lag.RATE_PER_S,
        )


def measured(ground: Ground, tests: Collection[str], options: Options, stage: Stage) -> Results:
    """These of the tests, on the same ground. Raises BenchFailed, BrokerAway, HistoryMissing."""
    began_at, began_s = iso_utc(time.time_ns() // 1_000_000), time.monotonic()
    results = Results(ground=ground.described, machine=_machine(), began_at=began_at, seed=options.seed)
    if "latency" in tests:
        results.latency = latency_test(ground, options, stage)
    if "produce" in tests:
        results.production = produce_test(ground, options, stage)
    if "lag" in tests:
        results.lag = lag_test(ground, options, stage)
    if "replay" in tests:
        results.replay = replay_test(ground, options, stage, has_events=len(tests) > 1)
    results.took_s = time.monotonic() - began_s
    return results


def _machine() -> str:
    """What else ran when it began is in every latency, so it is told."""
    busy = f"; load average {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors{busy}"


def latency_test(ground: Ground, options: Options, stage: Stage) -> latency.Latency:
    load, wishes, config = options.latency_load(), ground.wishes(options.seed), ground.config
    with ground.running(), stage("latency: ordering", load.total) as on_progress:
        return latency.measured(
            load,
            wishes,
            ground.endpoint,
            config.kafka,
            config.topics,
            on_progress=on_progress,
            meanwhile=BrokerWatch(config.kafka).look_if_due,
        )


def produce_test(ground: Ground, options: Options, stage: Stage) -> produce.Production:
    with ground.running():
        produced = _produced(ground, options, stage)
        with stage("events: until analytics has counted them", None):
            counted_at_s = _analytics_of(ground).caught_up_at_s()
        findings = _audited(ground, produced.order_ids, stage)
    return produce.figures(
        produced, counted_at_s=counted_at_s, audit=findings.verdict, violations=findings.violations
    )


def lag_test(ground: Ground, options: Options, stage: Stage) -> lag.Lag:
    load = options.lag_load()
    if not ground.is_live and load.rate_per_s:
        ground = ground.slowed_down(lag.OVERLOAD / load.rate_per_s)
    inventory = Consumers(ground.config, ground.group("inventory"), ground.config.topics.orders_topic)
    with ground.running(), inventory.seen() as look:
        watch = lag.Watch(look)
        with stage("lag: ordering", load.total) as on_progress:
            wishes = ground.wishes(options.seed)
            offered = lag.loaded(load, wishes, ground.endpoint, inventory, watch, on_progress=on_progress)
        with stage("lag: draining", watch.lag) as on_progress:
            most = watch.lag
            watch.until_drained(lambda left: on_progress(most - left))
        findings = _audited(ground, offered.accepted, stage)
    return lag.figures(
        load,
        offered,
        watch.seen,
        group=inventory.group,
        delay_s=None if ground.is_live else ground.delay_s,
        audit=findings.verdict,
        violations=findings.violations,
    )


def replay_test(ground: Ground, options: Options, stage: Stage, *, has_events: bool) -> ReplayTest:
    """`has_events`: of tests before this one, on the same ground; else they are made first."""
    if ground.is_live:
        return _replayed_live(ground, stage)
    if not has_events:
        with ground.running():
            _produced(ground, options, stage)
    return _replayed(ground, stage)


def _replayed(ground: Ground, stage: Stage) -> ReplayTest:
    """What each step is for is told in replay.py."""
    kafka, topics = ground.config.kafka, ground.config.topics
    before = counted(kafka, topics)
    analytics = _analytics_of(ground)
    with stage("replay: resetting the offsets", None):
        analytics.reset_to_earliest()
    began_s = time.monotonic()
    with ground.running("analytics"), stage("replay: rebuilding the metrics", None):
        rebuilt_at_s = analytics.caught_up_at_s()
    after = counted(kafka, topics, since=before.ends)
    found = _decided_again(ground, stage)
    difference = first_difference(before, after) or _difference_of(found)
    return ReplayTest(
        before=read_of(before.metrics),
        after=read_of(after.metrics),
        rebuilt_s=None if rebuilt_at_s is None else rebuilt_at_s - began_s,
        metrics_bytes=metrics_bytes(before),
        first_difference=difference,
        verdict=found.verdict,
        decisions=found.decisions,
        digest=found.digest,
        minutes=before.metrics.minutes,
    )


def _replayed_live(ground: Ground, stage: Stage) -> ReplayTest:
    """The offsets of a group that runs cannot be reset; the rest can be done all the same."""
    found = _decided_again(ground, stage)
    told = found.metrics_of_analytics or found.metrics
    return ReplayTest(
        before=read_of(told),
        after=None,
        rebuilt_s=None,
        metrics_bytes=sum(len(metrics.state()) for metrics in found.analytics.values()),
        first_difference=_difference_of(found),
        verdict=found.verdict,
        decisions=found.decisions,
        digest=found.digest,
        minutes=told.minutes,
    )


def _difference_of(found: ReplayFindings) -> str | None:
    if (first := found.first_difference) is None:
        return None
    where = f"partition {first.partition}" + ("" if first.seq is None else f" seq {first.seq}")
    return f"{where}: {first.what}"


def _produced(ground: Ground, options: Options, stage: Stage) -> produce.Produced:
    events, wishes, config = options.events or produce.EVENTS, ground.wishes(options.seed), ground.config
    with stage("events: producing, until inventory has decided them", events) as on_progress:
        watch = BrokerWatch(config.kafka)
        return produce.produced(
            events, wishes, config.kafka, config.topics, on_progress=on_progress, meanwhile=watch.look_if_due
        )


def _analytics_of(ground: Ground) -> Consumers:
    return Consumers(ground.config, ground.group("analytics"), ground.config.topics.journal_topic)


def _audited(ground: Ground, accepted: Sequence[str], stage: Stage) -> Findings:
    with stage("auditing", None) as on_progress:
        return run_audit(ground.config, accepted, on_progress=lambda done, _: on_progress(done))


def _decided_again(ground: Ground, stage: Stage) -> ReplayFindings:
    with stage("replay: deciding everything again", None):
        return decided_again(ground.config)
