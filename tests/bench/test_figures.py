"""The figures that the latency test and the production test compute from their measurements."""

import pytest

from campus.audit.findings import Findings
from campus.bench import latency, produce
from campus.bench.http_clients import OrderResponse
from campus.bench.load import GeneratorStats, Load, LoadResult, TimedRequest
from campus.bench.produce import ProducedEvents

CLEAN = Findings(decisions=1)
OPEN = Load(clients=2, events=3, rate_per_s=10.0)
REQUESTS = (
    TimedRequest(due_s=100.0, sent_s=100.0, answered_s=100.01, response=OrderResponse(202, "A")),
    TimedRequest(due_s=100.1, sent_s=100.2, answered_s=100.22, response=OrderResponse(202, "B")),
    TimedRequest(due_s=100.2, sent_s=100.2, answered_s=100.21, response=OrderResponse(503, None)),
)
RESULT = LoadResult(REQUESTS, began_s=100.0, ended_s=100.3, generator=GeneratorStats(0.2, 0.0))


def test_the_202_and_the_outcome_have_separate_latencies_both_from_the_due_time():
    found = latency.evaluate(OPEN, RESULT, {"A": 100.05, "B": 100.3})
    assert found.accepted is not None
    assert found.decided is not None
    assert (found.accepted.min_ms, found.accepted.max_ms) == pytest.approx((10, 120))
    assert (found.decided.min_ms, found.decided.max_ms) == pytest.approx((50, 200))
    assert found.sent_late_p99_ms == pytest.approx(100)


def test_refused_orders_are_counted_by_status_and_have_no_latency():
    found = latency.evaluate(OPEN, RESULT, {"A": 100.05, "B": 100.3})
    assert (found.requests, found.refused, found.undecided) == (3, {503: 1}, 0)
    assert found.accepted is not None
    assert found.accepted.count == 2
    assert not found.has_passed


def test_an_accepted_order_without_an_outcome_is_undecided():
    found = latency.evaluate(OPEN, RESULT, {"A": 100.05, "stranger's": 100.1})
    assert found.undecided == 1
    assert [point.decided_s is None for point in found.points] == [False, True]


def produced(decided_at_s: dict[str, float]) -> ProducedEvents:
    return ProducedEvents(
        ("A", "B", "C"), began_s=100.0, acknowledged_at_s=(100.5, 100.5, 101.0), decided_at_s=decided_at_s
    )


ALL_DECIDED = {"A": 100.6, "B": 102.0, "C": 101.5, "of the load before": 99.0}


def test_production_ends_with_the_last_acknowledgement_and_is_drained_with_the_last_decision():
    found = produce.evaluate(produced(ALL_DECIDED), CLEAN, counted_at_s=103.0)
    assert (found.events, found.acknowledged_s, found.rate_per_s) == (3, 1.0, 3.0)
    assert (found.decided_s, found.counted_s, found.lost) == (2.0, 3.0, 0)
    assert found.acknowledged_at_s == (0.5, 0.5, 1.0)
    assert found.decided_at_s == pytest.approx((0.6, 1.5, 2.0))
    assert found.has_passed


def test_an_event_without_an_outcome_is_lost():
    without_b = {order_id: at_s for order_id, at_s in ALL_DECIDED.items() if order_id != "B"}
    found = produce.evaluate(produced(without_b), CLEAN, counted_at_s=103.0)
    assert (found.lost, found.decided_s) == (1, None)
    assert not found.has_passed
