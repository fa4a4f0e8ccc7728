"""The files by which someone else can check a report: figures, series, config, versions, plots.

Secrets of the config are masked. The plots need matplotlib; without it, the rest is written, and a line says
what is missing.
"""

import csv
import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import yaml

from campus.bench.report import Results, as_data, as_text
from campus.config.settings import Config

PACKAGES = ("kafka-python", "msgspec", "bottle", "uvloop", "httptools", "matplotlib")


def write_evidence(folder: Path, results: Results, config: Config, kafka_version: str) -> list[str]:
    """Write all files; returns lines that say which, and what could not be written. Raises OSError."""
    texts = {
        "report.txt": as_text(results) + "\n",
        "report.json": json.dumps(as_data(results), indent=2) + "\n",
        "config.yaml": yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
        "versions.txt": "".join(f"{name}: {value}\n" for name, value in _versions(kafka_version)),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    tables = dict(_tables(results))
    for name, rows in tables.items():
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    line = f"evidence in {folder}: {', '.join([*texts, *tables])}"
    if find_spec("matplotlib") is None:
        return [line, "no plots: matplotlib is missing. Run `pip install matplotlib` or `make setup`"]
    from campus.bench import plots  # only when needed: importing matplotlib takes a second

    return [line, f"plots in {folder}: {', '.join(plots.write_plots(folder, results))}"]


def _tables(results: Results) -> Iterator[tuple[str, Iterable[tuple[object, ...]]]]:
    """The name and the rows of each, its head first."""
    if results.latency:
        points = ((f"{p.at_s:.6f}", _ms(p.accepted_s), _ms(p.decided_s)) for p in results.latency.points)
        yield "latency.csv", [("at_s", "accepted_ms", "decided_ms"), *points]
    if results.lag:
        lags = (
            (f"{o.at_s:.3f}", partition, o.committed, o.end, o.lag)
            for partition, seen in results.lag.observations.items()
            for o in seen
        )
        yield "lag.csv", [("at_s", "partition", "committed", "end", "lag"), *lags]
    if results.production:
        acknowledged = [(at_s, "acknowledged") for at_s in results.production.acknowledged_at_s]
        decided = [(at_s, "decided") for at_s in results.production.decided_at_s]
        events = ((f"{at_s:.6f}", event) for at_s, event in sorted(acknowledged + decided))
        yield "production.csv", [("at_s", "event"), *events]


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
