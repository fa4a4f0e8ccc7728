"""The metrics of a journal, and their report."""

import pytest

from campus.analytics.metrics import MINUTES_MAX, ItemMetrics, OrderMetrics, summed
from campus.analytics.report import text_report
from campus.domain.codec import encode
from campus.domain.times import iso_utc
from tests.builders import ALedger, ARecord, a_cancel, a_ledger, a_restock, an_order


def metrics_of(*ledgers):
    parts = []
    for ledger in ledgers:
        part = OrderMetrics()
        for entry in ledger.entries:
            part.apply(entry)
        parts.append(part)
    return summed(parts)


def a_busy_day():
    pizza = a_ledger(pizza=3)
    pizza.takes(an_order("A", quantity=2), an_order("A"), an_order("B", quantity=2), b"rubbish", a_restock())
    unicorn = ALedger("unicorn")
    unicorn.takes(an_order("C", item="unicorn"))
    return metrics_of(pizza, unicorn)


def test_only_decided_orders_are_counted():
    metrics = a_busy_day()
    assert (metrics.total, metrics.successful, metrics.failed) == (3, 1, 2)
    assert metrics.reasons == {"insufficient_stock": 1, "unknown_item": 1}
    assert metrics.items.keys() == {"pizza"}
    assert metrics.items["pizza"].portions == 2


def test_the_failure_rate_of_nothing_is_zero():
    assert OrderMetrics().failure_percent == 0


def test_orders_are_counted_by_the_minute_they_were_decided_in():
    assert a_busy_day().minutes == {"2025-11-22T18:51": 3}


def test_only_the_newest_minutes_are_kept():
    ledger = a_ledger(pizza=1)
    for n in range(MINUTES_MAX + 5):
        ledger.takes(ARecord(n + 1, encode(an_order(f"o-{n}")), timestamp=n * 60_000))
    minutes = metrics_of(ledger).minutes
    assert len(minutes) == MINUTES_MAX
    assert min(minutes) == iso_utc(5 * 60_000)[:16]


def test_the_sum_of_the_parts_does_not_depend_on_their_order():
    one, other = a_ledger(pizza=1), ALedger("unicorn")
    one.takes(an_order("A"), an_order("B"))
    other.takes(an_order("C", item="unicorn"))
    assert metrics_of(one, other) == metrics_of(other, one)


def test_the_report_is_aligned_and_complete():
    assert text_report(a_busy_day(), title="report", partitions=range(4), partitions_all=4) == (
        "── report ──────────────────────────────────────────────────────\n"
        "  Total orders                       3\n"
        "  Successful                         1\n"
        "  Failed                             2\n"
        "  Failure rate                 66.67 %\n"
        "  Cancelled                          0\n"
        "\n"
        "  Item                    Reserved    Failed Cancelled  Portions\n"
        "  pizza                          1         1         0         2\n"
        "\n"
        "  Failed because                Orders\n"
        "  insufficient_stock                 1\n"
        "  unknown_item                       1\n"
        "\n"
        "  Minute (UTC)                  Orders\n"
        "  2025-11-22 18:51                   3\n"
        "────────────────────────────────────────────────────────────────"
    )


def a_day_of_regrets():
    pizza = a_ledger(pizza=100)
    pizza.takes(an_order("A", quantity=60), an_order("B", quantity=30), an_order("C", quantity=40))
    pizza.takes(a_cancel("A"), a_cancel("A"), a_cancel("C"), a_cancel("D"), an_order("E", quantity=5))
    return metrics_of(pizza)


def test_a_cancelled_order_stays_successful_and_its_portions_are_subtracted():
    metrics = a_day_of_regrets()
    assert (metrics.total, metrics.successful, metrics.failed, metrics.cancelled) == (4, 3, 1, 1)
    assert metrics.items == {"pizza": ItemMetrics(reserved=3, failed=1, cancelled=1, portions=35)}
    assert sum(metrics.minutes.values()) == metrics.total


def test_the_report_of_a_day_with_cancelled_orders_has_the_same_lines():
    assert text_report(a_day_of_regrets(), title="report", partitions=range(4), partitions_all=4) == (
        "── report ──────────────────────────────────────────────────────\n"
        "  Total orders                       4\n"
        "  Successful                         3\n"
        "  Failed                             1\n"
        "  Failure rate                 25.00 %\n"
        "  Cancelled                          1\n"
        "\n"
        "  Item                    Reserved    Failed Cancelled  Portions\n"
        "  pizza                          3         1         1        35\n"
        "\n"
        "  Failed because                Orders\n"
        "  insufficient_stock                 1\n"
        "\n"
        "  Minute (UTC)                  Orders\n"
        "  2025-11-22 18:51                   4\n"
        "────────────────────────────────────────────────────────────────"
    )


def test_metrics_with_cancellations_survive_serialization():
    metrics = a_day_of_regrets()
    assert OrderMetrics.from_state(metrics.state()) == metrics


def test_metrics_of_the_format_before_cancellations_are_read_with_none():
    """That is right: no journal of that time had a cancellation."""
    old = (
        b'{"failed":1,"items":{"pizza":{"failed":1,"portions":2,"reserved":1}},'
        b'"minutes":{"2025-11-22T18:51":2},"reasons":{"insufficient_stock":1},"successful":1}'
    )
    metrics = OrderMetrics.from_state(old)
    assert (metrics.total, metrics.cancelled) == (2, 0)
    assert metrics.items == {"pizza": ItemMetrics(reserved=1, failed=1, cancelled=0, portions=2)}


@pytest.mark.parametrize("state", [b"", b"[]", b'{"cancelled":"one"}', b'{"items":{"pizza":1}}'])
def test_an_invalid_metrics_state_is_refused(state):
    with pytest.raises(ValueError, match=r"."):
        OrderMetrics.from_state(state)


def test_a_report_of_some_partitions_says_which():
    text = text_report(OrderMetrics(), title="final report", partitions=[2, 0], partitions_all=4)
    assert text.startswith("── final report of partitions 0, 2 (of 4) ──")


def test_an_unprintable_or_long_item_name_keeps_its_line_and_column():
    name = "\x1b[31m\nhot " + "x" * 100
    ledger = ALedger(name, **{name: 5})
    ledger.takes(an_order(item=name))
    text = text_report(metrics_of(ledger), title="report", partitions=range(4), partitions_all=4)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) == 64
