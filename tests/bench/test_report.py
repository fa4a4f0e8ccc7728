"""The text of the report, to the letter, and what makes a run fail."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from campus.bench.load import GeneratorStats, Load
from campus.bench.report import as_data, as_text
from tests.bench.results import a_lag, a_latency, a_production, a_replay, all_results

GOLDEN = Path(__file__).parent / "golden" / "bench_report.txt"


def test_the_report_matches_the_golden_file():
    assert as_text(all_results()) + "\n" == GOLDEN.read_text("utf-8")


def test_the_fixed_lines_stand_under_their_headings():
    text = as_text(all_results())
    parts = {
        "BASELINE LATENCY RESULTS": ["Total Requests: 100", "Average Latency: 50.50 ms"],
        "10K EVENTS PRODUCTION RESULTS": [
            "Total Events: 10000",
            "Duration: 0.50 seconds",
            "Throughput: 20000",
        ],
        "CONSUMER LAG RESULTS": ["Peak Lag: 1000 messages"],
        "REPLAY TEST RESULTS": [
            "Initial Read: 10000 events",
            "Successful: 400",
            "Failed: 9600",
            "After Offset Reset: 10000 events",
            "Consistent Metrics: True",
        ],
    }
    for heading, lines in parts.items():
        part = text.partition(f"\n{heading}\n")[2].partition("\n\n=====")[0]
        assert [line for line in lines if line not in part] == [], heading


def test_a_test_that_did_not_run_is_not_in_the_report():
    results = all_results()
    results.production = results.lag = results.replay = None
    text = as_text(results)
    assert "BASELINE LATENCY RESULTS" in text
    assert "REPLAY" not in text
    assert set(as_data(results)) >= {"right", "latency", "took_s"}
    assert "replay" not in as_data(results)


@pytest.mark.parametrize(
    ("test", "wrong"),
    [
        ("latency", a_latency(refused={503: 1})),
        ("latency", a_latency(undecided=1)),
        ("latency", a_latency(accepted=None)),
        ("production", a_production(lost=1)),
        ("production", a_production(audit="violated", violations=3)),
        ("production", a_production(counted_s=None)),
        ("production", a_production(events=0)),
        ("lag", a_lag(drained_s=None)),
        ("lag", a_lag(audit="violated", violations=1)),
        ("lag", a_lag(accepted=0)),
        ("replay", a_replay(first_difference="partition 1: failed is 9 before, 8 after")),
        ("replay", a_replay(verdict="different")),
        ("replay", a_replay(verdict="empty")),
    ],
)
def test_one_failed_test_fails_the_run(test, wrong):
    results = all_results()
    setattr(results, test, wrong)
    assert not results.has_passed
    assert "something is NOT right" in as_text(results)
    data = as_data(results)
    assert (data["right"], data[test]["right"]) == (False, False)


def test_different_metrics_are_inconsistent_and_the_difference_is_shown():
    results = all_results()
    results.replay = a_replay(first_difference="partition 1: failed is 9 before, 8 after")
    assert "Consistent Metrics: False" in as_text(results)
    assert "partition 1: failed is 9 before, 8 after" in as_text(results)


def test_zero_events_are_inconsistent():
    nothing = replace(a_replay().before, events=0, successful=0, failed=0)
    results = all_results()
    results.replay = a_replay(before=nothing, after=nothing)
    assert "Consistent Metrics: False" in as_text(results)
    assert not results.has_passed


def test_a_run_without_tests_has_not_passed():
    results = all_results()
    results.latency = results.production = results.lag = results.replay = None
    assert not results.has_passed


def test_on_a_live_system_the_reset_is_reported_as_not_done():
    results = all_results()
    results.replay = a_replay(after=None, rebuilt_s=None)
    text = as_text(results)
    assert "After Offset Reset: not done" in text
    assert "Rebuilt" not in text


def test_the_report_says_that_a_live_system_is_not_slowed_down():
    results = all_results()
    results.lag = a_lag(delay_s=None)
    assert "as it runs: a live system is not slowed down" in as_text(results)


def test_a_busy_load_generator_is_reported_as_a_possible_bottleneck():
    results = all_results()
    results.latency = a_latency(generator=GeneratorStats(busy=0.95, late_most_s=0.25))
    assert "busy 95 % of the time, its timers at most 250.0 ms late: it may have measured ITSELF" in as_text(
        results
    )


def test_for_an_open_loop_the_report_says_what_latency_counts_from():
    results = all_results()
    results.latency = a_latency(load=Load(clients=64, events=100, rate_per_s=50.0))
    assert "open loop, 50 requests/s due" in as_text(results)
    assert "both from when a request was due" in as_text(results)


def test_the_json_has_no_long_series():
    data = json.loads(json.dumps(as_data(all_results())))
    assert data["latency"]["accepted"]["p99_ms"] == 99
    assert data["production"]["rate_per_s"] == 20_000
    assert data["replay"]["consistent_metrics"] is True
    figures = data["latency"] | data["production"] | data["lag"]
    assert not {"points", "observations", "acknowledged_at_s", "decided_at_s"} & figures.keys()
