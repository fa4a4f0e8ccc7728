"""The report of the metrics as text: a fixed, aligned layout, in a terminal as in a file."""

from collections.abc import Collection, Iterable

from campus.analytics.metrics import ItemMetrics, OrderMetrics

WIDTH = 64
NAME_CHARS, TOTAL_CHARS = 24, 12
ITEM_COLUMNS = ("Reserved", "Failed", "Cancelled", "Portions")
COLUMN_CHARS = 10
ITEM_CHARS = WIDTH - 2 - COLUMN_CHARS * len(ITEM_COLUMNS)
MINUTES_SHOWN = 5


def text_report(
    metrics: OrderMetrics, *, title: str, partitions: Collection[int], partitions_all: int
) -> str:
    """A title, the totals, then a block each for items, reasons and the last minutes.

    A cancelled order is among the successful ones; its portions are not among the portions.
    """
    lines = [
        _ruled(f" {title}{_scope(partitions, partitions_all)} "),
        _total("Total orders", f"{metrics.total:,}"),
        _total("Successful", f"{metrics.successful:,}"),
        _total("Failed", f"{metrics.failed:,}"),
        _total("Failure rate", f"{metrics.failure_percent:.2f} %"),
        _total("Cancelled", f"{metrics.cancelled:,}"),
    ]
    if metrics.items:
        lines += ["", _of_item("Item", ITEM_COLUMNS)]
        lines += [
            _of_item(_short(name), (f"{count:,}" for count in _counts(item)))
            for name, item in sorted(metrics.items.items())
        ]
    if metrics.reasons:
        lines += ["", _total("Failed because", "Orders")]
        lines += [_total(reason, f"{orders:,}") for reason, orders in sorted(metrics.reasons.items())]
    if metrics.minutes:
        lines += ["", _total("Minute (UTC)", "Orders")]
        lines += [
            _total(minute.replace("T", " "), f"{metrics.minutes[minute]:,}")
            for minute in sorted(metrics.minutes)[-MINUTES_SHOWN:]
        ]
    return "\n".join([*lines, "─" * WIDTH])


def _ruled(title: str) -> str:
    return f"──{title}".ljust(WIDTH, "─")


def _total(name: str, value: str) -> str:
    return f"  {name:<{NAME_CHARS}}{value:>{TOTAL_CHARS}}"


def _counts(item: ItemMetrics) -> tuple[int, ...]:
    """In the order of ITEM_COLUMNS."""
    return item.reserved, item.failed, item.cancelled, item.portions


def _of_item(name: str, columns: Iterable[str]) -> str:
    return f"  {name:<{ITEM_CHARS}}" + "".join(f"{column:>{COLUMN_CHARS}}" for column in columns)


def _scope(partitions: Collection[int], partitions_all: int) -> str:
    if len(partitions) == partitions_all:
        return ""
    listed = ", ".join(map(str, sorted(partitions))) or "none"
    return f" of partitions {listed} (of {partitions_all})"


def _short(name: str) -> str:
    """An item's name is a stranger's text: on one line, printable and in its column."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) < ITEM_CHARS else f"{shown[: ITEM_CHARS - 2]}…"
