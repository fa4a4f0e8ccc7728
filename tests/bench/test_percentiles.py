"""Percentiles by nearest rank, against distributions whose percentiles are known."""

import math
from random import Random

import pytest

from campus.bench.latency import percentile, summarize


def test_the_percentiles_of_1_to_1000_are_their_multiples_of_ten():
    numbers = [float(n) for n in range(1, 1001)]
    assert [percentile(numbers, p) for p in (1, 50, 95, 99, 100)] == [10, 500, 950, 990, 1000]


@pytest.mark.parametrize("percent", [50, 95, 99])
def test_the_percentiles_of_an_exponential_distribution_are_its_quantiles(percent):
    count = 10_000
    latencies_ms = [-math.log(1 - (n + 0.5) / count) for n in range(count)]
    assert percentile(latencies_ms, percent) == pytest.approx(-math.log(1 - percent / 100), rel=0.01)


def test_every_percentile_is_a_value_that_was_measured():
    assert [percentile([1.0, 1000.0], p) for p in (1, 50, 51, 99)] == [1, 1, 1000, 1000]


def test_the_99th_of_a_hundred_is_the_second_largest():
    assert percentile([float(n) for n in range(100)], 99) == 98


def test_floating_point_rounding_moves_no_rank():
    # 0.07 * 100 is 7.000000000000001 in floating point, whose ceiling is 8.
    assert percentile([float(n) for n in range(1, 101)], 7) == 7


def test_a_summary_takes_unsorted_seconds_and_gives_milliseconds():
    latencies_s = [n / 1000 for n in range(1, 101)]
    Random(1).shuffle(latencies_s)
    found = summarize(latencies_s)
    assert found is not None
    assert (found.count, found.min_ms, found.max_ms) == (100, 1, 100)
    assert (found.p50_ms, found.p95_ms, found.p99_ms) == (50, 95, 99)
    assert found.mean_ms == pytest.approx(50.5)


def test_every_figure_of_one_value_is_that_value():
    found = summarize([0.002])
    assert found is not None
    assert {found.mean_ms, found.min_ms, found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms} == {2.0}


def test_no_values_have_no_summary():
    assert summarize([]) is None
