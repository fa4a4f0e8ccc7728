"""The snapshots of analytics before and after the reset: the same bytes, or the first difference."""

import pytest

from campus.analytics.metrics import ItemMetrics, OrderMetrics, summed
from campus.bench.replay import AnalyticsSnapshots, count_orders, find_difference
from campus.domain.snapshot import SNAPSHOT_VERSION, Snapshot


def metrics(reserved: int, failed: int = 0) -> OrderMetrics:
    items = {"pizza": ItemMetrics(reserved=reserved, failed=failed, portions=2 * reserved)}
    reasons = {"insufficient_stock": failed} if failed else {}
    return OrderMetrics(successful=reserved, failed=failed, items=items, reasons=reasons)


def counted(**states: bytes) -> AnalyticsSnapshots:
    """States by partition: p0=…, p1=…"""
    snapshots = {
        int(name[1:]): Snapshot(SNAPSHOT_VERSION, "owner", 7, 9, state) for name, state in states.items()
    }
    return AnalyticsSnapshots(snapshots, dict.fromkeys(snapshots, 1))


def test_the_same_bytes_are_no_difference():
    state = metrics(3, 1).state()
    assert find_difference(counted(p0=state, p1=state), counted(p0=state, p1=state)) is None


def test_the_first_different_figure_is_named_with_its_partition():
    before = counted(p0=metrics(3).state(), p1=metrics(5, 2).state())
    after = counted(p0=metrics(3).state(), p1=metrics(5, 1).state())
    assert find_difference(before, after) == "partition 1: failed is 2 before, 1 after"


def test_the_same_figures_in_other_bytes_are_a_difference():
    state = metrics(3).state()
    after = counted(p0=state.replace(b",", b", ", 1))
    assert find_difference(counted(p0=state), after) == "partition 0: the same figures in other bytes"


def test_the_same_figures_at_another_seq_are_a_difference():
    state = metrics(3).state()
    more = AnalyticsSnapshots({0: Snapshot(SNAPSHOT_VERSION, "owner", 8, 10, state)}, {0: 1})
    assert find_difference(counted(p0=state), more) == "partition 0: counted up to seq 7 before, 8 after"


@pytest.mark.parametrize(
    ("before", "after", "word"), [(["p0", "p1"], ["p0"], "after"), ([], ["p1"], "before")]
)
def test_a_missing_snapshot_is_a_difference(before, after, word):
    state = metrics(3).state()
    found = find_difference(counted(**dict.fromkeys(before, state)), counted(**dict.fromkeys(after, state)))
    assert found == f"partition 1: analytics wrote no snapshot {word}"


def test_orders_are_counted_over_all_partitions():
    counts = count_orders(
        summed(counted(p0=metrics(3, 1).state(), p1=metrics(5, 2).state()).metrics.values())
    )
    assert (counts.events, counts.successful, counts.failed) == (11, 8, 3)
