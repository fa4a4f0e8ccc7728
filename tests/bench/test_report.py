"""The report's text, to the letter, and what makes it say that something is wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from campus.bench.load import Generator, Load
from campus.bench.report import as_data, as_text
from tests.bench.results import a_lag, a_latency, a_production, a_replay, all_results

GOLDEN = Path(__file__).parent / "golden" / "bench_report.txt"


def test_the_report_is_as_it_always_was():
    assert as_text(all_results()) + "\n" == GOLDEN.read_text("utf-8")


def test_the_lines_that_people_look_for_stand_under_their_headings():
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


def test_what_did_not_run_is_not_in_it():
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
def test_whatever_is_wrong_makes_the_whole_wrong(test, wrong):
    results = all_results()
    setattr(results, test, wrong)
    assert not results.is_right
    assert "something is NOT right" in as_text(results)
    data = as_data(results)
    assert (data["right"], data[test]["right"]) == (False, False)


def test_metrics_that_differ_are_not_consistent_and_the_difference_is_shown():
    results = all_results()
    results.replay = a_replay(first_difference="partition 1: failed is 9 before, 8 after")
    assert "Consistent Metrics: False" in as_text(results)
    assert "partition 1: failed is 9 before, 8 after" in as_text(results)


def test_zero_events_are_no_consistent_metrics():
    nothing = replace(a_replay().before, events=0, successful=0, failed=0)
    results = all_results()
    results.replay = a_replay(before=nothing, after=nothing)
    assert "Consistent Metrics: False" in as_text(results)
    assert not results.is_right


def test_nothing_that_ran_is_nothing_right():
    results = all_results()
    results.latency = results.production = results.lag = results.replay = None
    assert not results.is_right


def test_what_a_live_system_does_not_allow_is_said_and_not_made_up():
    results = all_results()
    results.replay = a_replay(after=None, rebuilt_s=None)
    text = as_text(results)
    assert "After Offset Reset: not done" in text
    assert "Rebuilt" not in text


def test_a_live_system_is_not_slowed_down_and_that_is_said():
    results = all_results()
    results.lag = a_lag(delay_s=None)
    assert "as it runs: a live system is not slowed down" in as_text(results)


def test_a_load_that_may_have_measured_itself_says_so():
    results = all_results()
    results.latency = a_latency(generator=Generator(busy=0.95, late_most_s=0.25))
    assert "busy 95 % of the time, its timers at most 250.0 ms late: it may have measured ITSELF" in as_text(
        results
    )


def test_of_an_open_loop_it_says_what_the_latencies_count_from():
    results = all_results()
    results.latency = a_latency(load=Load(clients=64, events=100, rate_per_s=50.0))
    assert "open loop, 50 requests/s due" in as_text(results)
    assert "both from when a request was due" in as_text(results)


def test_the_data_are_json_without_the_long_series():
    data = json.loads(json.dumps(as_data(all_results())))
    assert data["latency"]["accepted"]["p99_ms"] == 99
    assert data["production"]["rate_per_s"] == 20_000
    assert data["replay"]["consistent_metrics"] is True
    assert not [name for name in ("points", "decided_at_s") if name in data["latency"] | data["production"]]
