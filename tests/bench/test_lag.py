"""Peak, drain and verdicts from made-up observations of a group's lag."""

import time
from itertools import pairwise

import pytest

from campus.audit.findings import Findings
from campus.bench import lag
from campus.bench.http_clients import OrderResponse
from campus.bench.lag import LagSampler, evaluate, sum_partitions
from campus.bench.load import GeneratorStats, Load, LoadResult, TimedRequest
from campus.groups.lag_verdict import Observation

CLEAN = Findings(decisions=1)
LOAD = Load(clients=1, duration_s=10.0, rate_per_s=2.0)
RESULT = LoadResult(
    (TimedRequest(0.0, 0.0, 0.1, OrderResponse(202, "o-1")),),
    began_s=100.0,
    ended_s=110.0,
    generator=GeneratorStats(0.1, 0.0),
)


def seen_every_second(*lags: int, read_a_second: int = 5, began_s: float = 100.0) -> list[Observation]:
    """The lags of a group that commits once a second."""
    return [
        Observation(began_s + n, 0, n * read_a_second, n * read_a_second + lag, True)
        for n, lag in enumerate(lags)
    ]


def lag_of(seen):
    return evaluate(LOAD, RESULT, seen, CLEAN, group="g", delay_s=0.01)


def test_the_peak_is_the_highest_total_of_all_partitions_in_one_sample():
    found = lag_of({0: seen_every_second(0, 30, 10, 0), 1: seen_every_second(0, 0, 40, 0)})
    assert (found.peak, found.peak_at_s) == (50, 2.0)
    assert [partition.peak for partition in found.partitions] == [30, 40]
    assert sum_partitions(found.observations) == {0.0: 0, 1.0: 30, 2.0: 50, 3.0: 0}


def test_it_is_drained_at_the_first_sample_after_the_last_lag():
    growing, falling = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100], [60, 20, 0, 5, 0, 0]
    found = lag_of({0: seen_every_second(*growing, *falling)})
    assert found.drained_s == 5.0  # at 15 s, not at 13 s; the load ends at 10 s
    assert found.has_passed


def test_lag_in_the_last_sample_is_not_drained():
    found = lag_of({0: seen_every_second(0, 10, 20, 10), 1: seen_every_second(0, 0, 0, 0)})
    assert found.drained_s is None
    assert not found.has_passed


def test_without_any_lag_it_is_drained_when_the_load_ends():
    assert lag_of({0: seen_every_second(*[0] * 12)}).drained_s == 0.0


def test_the_verdicts_under_load_and_after_it_are_separate():
    growing, falling = [1, *range(10, 110, 10)], [80, 40, 0, 0]
    partition = lag_of({0: seen_every_second(*growing, *falling)}).partitions[0]
    assert (partition.verdict_under_load, partition.verdict_at_last) == ("WARN", "OK")
    assert (partition.at_load_end, partition.at_last) == (100, 0)


def test_lag_that_grows_on_is_a_warning_though_each_commit_lowers_it():
    # Four samples and one commit a second, like the roles.
    seen = []
    for n in range(40):
        at_s, read = n / 4, 50 * (n // 4)
        seen.append(Observation(100.0 + at_s, 0, read, 1 + round(100 * at_s), True))
    assert any(later.lag < earlier.lag for earlier, later in pairwise(seen))
    assert lag_of({0: seen}).partitions[0].verdict_under_load == "WARN"


def sampled(seconds, reads_to, ends_at):
    """Four samples a second, and one commit a second of how far the group has come."""
    return [Observation(100.0 + n / 4, 0, reads_to(n // 4), ends_at(n / 4), True) for n in range(4 * seconds)]


def test_a_group_that_reads_everything_and_commits_once_a_second_keeps_up():
    uneven = [0, 2, 5, 7, 4, 6, 8, 9, 3, 7]  # left over at each commit
    seen = sampled(10, lambda s: 100 * s - uneven[s], lambda at_s: round(100 * at_s))
    assert lag_of({0: seen}).partitions[0].verdict_under_load == "OK"


def test_a_few_seconds_of_growing_lag_are_no_warning():
    seen = sampled(5, lambda s: 50 * s, lambda at_s: 1 + round(100 * at_s))
    assert lag_of({0: seen}).partitions[0].verdict_under_load == "OK"


def test_lag_before_the_load_is_not_part_of_the_peak():
    before = seen_every_second(90, 40, began_s=98.0)
    found = lag_of({0: [*before, *seen_every_second(0, 30, 0)]})
    assert (found.peak, found.peak_at_s, found.partitions[0].peak) == (30, 1.0, 30)


def sampler_of(*lags: int) -> LagSampler:
    """A sampler that observes these lags, then the last of them forever."""
    left = [*lags]

    def observe():
        return {0: Observation(0.0, 0, 0, left.pop(0) if len(left) > 1 else left[0], True)}

    return LagSampler(observe)


@pytest.fixture(autouse=True)
def samples_follow_at_once(monkeypatch):
    monkeypatch.setattr(lag, "MEANWHILE_EVERY_S", 0.001)


def test_the_sampler_goes_on_until_no_lag_is_left():
    sampler = sampler_of(30, 20, 10, 0)
    sampler.sample()
    reported: list[int] = []
    sampler.sample_until_drained(reported.append)
    assert (sampler.lag, reported[-1]) == (0, 0)


def test_the_sampler_gives_up_when_the_lag_does_not_fall(monkeypatch):
    monkeypatch.setattr(lag, "DRAIN_TIMEOUT_S", 0.2)
    sampler = sampler_of(30, 20, 20)
    sampler.sample()
    began_s = time.monotonic()
    sampler.sample_until_drained(lambda _: None)
    assert sampler.lag == 20
    assert time.monotonic() - began_s >= 0.2
