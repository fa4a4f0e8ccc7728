"""Runs campuskafka.py as users do: in its own processes, with its own config file.

A `Campus` is what these processes share: the config file, and through it the topics, the groups and the port.
`close` kills what is still running, and asserts that no process is left and that no output has a traceback.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from campus.addresses import wait_until
from campus.config.config_file import load
from campus.config.settings import Config
from roles import analytics, book, inventory, producer
from tests.support.kafka import free_address

PROGRAM = Path(__file__).resolve().parents[2] / "campuskafka.py"
ROLES = {role.NAME: role.Settings for role in (analytics, inventory, book, producer)}

PATIENCE_S = 90.0  # the machine may be busy with other tests
ORPHANS_S = 30.0  # for a guardian to end the Kafka of a killed process


class Campus:
    def __init__(
        self, folder: Path, settings: Mapping[str, Any], *, bootstrap_servers: str, prefix: str = ""
    ) -> None:
        """`settings`: by dotted key; they override a free port, and groups that begin with `prefix`."""
        self.folder = folder
        self.endpoint = free_address()
        self.file = folder / "config.yaml"
        ours = {
            "kafka.bootstrap_servers": bootstrap_servers,
            "broker.start_timeout_s": PATIENCE_S,
            "topics.prefix": prefix,
            "roles.producer.port": self.endpoint.port,
            "roles.inventory.group": f"{prefix}inventory-service",
            "roles.analytics.group": f"{prefix}analytics-service",
        }
        self.file.write_text(json.dumps(_nested({**ours, **settings})))
        self._programs: list[Program] = []

    @property
    def config(self) -> Config:
        return load(self.file, roles=ROLES, environ={})

    def start(self, *arguments: str) -> "Program":
        """Start the program and return at once; `Program.says` waits for its output."""
        output = self.folder / f"output-{len(self._programs)}.txt"
        program = Program([*arguments, "--config", str(self.file)], output)
        self._programs.append(program)
        return program

    def start_up(self, *arguments: str) -> "Program":
        """Start the program and wait until all its roles are ready."""
        program = self.start(*arguments)
        program.says("CampusKafka is up")
        return program

    def run(self, *arguments: str, within_s: float = PATIENCE_S) -> "subprocess.CompletedProcess[str]":
        """Run the program until it ends."""
        return run(*arguments, "--config", str(self.file), within_s=within_s)

    def close(self) -> None:
        for program in self._programs:
            program.kill()
        left = wait_until(lambda: not self.processes(), Event(), timeout_s=ORPHANS_S)
        assert left, f"processes are left: {self.processes()}"
        for program in self._programs:
            assert "Traceback" not in program.output, program.output

    def processes(self) -> list[int]:
        """The pids of all processes whose working directory is in our folder: a Kafka and its guardian."""
        return [pid for pid in _pids() if _folder_of(pid).is_relative_to(self.folder)]


class Program:
    """One process of a campus, with its output in a file."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                _command(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=_environ(),
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def says(self, pattern: str, *, within_s: float = PATIENCE_S) -> "re.Match[str]":
        """Wait until its output matches the regular expression, and return the match."""

        def found() -> bool:
            return re.search(pattern, self.output) is not None or not self.runs

        wait_until(found, Event(), timeout_s=within_s)
        match = re.search(pattern, self.output)
        assert match, f"no output matches {pattern!r}:\n{self.output}"
        return match

    def interrupt(self) -> None:
        self.send(signal.SIGINT)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def ends(self, *, within_s: float = PATIENCE_S) -> int:
        """Wait until it has ended; return its exit code."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {within_s:g} s:\n{self.output}") from None

    def stops(self, *, within_s: float = PATIENCE_S) -> None:
        """Send Ctrl-C and assert that it stops in order."""
        self.interrupt()
        code = self.ends(within_s=within_s)
        assert code == 0, f"exit code {code}:\n{self.output}"


def run(*arguments: str, within_s: float = PATIENCE_S) -> "subprocess.CompletedProcess[str]":
    finished = subprocess.run(
        _command(*arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        env=_environ(),
    )
    assert "Traceback" not in finished.stdout + finished.stderr, finished.stderr
    return finished


def soon(predicate: Callable[[], bool], *, within_s: float = PATIENCE_S, every_s: float = 0.05) -> float:
    """Wait until `predicate` is true; return how long that took in seconds."""
    began_s = time.monotonic()
    assert wait_until(predicate, Event(), timeout_s=within_s, every_s=every_s), (
        "the condition never became true"
    )
    return time.monotonic() - began_s


def _command(*arguments: str) -> list[str]:
    return [sys.executable, str(PROGRAM), *arguments]


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k not in ("KAFKA_BOOTSTRAP_SERVERS", "PROCESSING_DELAY")}


def _nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in settings.items():
        *stanzas, name = key.split(".")
        stanza = tree
        for stanza_name in stanzas:
            stanza = stanza.setdefault(stanza_name, {})
        stanza[name] = value
    return tree


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _folder_of(pid: int) -> Path:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # it has ended, or belongs to another user
        return Path("/")
