"""The plots of a report, one file for each test; everything in them was measured.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; lines differ in their dashes, too. The
only module that imports matplotlib; it needs no screen.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, PercentFormatter, StrMethodFormatter

from campus.bench.lag import LagResult, sum_partitions
from campus.bench.latency import LatencyResult
from campus.bench.produce import ProductionResult
from campus.bench.replay import ReplayResult
from campus.bench.report import Results

BLACK, BLUE, VERMILION = "#000000", "#0072B2", "#D55E00"
COLOURS = (BLUE, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", VERMILION)
LINES = [*cycler(color=COLOURS * 2, linestyle=("-", "--", ":", "-.") * 3)]  # 12 partitions can be told apart
STYLE: Any = {
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "date.converter": "concise",
    "figure.figsize": (7.2, 4.2),
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
}
BINS = 25
LABEL_ROOM = 1.6  # beyond the last value, for its label
MINUTE = timedelta(minutes=1)
MINUTES_MAX = 120


def write_plots(folder: Path, results: Results) -> list[str]:
    """Write a plot of each test that ran; returns the names of the files."""
    with plt.style.context(["seaborn-v0_8-whitegrid", STYLE]):
        for name, test in results.tests.items():
            file_name, draw = PLOTS[name]
            figure = plt.figure()
            draw(figure, test)
            figure.savefig(folder / file_name)
            plt.close(figure)
    return [PLOTS[name][0] for name in results.tests]


def draw_latency(figure: Figure, test: LatencyResult) -> None:
    """Cumulative curves: every percentile can be read off, and no bin hides a tail."""
    axes = figure.subplots()
    curves: Any = (
        ("to the 202", BLUE, "-", test.accepted, [p.accepted_s for p in test.points]),
        ("to the outcome", VERMILION, "--", test.decided, [p.decided_s for p in test.points if p.decided_s]),
    )
    for name, colour, dashes, summary, latencies_s in curves:
        if summary is None:
            continue
        latencies_ms = [1000 * latency_s for latency_s in latencies_s]
        axes.ecdf(latencies_ms, color=colour, linestyle=dashes, label=name)
        for percent, value_ms in ((50, summary.p50_ms), (95, summary.p95_ms), (99, summary.p99_ms)):
            axes.plot(value_ms, percent / 100, "o", color=colour, markersize=4)
            # Below and to the right of the mark, where a rising curve leaves room.
            label = f"  p{percent}  {value_ms:.1f} ms"
            axes.text(value_ms, percent / 100, label, va="top", fontsize=8, color=colour)
    axes.set(
        title=f"Latency of {test.requests:,} orders",
        xlabel="latency in ms (logarithmic)",
        ylabel="orders within it",
        xscale="log",
    )
    axes.set_xlim(right=axes.get_xlim()[1] * LABEL_ROOM)
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(loc="upper left")


def draw_throughput(figure: Figure, test: ProductionResult) -> None:
    """The events so far, whose slope is the throughput and whose distance is the backlog; and the rate."""
    so_far, rate = figure.subplots(2, sharex=True)
    curves = (
        ("acknowledged by Kafka", BLUE, "-", test.acknowledged_at_s),
        ("decided by inventory", VERMILION, "--", test.decided_at_s),
    )
    end_s = max((times_s[-1] for *_, times_s in curves if times_s), default=0.0)
    width_s = (end_s or 1.0) / BINS
    for name, colour, dashes, times_s in curves:
        style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.5}
        so_far.step([0.0, *times_s], range(len(times_s) + 1), where="post", label=name, **style)
        weights = [1 / width_s] * len(times_s)
        rate.hist(times_s, BINS, range=(0, BINS * width_s), weights=weights, histtype="step", **style)
    so_far.set(title=f"Throughput of {test.events:,} events", ylabel="events so far")
    so_far.legend(loc="lower right")
    rate.set(
        xlabel="time since the first event was sent, in s",
        ylabel=f"events per second\n(mean of {1000 * width_s:.3g} ms)",
        xlim=(0, None),
    )
    _count_from_zero(so_far, rate)


def draw_lag(figure: Figure, test: LagResult) -> None:
    """The total lag, that of each partition that had any, and the time of the load."""
    axes = figure.subplots()
    axes.axvspan(0, test.load_s, color=BLACK, alpha=0.07, linewidth=0, label="load")
    total = sum_partitions(test.observations)
    axes.step([*total], [*total.values()], where="post", color=BLACK, linewidth=2, label="all partitions")
    lagging = [summary.partition for summary in test.partitions if summary.peak]
    for partition, line in zip(lagging, LINES, strict=False):
        lags = {seen.at_s: seen.lag for seen in test.observations[partition]}
        label = f"partition {partition}"
        axes.step([*lags], [*lags.values()], where="post", linewidth=1.2, label=label, **line)
    axes.set(
        title="Consumer lag of inventory",
        xlabel="time since the load began, in s",
        ylabel="lag in messages (end offset − committed)",
    )
    axes.legend(loc="best")
    _count_from_zero(axes)


def draw_minutes(figure: Figure, test: ReplayResult) -> None:
    axes: Any = figure.subplots()  # its types know no times
    if test.minutes:
        counts = {datetime.fromisoformat(minute): count for minute, count in test.minutes.items()}
        last = max(counts)
        first = max(min(counts), last - (MINUTES_MAX - 1) * MINUTE)
        axes.bar([*counts], [*counts.values()], width=0.6 * MINUTE, color=BLUE)
        axes.set_xlim(first - 2 * MINUTE, last + 2 * MINUTE)  # so that one minute is a bar, not a wall
    axes.grid(visible=False, axis="x")
    axes.set(title="Orders decided per minute", xlabel="minute (UTC)", ylabel="orders")
    _count_from_zero(axes)


def _count_from_zero(*plots: Axes) -> None:
    for axes in plots:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


# By the name of the result: its file, and what draws it.
PLOTS: dict[str, tuple[str, Callable[[Figure, Any], None]]] = {
    "latency": ("latency.png", draw_latency),
    "production": ("throughput.png", draw_throughput),
    "lag": ("lag.png", draw_lag),
    "replay": ("orders_per_minute.png", draw_minutes),
}
