"""The bundle that somebody else can check a report by: figures, series, config, versions, plots.

No secret is in it: those of the config are masked. The plots need matplotlib; without it all the rest is
written, and what is missing is said.
"""

import csv
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import yaml

from campus.bench.report import Results, as_data, as_text
from campus.config.settings import Config

PACKAGES = ("kafka-python", "msgspec", "bottle", "uvloop", "httptools", "matplotlib")


def write_evidence(folder: Path, results: Results, config: Config, kafka_version: str) -> list[str]:
    """Write all of it there; what was written, or could not be, in lines. Raises OSError."""
    texts = {
        "report.txt": as_text(results) + "\n",
        "report.json": json.dumps(as_data(results), indent=2) + "\n",
        "config.yaml": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        "versions.txt": "".join(f"{name}: {value}\n" for name, value in _versions(kafka_version)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    tables = list(_write_tables(folder, results))
    return [f"evidence in {folder}: {', '.join([*texts, *tables])}", *_plots(folder, results)]


def _write_tables(folder: Path, results: Results) -> Iterator[str]:
    if results.latency:
        rows = ((f"{p.at_s:.6f}", _ms(p.accepted_s), _ms(p.decided_s)) for p in results.latency.points)
        yield _table(folder / "latency.csv", ("at_s", "accepted_ms", "decided_ms"), rows)
    if results.lag:
        lags = ((f"{p.at_s:.3f}", p.partition, p.committed, p.end, p.lag) for p in results.lag.points)
        yield _table(folder / "lag.csv", ("at_s", "partition", "committed", "end", "lag"), lags)
    if results.production:
        times = sorted(
            [(at_s, "acknowledged") for at_s in results.production.acknowledged_at_s]
            + [(at_s, "decided") for at_s in results.production.decided_at_s]
        )
        yield _table(folder / "production.csv", ("at_s", "event"), ((f"{t:.6f}", what) for t, what in times))


def _table(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(head)
        table.writerows(rows)
    return path.name


def _ms(value_s: float | None) -> str:
    return "" if value_s is None else f"{1000 * value_s:.3f}"


def _versions(kafka_version: str) -> Iterator[tuple[str, str]]:
    yield "python", sys.version.replace("\n", " ")
    yield "platform", platform.platform()
    yield "processors", f"{os.cpu_count()} × {platform.processor() or platform.machine()}"
    yield "kafka broker", kafka_version
    for name in PACKAGES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"


def _plots(folder: Path, results: Results) -> list[str]:
    if find_spec("matplotlib") is None:
        return ["no plots: matplotlib is missing. Install it by `pip install matplotlib`, or by `make setup`"]
    from campus.bench import plots  # not before it is wanted: importing matplotlib takes a second

    return [f"plots in {folder}: {', '.join(plots.write_plots(folder, results))}"]
