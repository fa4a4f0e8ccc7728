"""The metrics as text, in a fixed, aligned layout for terminals and files."""

from collections.abc import Collection, Iterable
from dataclasses import astuple

from campus.analytics.metrics import OrderMetrics

WIDTH = 64
NAME_CHARS, TOTAL_CHARS = 24, 12
ITEM_COLUMNS = ("Reserved", "Failed", "Cancelled", "Portions")  # the fields of ItemMetrics
COLUMN_CHARS = 10
ITEM_CHARS = WIDTH - 2 - COLUMN_CHARS * len(ITEM_COLUMNS)
MINUTES_SHOWN = 5


def text_report(
    metrics: OrderMetrics, *, title: str, partitions: Collection[int], partitions_all: int
) -> str:
    """A title, the totals, then a block each for items, reasons and the last minutes.

    Cancelled orders are among the successful ones, but their portions are not among the portions.
    """
    lines = [
        f"── {title}{_scope(partitions, partitions_all)} ".ljust(WIDTH, "─"),
        _total("Total orders", f"{metrics.total:,}"),
        _total("Successful", f"{metrics.successful:,}"),
        _total("Failed", f"{metrics.failed:,}"),
        _total("Failure rate", f"{metrics.failure_percent:.2f} %"),
        _total("Cancelled", f"{metrics.cancelled:,}"),
    ]
    if metrics.items:
        lines += ["", _of_item("Item", ITEM_COLUMNS)]
        lines += [
            _of_item(_short(name), (f"{count:,}" for count in astuple(item)))
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


def _total(name: str, value: str) -> str:
    return f"  {name:<{NAME_CHARS}}{value:>{TOTAL_CHARS}}"


def _of_item(name: str, columns: Iterable[str]) -> str:
    return f"  {name:<{ITEM_CHARS}}" + "".join(f"{column:>{COLUMN_CHARS}}" for column in columns)


def _scope(partitions: Collection[int], partitions_all: int) -> str:
    if len(partitions) == partitions_all:
        return ""
    listed = ", ".join(map(str, sorted(partitions))) or "none"
    return f" of partitions {listed} (of {partitions_all})"


def _short(name: str) -> str:
    """The item's name, printable and cut to its column: anyone may have written it."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) < ITEM_CHARS else f"{shown[: ITEM_CHARS - 2]}…"
