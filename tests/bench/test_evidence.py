"""The evidence files: all of them, without secrets, and without plots if matplotlib is missing."""

import csv
import json
import struct
from dataclasses import replace

import pytest
import yaml
from pydantic import SecretStr

from campus.bench import evidence
from campus.bench.evidence import write_evidence
from campus.config.settings import Config, KafkaConfig, SecurityConfig
from tests.bench.results import a_replay, all_results

PNG = b"\x89PNG\r\n\x1a\n"
TEXTS = {"report.txt", "report.json", "config.yaml", "versions.txt"}
TABLES = {"latency.csv", "lag.csv", "production.csv"}
PLOTS = {"latency.png", "throughput.png", "lag.png", "orders_per_minute.png"}


@pytest.fixture
def no_matplotlib(monkeypatch):
    monkeypatch.setattr(evidence, "find_spec", lambda name: None)


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_file_is_written_and_every_plot_is_a_picture(tmp_path):
    lines = write_evidence(tmp_path, all_results(), Config(), "4.3")
    assert names_in(tmp_path) == TEXTS | TABLES | PLOTS
    for name in PLOTS:
        data = (tmp_path / name).read_bytes()
        assert data.startswith(PNG)
        assert struct.unpack(">II", data[16:24]) == (1080, 630)
        assert name in " ".join(lines)


def test_without_matplotlib_the_rest_is_written_and_a_line_says_what_is_missing(tmp_path, no_matplotlib):
    lines = write_evidence(tmp_path, all_results(), Config(), "4.3")
    assert names_in(tmp_path) == TEXTS | TABLES
    assert "matplotlib is missing" in lines[-1]


def test_no_file_holds_a_secret(tmp_path, no_matplotlib):
    security = SecurityConfig(
        protocol="SASL_SSL", sasl_username="ana", sasl_password=SecretStr("open sesame")
    )
    write_evidence(tmp_path, all_results(), Config(kafka=KafkaConfig(security=security)), "4.3")
    for path in tmp_path.iterdir():
        assert "open sesame" not in path.read_text("utf-8"), path.name
    config = yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8"))
    assert config["kafka"]["security"]["sasl_password"] == "**********"


def test_the_tables_hold_the_series_of_the_results(tmp_path, no_matplotlib):
    results = all_results()
    write_evidence(tmp_path, results, Config(), "4.3")
    latency = rows_of(tmp_path / "latency.csv")
    assert (len(latency), latency[1]) == (
        100,
        {"at_s": "0.005000", "accepted_ms": "2.000", "decided_ms": "4.000"},
    )
    lag = rows_of(tmp_path / "lag.csv")
    assert (len(lag), lag[22]["partition"], lag[22]["lag"]) == (42, "1", "100")
    assert len(rows_of(tmp_path / "production.csv")) == 20_000
    assert json.loads((tmp_path / "report.json").read_text("utf-8"))["right"] is True


def test_only_the_files_of_tests_that_ran_are_written(tmp_path):
    results = all_results()
    results.production = results.lag = results.replay = None
    write_evidence(tmp_path, results, Config(), "4.3")
    assert names_in(tmp_path) == TEXTS | {"latency.csv", "latency.png"}


def test_versions_name_broker_python_and_platform(tmp_path, no_matplotlib):
    write_evidence(tmp_path, all_results(), Config(), "4.3 (by its protocols)")
    lines = (tmp_path / "versions.txt").read_text("utf-8").splitlines()
    versions = dict(line.split(": ", 1) for line in lines)
    assert versions["kafka broker"] == "4.3 (by its protocols)"
    assert versions["kafka-python"].startswith("3.0.")
    assert {"python", "platform"} <= versions.keys()


@pytest.mark.parametrize(
    "minutes", [{}, {"2026-01-01T23:59": 7}, {"2026-01-01T23:59": 7, "2026-01-03T00:00": 1}]
)
def test_orders_per_minute_are_drawn_for_any_number_of_minutes(tmp_path, minutes):
    results = replace(
        all_results(), latency=None, production=None, lag=None, replay=a_replay(minutes=minutes)
    )
    write_evidence(tmp_path, results, Config(), "4.3")
    assert (tmp_path / "orders_per_minute.png").read_bytes().startswith(PNG)
