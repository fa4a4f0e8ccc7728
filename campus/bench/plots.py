"""The plots of a report, one file each: nothing in them that is not measured, and readable in print.

Colours are Okabe and Ito's, which the colour-blind can tell apart; where there are more lines than colours,
they differ in dashes, too. The only module that imports matplotlib, and no screen is needed.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from campus.analytics.metrics import MINUTE_CHARS
from campus.bench.lag import Lag, totals
from campus.bench.latency import Latency
from campus.bench.produce import Production
from campus.bench.replay import ReplayTest
from campus.bench.report import Results
from campus.bench.statistics import Summary
from campus.domain.times import iso_utc, ms_of

BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
LINES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION)
DASHES = ("-", "--", ":", "-.")
PARTITIONS_SHOWN = 12  # more lines than that tell nobody anything; the total is always there
SIZE_INCHES = (7.2, 4.2)
DPI = 150
STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
BINS = 25
LABEL_ROOM = 1.6  # beyond the last value, for its label
MINUTES_SHOWN, MINUTE_LABELS = 120, 8
MINUTE_MS = 60_000
BARS_ROOM_LEAST = 4  # so that one minute is a bar and no wall
DAY, CLOCK_TIME = slice(0, 10), slice(11, 16)


def write_plots(folder: Path, results: Results) -> list[str]:
    """Those that there are results for; the names of the files."""
    drawings: dict[str, tuple[Any, Callable[[Figure, Any], None]]] = {
        "latency.png": (results.latency, draw_latency),
        "throughput.png": (results.production, draw_throughput),
        "lag.png": (results.lag, draw_lag),
        "orders_per_minute.png": (results.replay, draw_minutes),
    }
    wanted = {name: (test, draw) for name, (test, draw) in drawings.items() if test is not None}
    with mpl.rc_context(STYLE):
        for name, (test, draw) in wanted.items():
            figure = plt.figure(figsize=SIZE_INCHES, layout="constrained")
            draw(figure, test)
            figure.savefig(folder / name, dpi=DPI)
            plt.close(figure)
    return [*wanted]


# Latency


def draw_latency(figure: Figure, test: Latency) -> None:
    """Both figures as cumulative curves: every percentile can be read off, and no bin hides a tail."""
    axes = figure.subplots()
    curves = (
        ("to the 202", BLUE, "-", test.accepted, [point.accepted_s for point in test.points]),
        ("to the outcome", VERMILION, "--", test.decided, [p.decided_s for p in test.points if p.decided_s]),
    )
    for name, colour, dashes, summary, latencies_s in curves:
        if summary is None:
            continue
        ordered_ms = sorted(1000 * latency_s for latency_s in latencies_s)
        shares = [100 * (rank + 1) / len(ordered_ms) for rank in range(len(ordered_ms))]
        axes.step(ordered_ms, shares, where="post", color=colour, linestyle=dashes, label=name)
        _mark_percentiles(axes, summary, colour)
    axes.set_xscale("log")
    axes.set_xlim(right=axes.get_xlim()[1] * LABEL_ROOM)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(_minor_label))
    axes.set_ylim(0, 104)
    axes.set_title(f"Latency of {test.requests:,} orders")
    axes.set_xlabel("latency in ms (logarithmic)")
    axes.set_ylabel("orders within it, in %")
    axes.legend(loc="upper left")


def _mark_percentiles(axes: Axes, summary: Summary, colour: str) -> None:
    """Below and right of its point a rising curve leaves room."""
    marks = {50: summary.p50_ms, 95: summary.p95_ms, 99: summary.p99_ms}
    axes.plot([*marks.values()], [*marks], "o", color=colour, markersize=4)
    for percent, value_ms in marks.items():
        axes.annotate(
            f"p{percent}  {value_ms:.1f} ms",
            (value_ms, percent),
            textcoords="offset points",
            xytext=(6, -1),
            va="top",
            fontsize=8,
            color=colour,
        )


def _minor_label(value: float, _: int) -> str:
    """Only 2 and 5 of each decade: the others would run into each other."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


# Throughput


