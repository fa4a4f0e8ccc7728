"""`bench` on a real Kafka: it measures, detects deliberate faults, and leaves nothing behind."""

import json
import re
import signal
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import campuskafka
from campus.analytics.metrics import OrderMetrics
from campus.bench.load_process import BenchFailed
from campus.commands import Context, bench
from campus.commands.bench import NotSaved, WrongOptions
from campus.config.settings import Config
from campus.domain.events import InventoryFailed, InventoryReserved
from campus.inventory.ledger import StockLedger
from campus.inventory.rules import StockRules
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import log_bounds, partitions_of
from campus.processing import follower
from campus.processing.restore import FoldFactory
from campus.startup.system import running, system
from tests.support.customers import order
from tests.support.kafka import OneKafka
from tests.support.ledgers import audited, order_ids, records_of
from tests.support.processes import Campus, soon

MakeCampus = Callable[..., Campus]
QUICK = ("--events", "60")


class Bench:
    """The command in this process, so that a test can break one of its roles."""

    def __init__(self, config: Config, folder: Path, capsys: Any) -> None:
        self.config, self.report, self._capsys = config, folder / "report.txt", capsys

    def run(self, *options: str) -> int:
        parser = ArgumentParser()
        bench.add_arguments(parser)
        args = parser.parse_args([*options, "--report", str(self.report)])
        return bench.run(args, Context(config=self.config, system=self._system))

    def figures(self, *options: str) -> tuple[int, Any]:
        """Its exit code, and the figures it prints as JSON."""
        code = self.run(*options, "--json")
        return code, json.loads(self._capsys.readouterr().out)

    def _system(self, *names: str, config: Config) -> Any:
        return running(system(config, names, campuskafka._role_modules()), config)


@pytest.fixture
def here(campus: MakeCampus) -> Campus:
    return campus()


@pytest.fixture
def a_bench(here: Campus, tmp_path: Path, capsys: Any) -> Bench:
    config = campuskafka.load(
        here.file,
        roles={name: module.Settings for name, module in campuskafka._role_modules().items()},
        environ={},
    )
    return Bench(config, tmp_path, capsys)


def topics_of(config: Config) -> list[str]:
    return [config.topics.orders_topic, config.topics.journal_topic, config.topics.dead_letters_topic]


def groups_of_a_bench(kafka: OneKafka) -> list[str]:
    with admin(kafka.kafka) as client:
        groups = [group["group_id"] for group in client.list_groups()]
    return [name for name in groups if name.startswith("bench-")]


def orders_of_a_bench(kafka: OneKafka) -> int:
    with admin(kafka.kafka) as client:
        topics = [name for name in client.list_topics() if re.fullmatch("bench-.*-order-events", name)]
        tps = {tp for topic in topics for tp in partitions_of(client, topic)}
        return sum(at.end - at.start for at in log_bounds(client, tps).values())


def left_behind(kafka: OneKafka) -> list[str]:
    with admin(kafka.kafka) as client:
        topics = [name for name in client.list_topics() if name.startswith("bench-")]
    return topics + groups_of_a_bench(kafka)


