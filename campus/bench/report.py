"""What was measured as text, under the headings that people of this course know, and as plain data for JSON.

The first lines under a heading are fixed, to the letter, and their numbers plain: reports are compared, and
read by scripts. Our further figures stand below them. Pure: the same results give the same text.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from campus.bench.lag import Lag
from campus.bench.latency import Latency
from campus.bench.load import Generator, Load
from campus.bench.produce import Production
from campus.bench.replay import Read, ReplayTest
from campus.bench.statistics import Summary

WIDTH = 72
NAME_CHARS = 26
BUSY_MOST = 0.7  # of the time; a load that computes for longer may measure itself
SERIES = ("points", "acknowledged_at_s", "decided_at_s")  # too long for JSON; see evidence.py


@dataclass(slots=True, kw_only=True)
class Results:
    """None: was not asked for. `ground`, `machine`: where it was measured, in words."""

    ground: str
    machine: str
    began_at: str
    seed: int
    took_s: float = 0.0
    latency: Latency | None = None
    production: Production | None = None
    lag: Lag | None = None
    replay: ReplayTest | None = None

    @property
    def is_right(self) -> bool:
        ran = [test for test in (self.latency, self.production, self.lag, self.replay) if test is not None]
        return bool(ran) and all(test.is_right for test in ran)


def as_text(results: Results) -> str:
    lines = [
        _line("CampusKafka test report", results.began_at),
        _line("Measured on", results.ground),
        _line("Machine", results.machine),
        _line("Orders", f"drawn by seed {results.seed}"),
    ]
    if results.latency:
        lines += [*_heading("BASELINE LATENCY RESULTS"), *_latency(results.latency)]
    if results.production:
        lines += [*_heading("10K EVENTS PRODUCTION RESULTS"), *_production(results.production)]
    if results.lag:
        lines += [*_heading("CONSUMER LAG RESULTS"), *_lag(results.lag)]
    if results.replay:
        lines += [*_heading("REPLAY TEST RESULTS"), *_replay(results.replay)]
    verdict = "all that ran is right" if results.is_right else "something is NOT right, see above"
    return "\n".join([*lines, "", "=" * WIDTH, f"{verdict} ({results.took_s:.1f} s in all)"])


def as_data(results: Results) -> dict[str, Any]:
    """For JSON: all figures, without the series that they were made of."""
    data: dict[str, Any] = msgspec.to_builtins(results)
    for name in ("latency", "production", "lag", "replay"):
        test = getattr(results, name)
        if test is None:
            del data[name]
            continue
        for series in SERIES:
            data[name].pop(series, None)
        data[name]["right"] = test.is_right
    if results.replay:
        data["replay"]["consistent_metrics"] = results.replay.is_consistent
    for name in ("latency", "production"):
        if name in data:
            data[name]["rate_per_s"] = getattr(results, name).rate_per_s
    return {"right": results.is_right, **data}


def _latency(test: Latency) -> Iterator[str]:
    """The known lines are of the 202: what a client of the API waits for."""
    yield f"Total Requests: {test.requests}"
    accepted = test.accepted
    yield f"Average Latency: {_ms(accepted.mean_ms if accepted else None)}"
    yield f"Min Latency: {_ms(accepted.min_ms if accepted else None)}"
    yield f"Max Latency: {_ms(accepted.max_ms if accepted else None)}"
    yield ""
    yield _line("Load", f"{_load(test.load)}; {test.rate_per_s:.0f} requests/s")
    yield f"  {'Latency in ms':<{NAME_CHARS}}{'avg':>8}{'min':>8}{'p50':>8}{'p95':>8}{'p99':>8}{'max':>8}"
    yield _percentiles("to the 202", test.accepted)
    yield _percentiles("to the outcome", test.decided)
    yield _line("", "(visible on inventory-events; percentiles by nearest rank)")
    if test.load.rate_per_s:
        yield _line("", "(both from when a request was due: what it waited to be sent is in it)")
        yield _line("Sent late, p99", f"{test.sent_late_p99_ms:.2f} ms")
    yield _generator(test.generator)
    refused = [f"{count} × {status or 'no answer'}" for status, count in sorted(test.refused.items())]
    yield _line("Refused", ", ".join(refused) or "0")
    yield _line("Without an outcome", str(test.undecided))


def _production(test: Production) -> Iterator[str]:
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


def _lag(test: Lag) -> Iterator[str]:
    yield f"Total Requests: {test.accepted + test.refused}"
    yield f"Peak Lag: {test.peak} messages"
    yield f"Final Lag: {sum(one.at_last for one in test.partitions)} messages"
    yield ""
    yield _line("Load", f"{_load(test.load)}, for {test.load_s:.1f} s; {test.refused} refused")
    yield _line("Inventory", _inventory(test))
    yield _line("Group", f"{test.group}; lag is end offset − committed offset")
    yield _line("Peak", f"{test.peak} messages, {test.peak_at_s:.1f} s after the load began")
    yield _line("Drained", _drained(test))
    yield _generator(test.generator)
    yield f"  {'Lag by partition':<{NAME_CHARS}}{'peak':>8}{'load end':>10}{'final':>8}   under load, final"
    for one in test.partitions:
        figures = f"{one.peak:>8}{one.at_load_end:>10}{one.at_last:>8}"
        yield f"  {one.partition:<{NAME_CHARS}}{figures}   {one.verdict_under_load}, {one.verdict_at_last}"
    yield _line("Audit", f"{test.audit}, {test.violations} violations")


def _replay(test: ReplayTest) -> Iterator[str]:
    yield from _read("Initial Read", test.before)
    if test.after is None:
        yield "After Offset Reset: not done (the offsets of a group that runs cannot be moved)"
    else:
        yield from _read("After Offset Reset", test.after)
    yield f"Consistent Metrics: {test.is_consistent}"
    yield ""
    if test.after is not None:
        compared = f"{test.metrics_bytes} bytes in all, compared partition by partition"
        yield _line("Metrics of analytics", compared)
        yield _line("Rebuilt within", f"{_s(test.rebuilt_s)}, starting and committing included")
    yield _line("First difference", test.first_difference or "none")
    yield _line("Decided again", f"{test.verdict}, {test.decisions} decisions by a fresh ledger")
    yield _line("Digest", test.digest)


def _read(name: str, read: Read) -> Iterator[str]:
    yield f"{name}: {read.events} events"
    yield f"  Successful: {read.successful}"
    yield f"  Failed: {read.failed}"


def _inventory(test: Lag) -> str:
    if test.delay_s is None:
        return "as it runs: a live system is not slowed down, so it may keep up"
    return f"takes {1000 * test.delay_s:g} ms for each order, so at most {1 / test.delay_s:.0f} a second"


def _drained(test: Lag) -> str:
    left = sum(one.at_last for one in test.partitions)
    return (
        f"NOT, {left} messages are left" if test.drained_s is None else f"{_s(test.drained_s)} after the load"
    )


def _load(load: Load) -> str:
    if load.rate_per_s is not None:
        return f"open loop, {load.rate_per_s:g} requests/s due, {load.clients} connections"
    if load.clients == 1:
        return "one request after the other"
    return f"closed loop, {load.clients} clients"


def _generator(generator: Generator) -> str:
    warning = ": it may have measured ITSELF" if generator.busy > BUSY_MOST else ""
    late = f"its timers at most {1000 * generator.late_most_s:.1f} ms late"
    return _line("Load generator", f"busy {100 * generator.busy:.0f} % of the time, {late}{warning}")


def _percentiles(name: str, of: Summary | None) -> str:
    if of is None:
        return f"  {name:<{NAME_CHARS}}{'none':>8}"
    values = (of.mean_ms, of.min_ms, of.p50_ms, of.p95_ms, of.p99_ms, of.max_ms)
    return f"  {name:<{NAME_CHARS}}" + "".join(f"{value:>8.2f}" for value in values)


def _heading(title: str) -> list[str]:
    return ["", "=" * WIDTH, title, "=" * WIDTH]


def _line(name: str, value: str) -> str:
    return f"  {name:<{NAME_CHARS}}{value}"


def _ms(value_ms: float | None) -> str:
    return "none" if value_ms is None else f"{value_ms:.2f} ms"


def _s(value_s: float | None) -> str:
    return "not in time" if value_s is None else f"{value_s:.2f} s"