def draw_throughput(figure: Figure, test: Production) -> None:
    """The events so far, whose slope is the throughput and distance the backlog; and events a second."""
    so_far, rate = figure.subplots(2, sharex=True)
    curves = (
        ("acknowledged by Kafka", BLUE, "-", test.acknowledged_at_s),
        ("decided by inventory", VERMILION, "--", test.decided_at_s),
    )
    until_s = max((times_s[-1] for *_, times_s in curves if times_s), default=0.0)
    width_s = _round_width(until_s / BINS)
    for name, colour, dashes, times_s in curves:
        style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.5}
        so_far.step([0.0, *times_s], range(len(times_s) + 1), where="post", label=name, **style)
        rates = _rates(times_s, until_s, width_s)
        rate.stairs(rates, [number * width_s for number in range(len(rates) + 1)], **style)
    so_far.set_title(f"Throughput of {test.events:,} events")
    so_far.set_ylabel("events so far")
    so_far.legend(loc="lower right")
    rate.set_ylabel(f"events per second\n(mean of {1000 * width_s:g} ms)")
    rate.set_xlabel("time since the first event was sent, in s")
    rate.set_xlim(left=0)
    for axes in (so_far, rate):
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(_thousands())


def _round_width(width_s: float) -> float:
    """1, 2 or 5 times a power of ten, at least 1 ms."""
    steps = (step * 10.0**power for power in range(-3, 4) for step in (1, 2, 5))
    return next((step for step in steps if step >= width_s), 10_000.0)


def _rates(times_s: Sequence[float], until_s: float, width_s: float) -> list[float]:
    counts = Counter(int(at_s / width_s) for at_s in times_s)
    return [counts[number] / width_s for number in range(int(until_s / width_s) + 1)]


# Lag


def draw_lag(figure: Figure, test: Lag) -> None:
    """The lag of each partition that had any, and the total, in steps from look to look; and while orders
    came."""
    axes = figure.subplots()
    axes.axvspan(0, test.load_s, color="#000000", alpha=0.07, linewidth=0, label="load")
    total = totals(test.points)
    axes.step([*total], [*total.values()], where="post", color="#000000", linewidth=2, label="all partitions")
    lagged = [one for one in test.partitions if one.peak]
    for number, one in enumerate(lagged[:PARTITIONS_SHOWN]):
        points = [point for point in test.points if point.partition == one.partition]
        axes.step(
            [point.at_s for point in points],
            [point.lag for point in points],
            where="post",
            color=LINES[number % len(LINES)],
            linestyle=DASHES[number % len(DASHES)],
            linewidth=1.2,
            label=f"partition {one.partition}",
        )
    axes.set_title("Consumer lag of inventory")
    axes.set_xlabel("time since the load began, in s")
    axes.set_ylabel("lag in messages (end offset − committed)")
    axes.yaxis.set_major_formatter(_thousands())
    axes.set_ylim(bottom=0)
    axes.legend(loc="best")


# Orders per minute


def draw_minutes(figure: Figure, test: ReplayTest) -> None:
    axes = figure.subplots()
    minutes = _minutes_without_gaps(test.minutes)
    axes.bar(range(len(minutes)), [test.minutes.get(minute, 0) for minute in minutes], width=0.6, color=BLUE)
    shown = range(0, len(minutes), -(-len(minutes) // MINUTE_LABELS) or 1)
    axes.set_xticks([*shown], [minutes[number][CLOCK_TIME] for number in shown])
    middle, half = (len(minutes) - 1) / 2, max(len(minutes), BARS_ROOM_LEAST) / 2
    axes.set_xlim(middle - half, middle + half)
    axes.grid(visible=False, axis="x")
    axes.set_title("Orders decided per minute")
    axes.set_xlabel(f"minute (UTC, {minutes[-1][DAY]})" if minutes else "minute (UTC)")
    axes.set_ylabel("orders")
    axes.yaxis.set_major_formatter(_thousands())


def _minutes_without_gaps(minutes: Collection[str]) -> list[str]:
    """The last ones up to the last with orders, those without any among them."""
    if not minutes:
        return []
    first_ms, last_ms = (ms_of(f"{minute}:00.000Z") for minute in (min(minutes), max(minutes)))
    first_ms = max(first_ms, last_ms - (MINUTES_SHOWN - 1) * MINUTE_MS)
    return [iso_utc(at_ms)[:MINUTE_CHARS] for at_ms in range(first_ms, last_ms + 1, MINUTE_MS)]


def _thousands() -> FuncFormatter:
    return FuncFormatter(lambda value, _: f"{value:,.0f}")
