"""What analytics counted before the reset against what it counted after: the same bytes, or where not."""

import pytest

from campus.analytics.metrics import ItemMetrics, OrderMetrics
from campus.bench.replay import Counted, first_difference, read_of
from campus.domain.snapshot import SNAPSHOT_VERSION, Snapshot


def metrics(reserved: int, failed: int = 0) -> OrderMetrics:
    items = {"pizza": ItemMetrics(reserved=reserved, failed=failed, portions=2 * reserved)}
    reasons = {"insufficient_stock": failed} if failed else {}
    return OrderMetrics(successful=reserved, failed=failed, items=items, reasons=reasons)


def counted(**states: bytes) -> Counted:
    """By partition: p0=…, p1=…; each of as many entries as it has bytes."""
    snapshots = {
        int(name[1:]): Snapshot(SNAPSHOT_VERSION, "owner", 7, 9, state) for name, state in states.items()
    }
    return Counted(snapshots, dict.fromkeys(snapshots, 1))


def test_the_same_bytes_are_no_difference():
    state = metrics(3, 1).state()
    assert first_difference(counted(p0=state, p1=state), counted(p0=state, p1=state)) is None


def test_the_first_figure_that_differs_is_named_with_its_partition():
    before = counted(p0=metrics(3).state(), p1=metrics(5, 2).state())
    after = counted(p0=metrics(3).state(), p1=metrics(5, 1).state())
    assert first_difference(before, after) == "partition 1: failed is 2 before, 1 after"


def test_the_same_figures_in_other_bytes_are_a_difference():
    state = metrics(3).state()
    after = counted(p0=state.replace(b",", b", ", 1))
    assert "other bytes from byte" in str(first_difference(counted(p0=state), after))


def test_the_same_figures_of_another_number_of_entries_are_a_difference():
    state = metrics(3).state()
    more = Counted({0: Snapshot(SNAPSHOT_VERSION, "owner", 8, 10, state)}, {0: 1})
    assert first_difference(counted(p0=state), more) == "partition 0: counted up to seq 7 before, 8 after"


@pytest.mark.parametrize(
    ("before", "after", "word"), [(["p0", "p1"], ["p0"], "after"), ([], ["p1"], "before")]
)
def test_what_analytics_did_not_write_down_is_a_difference(before, after, word):
    state = metrics(3).state()
    found = first_difference(counted(**dict.fromkeys(before, state)), counted(**dict.fromkeys(after, state)))
    assert found == f"partition 1: analytics has written nothing {word}"


def test_a_reading_is_of_all_partitions():
    read = read_of(counted(p0=metrics(3, 1).state(), p1=metrics(5, 2).state()).metrics)
    assert (read.events, read.successful, read.failed) == (11, 8, 3)
