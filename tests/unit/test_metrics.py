"""What the journal adds up to, and the report of it."""

from campus.domain.codec import encode
from campus.domain.metrics import MINUTES_MAX, OrderMetrics, summed
from campus.domain.report import text_report
from campus.domain.times import iso_utc
from tests.builders import ALedger, ARecord, a_ledger, a_restock, an_order


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


def test_the_minutes_that_are_kept_are_bounded_and_the_newest():
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
        "\n"
        "  Item                        Reserved      Failed    Portions\n"
        "  pizza                              1           1           2\n"
        "\n"
        "  Failed because                Orders\n"
        "  insufficient_stock                 1\n"
        "  unknown_item                       1\n"
        "\n"
        "  Minute (UTC)                  Orders\n"
        "  2025-11-22 18:51                   3\n"
        "────────────────────────────────────────────────────────────────"
    )


def test_a_report_of_some_partitions_says_which():
    text = text_report(OrderMetrics(), title="final report", partitions=[2, 0], partitions_all=4)
    assert text.startswith("── final report of partitions 0, 2 (of 4) ──")


def test_an_item_of_a_strange_name_stays_on_its_line_and_in_its_column():
    name = "\x1b[31m\nhot " + "x" * 100
    ledger = ALedger(name, **{name: 5})
    ledger.takes(an_order(item=name))
    text = text_report(metrics_of(ledger), title="report", partitions=range(4), partitions_all=4)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) == 64
