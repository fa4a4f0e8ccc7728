"""A start that must fail: one line with the reason, the right exit code, and never a traceback."""

import http.server
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import campuskafka
from campus.addresses import Address
from tests.support.kafka import free_address
from tests.support.processes import Campus, run

MakeCampus = Callable[..., Campus]


@pytest.fixture
def other_server() -> Iterator[Address]:
    """A web server, which is neither CampusKafka nor Kafka."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Address("127.0.0.1", server.server_port)
        server.shutdown()


def a_file(folder: Path, text: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(text)
    return str(file)


# The command line and the config: 2


def test_a_wrong_value_is_reported_with_file_key_value_and_limits(tmp_path: Path) -> None:
    file = a_file(tmp_path, "roles:\n  producer:\n    port: eight\n")
    done = run("--all", "--config", file)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert file in done.stderr
    assert "roles.producer.port" in done.stderr
    assert "eight" in done.stderr
    assert "65535" in done.stderr.replace(",", "")


def test_an_unknown_key_is_reported_with_a_similar_key(tmp_path: Path) -> None:
    done = run("--all", "--config", a_file(tmp_path, "topics:\n  partition: 8\n"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "topics.partition" in done.stderr
    assert re.search(r"\bpartitions\b", done.stderr)


def test_all_errors_are_reported_at_once(tmp_path: Path) -> None:
    file = a_file(tmp_path, "broker:\n  mode: cloud\nlogging:\n  levle: INFO\n")
    done = run("--all", "--config", file, "--set", "topics.partitions=0", "--set", "nonsense")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    for part in ("broker.mode", "logging.levle", "topics.partitions", "nonsense"):
        assert sum(part in line for line in lines) == 1


@pytest.mark.parametrize("text", ["roles: [", "roles: 1", "kafka:\n\tbootstrap_servers: a", "\x00"])
def test_a_file_that_is_not_a_config_is_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert campuskafka.main(["--all", "--config", a_file(tmp_path, text)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "mine.yaml" in error


def test_a_missing_config_is_reported_in_one_line(tmp_path: Path) -> None:
    done = run("--all", "--config", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "none.yaml" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--role", "kitchen"),
        ("--all", "--role", "producer"),
        ("--everything",),
        ("fly",),
        ("order",),
        ("order", "pizza", "two"),
        ("order", "pizza", "1", "--count"),
    ],
)
def test_a_wrong_command_line_is_answered_with_the_usage(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        campuskafka.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("usage: campuskafka.py")
    assert "error: " in printed.err.splitlines()[-1]


def test_version_and_help_are_printed_with_exit_code_0() -> None:
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"CampusKafka \d+\.\d+\.\d+\n", version.stdout)
    help_ = run("--help")
    assert (help_.returncode, help_.stderr) == (0, "")
    for word in ("--all", "--role", "--set", "--config", "broker", "check", "order", "Exit codes"):
        assert word in help_.stdout
    assert "--count" in run("order", "--help").stdout


# The broker: 3


@pytest.mark.parametrize("arguments", [("--all",), ("--role", "analytics"), ("order", "pizza"), ("check",)])
def test_a_missing_external_broker_is_reported_in_one_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    nowhere = free_address()
    settings = {"broker.mode": "external", "broker.start_timeout_s": 60, "kafka.connect_timeout_s": 1}
    here = Campus(tmp_path, settings, bootstrap_servers=str(nowhere))
    began_s = time.monotonic()
    done = here.run(*arguments)
    assert done.returncode == 3
    assert time.monotonic() - began_s < 1 + 10  # what a busy machine takes to start Python
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "no Kafka" in line]
    assert len(lines) == 1
    assert str(nowhere) in lines[0]


def test_an_address_in_use_by_another_program_is_reported_in_one_line(
    tmp_path: Path, other_server: Address
) -> None:
    here = Campus(tmp_path, {}, bootstrap_servers=str(other_server))
    done = here.run("--all")
    assert done.returncode == 3
    lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert len(lines) == 1
    assert f"a program that is not Kafka listens at {other_server}" in lines[0]


# The HTTP port and the topics


def test_an_http_port_in_use_is_reported_in_one_line(campus: MakeCampus, other_server: Address) -> None:
    here = campus({"roles.producer.port": other_server.port})
    program = here.start("--all")
    assert program.ends() != 0
    lines = [line for line in program.output.splitlines() if "ERROR" in line]
    assert len(lines) == 1
    assert str(other_server) in lines[0]
    assert "roles.producer" in lines[0]


def test_another_partition_count_is_reported_with_the_next_action(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--role", "inventory")
    program.stops()
    for arguments in (("--all",), ("order", "pizza")):
        done = here.run(*arguments, "--set", "topics.partitions=8")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()[-1:] if arguments == ("--all",) else done.stderr.splitlines()
        assert "has 4 partitions, topics.partitions says 8" in line
        assert "Set topics.partitions: 4" in line


# check: 0, 2 and 3


def test_check_succeeds_before_the_first_start_and_during_a_run(campus: MakeCampus) -> None:
    here = campus()
    done = here.run("check")
    assert done.returncode == 0, done.stdout
    findings, settings = done.stdout.split("\n\n")
    assert [line.split()[0] for line in findings.splitlines()] == ["config", "port", "broker", "topics"]
    assert "not there yet" in findings.splitlines()[-1]
    assert "partitions: 4" in settings
    program = here.start_up("--role", "inventory")
    assert here.run("check").returncode == 0
    program.stops()


def test_check_reports_a_port_in_use(campus: MakeCampus, other_server: Address) -> None:
    here = campus({"roles.producer.port": other_server.port})
    done = here.run("check")
    assert done.returncode == 2
    assert [line.split()[:2] for line in done.stdout.splitlines() if "wrong" in line] == [["port", "wrong"]]


def test_check_starts_a_kafka_only_for_its_own_run(alone: Campus) -> None:
    done = alone.run("check")
    assert done.returncode == 0, done.stdout
    assert "started for this look" in done.stdout
    assert alone.processes() == []
