"""Started wrongly, it says in a line what is wrong and ends with the exit code for it; never a traceback."""

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
def somebody_else() -> Iterator[Address]:
    """A web server that is no CampusKafka, and no Kafka either."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Address("127.0.0.1", server.server_port)
        server.shutdown()


def a_file(folder: Path, text: str) -> str:
    file = folder / "mine.yaml"
    file.write_text(text)
    return str(file)


# The command line and the config: 2


def test_a_wrong_value_is_told_by_file_key_value_and_what_is_allowed(tmp_path: Path) -> None:
    file = a_file(tmp_path, "roles:\n  producer:\n    port: eight\n")
    done = run("--all", "--config", file)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert file in done.stderr
    assert "roles.producer.port" in done.stderr
    assert "eight" in done.stderr
    assert "65535" in done.stderr.replace(",", "")


def test_an_unknown_key_gets_its_nearest_neighbour(tmp_path: Path) -> None:
    done = run("--all", "--config", a_file(tmp_path, "topics:\n  partition: 8\n"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "topics.partition" in done.stderr
    assert re.search(r"\bpartitions\b", done.stderr)


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    file = a_file(tmp_path, "broker:\n  mode: cloud\nlogging:\n  levle: INFO\n")
    done = run("--all", "--config", file, "--set", "topics.partitions=0", "--set", "nonsense")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    for part in ("broker.mode", "logging.levle", "topics.partitions", "nonsense"):
        assert sum(part in line for line in lines) == 1


@pytest.mark.parametrize("text", ["roles: [", "roles: 1", "kafka:\n\tbootstrap_servers: a", "\x00"])
def test_a_file_that_is_no_config_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert campuskafka.main(["--all", "--config", a_file(tmp_path, text)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "mine.yaml" in told


def test_a_config_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
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
def test_a_wrong_command_line_is_told_with_how_it_goes(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as ended:
        campuskafka.main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("usage: campuskafka.py")
    assert "error: " in told.err.splitlines()[-1]


def test_version_and_help_say_so_and_end_well() -> None:
    version = run("--version")
    assert (version.returncode, version.stderr) == (0, "")
    assert re.fullmatch(r"CampusKafka \d+\.\d+\.\d+\n", version.stdout)
    told = run("--help")
    assert (told.returncode, told.stderr) == (0, "")
    for word in ("--all", "--role", "--set", "--config", "broker", "check", "order", "Exit codes"):
        assert word in told.stdout
    assert "--count" in run("order", "--help").stdout


# The broker: 3


@pytest.mark.parametrize("arguments", [("--all",), ("--role", "analytics"), ("order", "pizza"), ("check",)])
def test_an_external_broker_that_is_not_there_is_told_in_a_line(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    nowhere = free_address()
    settings = {"broker.mode": "external", "broker.start_timeout_s": 60, "kafka.connect_timeout_s": 1}
    here = Campus(tmp_path, settings, bootstrap_servers=str(nowhere))
    began_s = time.monotonic()
    done = here.run(*arguments)
    assert done.returncode == 3
    assert time.monotonic() - began_s < 1 + 10  # what a busy machine takes to start Python
    said = [line for line in (done.stdout + done.stderr).splitlines() if "no Kafka" in line]
    assert len(said) == 1
    assert str(nowhere) in said[0]


def test_an_address_that_something_else_has_is_told_in_a_line(tmp_path: Path, somebody_else: Address) -> None:
    here = Campus(tmp_path, {}, bootstrap_servers=str(somebody_else))
    done = here.run("--all")
    assert done.returncode == 3
    said = [line for line in done.stderr.splitlines() if "ERROR" in line]
    assert len(said) == 1
    assert f"no Kafka listens at {somebody_else}" in said[0]


# The door, and the topics


def test_a_door_that_is_taken_is_told_in_a_line(campus: MakeCampus, somebody_else: Address) -> None:
    here = campus({"roles.producer.port": somebody_else.port})
    program = here.start("--all")
    assert program.ends() != 0
    said = [line for line in program.output.splitlines() if "ERROR" in line]
    assert len(said) == 1
    assert str(somebody_else) in said[0]
    assert "roles.producer" in said[0]


def test_topics_with_another_count_of_partitions_are_told_with_what_to_do(campus: MakeCampus) -> None:
    here = campus()
    program = here.start_up("--role", "inventory")
    program.stops()
    for arguments in (("--all",), ("order", "pizza")):
        done = here.run(*arguments, "--set", "topics.partitions=8")
        assert done.returncode == 2
        (said,) = done.stderr.splitlines()[-1:] if arguments == ("--all",) else done.stderr.splitlines()
        assert "has 4 partitions, topics.partitions says 8" in said
        assert "Set topics.partitions: 4" in said


# check: 0, 2 and 3


def test_check_finds_all_well(campus: MakeCampus) -> None:
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


def test_check_finds_what_does_not_fit(campus: MakeCampus, somebody_else: Address) -> None:
    here = campus({"roles.producer.port": somebody_else.port})
    done = here.run("check")
    assert done.returncode == 2
    assert [line.split()[:2] for line in done.stdout.splitlines() if "wrong" in line] == [["port", "wrong"]]


def test_check_starts_a_kafka_for_as_long_as_it_looks(alone: Campus) -> None:
    done = alone.run("check")
    assert done.returncode == 0, done.stdout
    assert "started for this look" in done.stdout
    assert alone.processes() == []
