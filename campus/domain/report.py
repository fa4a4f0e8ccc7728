"""The report of the metrics as text: a fixed, aligned layout, in a terminal as in a file."""

from collections.abc import Collection

from campus.domain.metrics import OrderMetrics

WIDTH = 64
ITEM_CHARS = 24
MINUTES_SHOWN = 5


def text_report(
    metrics: OrderMetrics, *, title: str, partitions: Collection[int], partitions_all: int
) -> str:
    """A title, the totals, then a block each for items, reasons and the last minutes."""
    lines = [
        _ruled(f" {title}{_scope(partitions, partitions_all)} "),
        _total("Total orders", f"{metrics.total:,}"),
        _total("Successful", f"{metrics.successful:,}"),
        _total("Failed", f"{metrics.failed:,}"),
        _total("Failure rate", f"{metrics.failure_percent:.2f} %"),
    ]
    if metrics.items:
        lines += ["", f"  {'Item':<{ITEM_CHARS}}{'Reserved':>12}{'Failed':>12}{'Portions':>12}"]
        lines += [
            f"  {_short(name):<{ITEM_CHARS}}{item.reserved:>12,}{item.failed:>12,}{item.portions:>12,}"
            for name, item in sorted(metrics.items.items())
        ]
    if metrics.reasons:
        lines += ["", f"  {'Failed because':<{ITEM_CHARS}}{'Orders':>12}"]
        lines += [
            f"  {reason:<{ITEM_CHARS}}{orders:>12,}" for reason, orders in sorted(metrics.reasons.items())
        ]
    if metrics.minutes:
        lines += ["", f"  {'Minute (UTC)':<{ITEM_CHARS}}{'Orders':>12}"]
        lines += [
            f"  {minute.replace('T', ' '):<{ITEM_CHARS}}{metrics.minutes[minute]:>12,}"
            for minute in sorted(metrics.minutes)[-MINUTES_SHOWN:]
        ]
    return "\n".join([*lines, "─" * WIDTH])


def _ruled(title: str) -> str:
    return f"──{title}".ljust(WIDTH, "─")


def _total(name: str, value: str) -> str:
    return f"  {name:<{ITEM_CHARS}}{value:>12}"


def _scope(partitions: Collection[int], partitions_all: int) -> str:
    if len(partitions) == partitions_all:
        return ""
    listed = ", ".join(map(str, sorted(partitions))) or "none"
    return f" of partitions {listed} (of {partitions_all})"


def _short(name: str) -> str:
    """An item's name is a stranger's text: on one line, printable and in its column."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) < ITEM_CHARS else f"{shown[: ITEM_CHARS - 2]}…"