def test_all_four_tests_pass_and_leave_nothing_behind(
    a_bench: Bench, kafka: OneKafka, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence"
    code, figures = a_bench.figures("all", "--events", "150", "--evidence", str(evidence))
    assert (code, figures["right"]) == (0, True)

    latency = figures["latency"]
    accepted, decided = latency["accepted"], latency["decided"]
    assert latency["requests"] == accepted["count"] == decided["count"] == 150
    assert 0 < accepted["min_ms"] <= accepted["p50_ms"] <= accepted["p99_ms"] <= accepted["max_ms"]
    assert accepted["mean_ms"] < decided["mean_ms"]

    production = figures["production"]
    assert (production["events"], production["lost"], production["audit"]) == (150, 0, "clean")
    # In no fixed order: an outcome can be read before the last acknowledgement arrives.
    assert production["acknowledged_s"] > 0
    assert production["decided_s"] > 0
    assert production["counted_s"] > 0

    lag = figures["lag"]
    assert (lag["accepted"], lag["refused"], lag["delay_s"]) == (150, 0, 0.01)
    assert lag["peak"] > 0
    assert lag["drained_s"] > 0
    assert [partition["at_last"] for partition in lag["partitions"]] == [0] * 4

    replay = figures["replay"]
    assert replay["before"] == replay["after"]
    assert replay["before"]["events"] == 3 * 150 + 10 + 1  # and the warm-up orders of the two loads
    assert (replay["verdict"], replay["consistent_metrics"]) == ("identical", True)

    report = a_bench.report.read_text("utf-8")
    assert "Consistent Metrics: True" in report
    assert (evidence / "report.txt").read_text("utf-8") == report
    assert {path.suffix for path in evidence.iterdir()} == {".txt", ".json", ".yaml", ".csv", ".png"}
    assert left_behind(kafka) == []


class ShortLedger(StockLedger):
    """Refuses every order for three portions, though the stock is there."""

    def decide(self, record: Any) -> Any:
        entry, side_output = super().decide(record)
        if isinstance(entry, InventoryReserved) and entry.quantity == 3:
            fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
            fields["remaining"] = entry.remaining + entry.quantity
            entry = InventoryFailed(**fields, reason="insufficient_stock")
        return entry, side_output


class ForgetfulMetrics(OrderMetrics):
    """Does not count every fifth failure."""

    def apply(self, event: Any) -> None:
        if not (isinstance(event, InventoryFailed) and event.seq % 5 == 0):
            super().apply(event)


@pytest.mark.long
def test_a_wrong_ledger_gives_inconsistent_metrics(a_bench: Bench, kafka: OneKafka, monkeypatch: Any) -> None:
    monkeypatch.setattr(StockRules, "fold", lambda rules, p: ShortLedger(p, rules.partitions))
    code, figures = a_bench.figures("replay", *QUICK)
    assert (code, figures["right"]) == (1, False)
    assert (figures["replay"]["verdict"], figures["replay"]["consistent_metrics"]) == ("different", False)
    assert re.search(r"partition \d seq \d+: ", figures["replay"]["first_difference"])
    assert "Consistent Metrics: False" in a_bench.report.read_text("utf-8")
    assert left_behind(kafka) == []


def test_analytics_that_counts_differently_the_second_time_is_detected(
    a_bench: Bench, monkeypatch: Any
) -> None:
    made: list[OrderMetrics] = []

    def new(_: int) -> OrderMetrics:
        made.append(ForgetfulMetrics() if len(made) >= 4 else OrderMetrics())  # 4 partitions, the first time
        return made[-1]

    metrics = FoldFactory(new, lambda _, state: OrderMetrics.from_state(state))
    monkeypatch.setattr(follower, "METRICS", metrics)
    code, figures = a_bench.figures("replay", "--events", "600")
    assert (code, figures["replay"]["consistent_metrics"]) == (1, False)
    assert re.search(
        r"partition \d: failed is (\d+) before, (?!\1)\d+ after", figures["replay"]["first_difference"]
    )


@pytest.mark.long
def test_an_open_loop_counts_every_order_that_was_due(a_bench: Bench) -> None:
    code, figures = a_bench.figures("latency", "--rate", "100", "--duration", "1")
    latency = figures["latency"]
    assert (code, latency["requests"], latency["load"]["rate_per_s"]) == (0, 100, 100.0)
    assert latency["took_s"] > 0.9
    assert "open loop, 100 requests/s due" in a_bench.report.read_text("utf-8")


@pytest.mark.long
def test_the_audit_finds_wrong_decisions_about_produced_events(a_bench: Bench, monkeypatch: Any) -> None:
    monkeypatch.setattr(StockRules, "fold", lambda rules, p: ShortLedger(p, rules.partitions))
    code, figures = a_bench.figures("produce", *QUICK)
    assert (code, figures["production"]["audit"]) == (1, "violated")
    assert figures["production"]["violations"] > 0


@pytest.mark.long
def test_a_system_that_runs_beside_it_is_not_touched(here: Campus, a_bench: Bench) -> None:
    here.start_up("--all")
    mine = order(here.endpoint).body["order_id"]
    audited(here.config, accepted=[mine])
    before = {topic: records_of(here.config.kafka, topic, 4) for topic in topics_of(here.config)}
    assert a_bench.run("produce", *QUICK) == 0
    after = {topic: records_of(here.config.kafka, topic, 4) for topic in topics_of(here.config)}
    assert order_ids(here.config) == [mine]
    assert before == after


@pytest.mark.long
def test_live_measures_the_running_system_as_it_is(here: Campus, a_bench: Bench, kafka: OneKafka) -> None:
    here.start_up("--all")
    code, figures = a_bench.figures("all", "--live", *QUICK)
    assert (code, figures["right"]) == (0, True)
    assert len(order_ids(here.config)) == 3 * 60 + 10 + 1  # and the warm-up orders of the two loads
    assert figures["lag"]["delay_s"] is None  # not slowed down
    assert (figures["replay"]["after"], figures["replay"]["verdict"]) == (None, "identical")
    report = a_bench.report.read_text("utf-8")
    assert "After Offset Reset: not done" in report
    assert "a live system is not slowed down" in report
    assert left_behind(kafka) == []


def test_live_without_a_running_system_is_an_error(a_bench: Bench) -> None:
    with pytest.raises(BenchFailed, match="no live system to measure"):
        a_bench.run("latency", "--live")


def test_a_failed_run_leaves_no_report_and_keeps_an_older_one(a_bench: Bench) -> None:
    with pytest.raises(BenchFailed):
        a_bench.run("latency", "--live")
    assert not a_bench.report.exists()
    a_bench.report.write_text("yesterday's report", "utf-8")
    with pytest.raises(BenchFailed):
        a_bench.run("latency", "--live")
    assert a_bench.report.read_text("utf-8") == "yesterday's report"


@pytest.mark.long
def test_the_report_is_printed_even_if_not_everything_can_be_saved(a_bench: Bench, capsys: Any) -> None:
    folder = a_bench.report.parent / "evidence"
    (folder / "report.json").mkdir(parents=True)
    with pytest.raises(NotSaved, match=r"report\.json cannot be written"):
        a_bench.run("latency", "--events", "5", "--evidence", str(folder))
    assert "Total Requests: 5\n" in capsys.readouterr().out


@pytest.mark.long
def test_a_broker_that_dies_ends_the_run_and_the_log_names_what_is_left(
    campus: MakeCampus, own_broker: OneKafka
) -> None:
    here = campus(on=own_broker)
    program = here.start(
        *("bench", "latency", "--rate", "20", "--duration", "120"),
        *("--report", str(here.folder / "report.txt")),
    )
    soon(lambda: orders_of_a_bench(own_broker) > 20)
    own_broker.kill()
    assert program.ends() == 1, program.output
    assert "went away while it was measured" in program.output
    assert re.search(r"that begin with bench-[0-9a-f]{8}- could not be removed", program.output)
    assert "Traceback" not in program.output


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_behind(
    here: Campus, kafka: OneKafka, number: signal.Signals
) -> None:
    program = here.start("bench", "lag", "--report", str(here.folder / "report.txt"))
    soon(lambda: any("inventory" in name for name in groups_of_a_bench(kafka)))
    program.send(number)
    assert program.ends() == 130, program.output
    assert "Traceback" not in program.output
    assert left_behind(kafka) == []


def test_impossible_options_are_a_wrong_command_line(a_bench: Bench, capsys: Any) -> None:
    with pytest.raises(WrongOptions, match="one of the two"):
        a_bench.run("latency", "--events", "5", "--duration", "5")
    for options in (
        ("latency", "--rate", "0"),
        ("produce", "--events", "many"),
        ("latency", "--clients", "501"),
        ("latency", "--seed", "-1"),
    ):
        with pytest.raises(SystemExit) as ended:
            a_bench.run(*options)
        assert ended.value.code == 2
    errors = capsys.readouterr().err
    assert "501 is not allowed: 1 to 500" in errors
    assert "-1 is not allowed: 0 to 4294967296" in errors
    with pytest.raises(WrongOptions, match="no order at all"):
        a_bench.run("latency", "--rate", "0.1", "--duration", "1")


def test_a_report_that_cannot_be_saved_is_an_error_before_anything_is_measured(
    a_bench: Bench, kafka: OneKafka
) -> None:
    a_bench.report = a_bench.report.parent / "no such folder" / "report.txt"
    with pytest.raises(NotSaved, match="cannot be written"):
        a_bench.run("latency", *QUICK)
    assert left_behind(kafka) == []
