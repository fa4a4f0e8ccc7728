"""Apache Kafka in a child process, on a data folder that is this process's for as long as it runs.

`start` returns when clients are served, or raises one line that says why not and leaves nothing behind.
The process ends with this one, however this one ends. Not here: whether to start one (settle.py).
"""

import base64
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from campus.addresses import Address, listens, speaks_kafka, wait_until
from campus.broker.class_path import class_path
from campus.broker.data import SETTING, Claim, Data, DataInUse
from campus.broker.disk import DiskFull, is_full, writing
from campus.broker.ending import PortTaken, StartFailed, why_it_did_not_start, why_it_ended
from campus.broker.errors import NoBroker
from campus.broker.jars import KAFKA_VERSION
from campus.broker.java import find_java
from campus.broker.process import GuardedProcess
from campus.broker.server_settings import (
    LOG_FILE,
    LOG_SETTINGS,
    LOG_SETTINGS_FILE,
    broker_settings,
    java_options,
)
from campus.config.settings import BrokerConfig

STOP_S = 10.0  # for Kafka to end in order when we end without a word
OLD_ONE_S = STOP_S + 5.0  # for the Kafka of a killed owner to be gone
GIVE_UP_S = 2.0  # for it to end when its start has failed
FORMAT_S = 30.0
ANSWER_EVERY_S = 0.05
RECOVERY_NOTICE_S = 3.0


class NoAnswer(NoBroker):
    def __init__(self, address: Address, waited_s: float, log: Path) -> None:
        super().__init__(
            f"Kafka runs but did not answer at {address} within {waited_s:g} s. Probably the machine "
            f"is busy: raise broker.start_timeout_s, or look into {log}"
        )


class EmbeddedBroker:
    """One life: `start`, then `died` as often as you like, then `stop`, also after a `start` that raised."""

    def __init__(
        self,
        config: BrokerConfig,
        address: Address,
        *,
        log: Callable[[str], None],
        claim: Claim | None = None,
    ) -> None:
        self._config, self.address, self._log = config, address, log
        self._data = Data(config.data_dir)
        self._claim = claim or Claim(self._data)
        self._process: GuardedProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, stop: Event) -> None:
        """Returns when Kafka answers, or early, with nothing running, when `stop` is set."""
        try:
            self._take_the_data(stop)
            self._check_the_port()
            jars = class_path(self._config, log=self._log, stop=stop)
            if not stop.is_set():
                self._run(self._java_command(jars), stop)
            if stop.is_set():
                self.stop(timeout_s=GIVE_UP_S)
        except BaseException:  # Ctrl-C too
            self.stop(timeout_s=GIVE_UP_S)
            raise

    def died(self) -> str | None:
        """None while it runs; else why it does not any more, in one line."""
        assert self._process is not None, "asked before it was started"
        code = self._process.exit_code()
        return None if code is None else why_it_ended(code, self._log_file, self._output)

    def stop(self, *, timeout_s: float) -> None:
        """In order, which takes half a second; killed after `timeout_s`. Then the data is free."""
        self._claim.withdraw()
        if self._process is not None:
            self._process.stop(timeout_s=timeout_s)
        self._claim.release()

    @property
    def _log_file(self) -> Path:
        return self._data.root / LOG_FILE

    @property
    def _output(self) -> Path:
        return self._data.root / "broker.out"

    def _take_the_data(self, stop: Event) -> None:
        self._data.make()
        if not self._claim.take(self.address):
            raise DataInUse(self._data.root, str(self._claim.owner() or "another process"))
        wait_for_the_old_one(self._data, stop)
        if is_full(self._data.root):
            raise DiskFull(self._data.root, SETTING)

    def _check_the_port(self) -> None:
        if speaks_kafka(self.address):
            raise PortTaken(self.address, "another Kafka answers")
        if listens(self.address):
            raise PortTaken(self.address, "something that is no Kafka listens")

    def _java_command(self, jars: tuple[Path, ...]) -> list[str]:
        java = find_java(self._config.java)
        options = java_options(java, self._config.heap)
        return [str(java.path), *options, "-cp", os.pathsep.join(map(str, jars))]

    def _run(self, java: list[str], stop: Event) -> None:
        began_s = time.monotonic()
        recovers = self._data.ended_badly() and self._data.is_formatted()
        self._log(f"starting Apache Kafka {KAFKA_VERSION} at {self.address}, data in {self._config.data_dir}")
        self._keep_the_old_log()
        self._write(LOG_SETTINGS_FILE, LOG_SETTINGS)
        if not self._data.is_formatted():
            self._format(java, stop)
        self._write("broker.properties", broker_settings(self.address, self._controller()))
        if not stop.is_set():
            self._process = self._guarded([*java, "kafka.Kafka", "broker.properties"])
            self._await_the_answer(self._process, stop, began_s, recovers=recovers)

    def _format(self, java: list[str], stop: Event) -> None:
        """Into a folder beside it, which takes its name when it is whole: a second and a half, once."""
        making = self._data.log_dir.with_name("kafka.making")
        with writing(self._data.root, SETTING):
            if making.exists():
                shutil.rmtree(making)
        # Never begins with "-", which Kafka's tool would take for an option.
        cluster_id = base64.urlsafe_b64encode(b"campus" + os.urandom(10)).rstrip(b"=").decode()
        settings = broker_settings(self.address, self._controller(), log_dir=making.name)
        self._write("format.properties", settings)
        arguments = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id]
        tool = self._guarded([*java, *arguments, "-c", "format.properties"])
        try:
            wait_until(lambda: tool.exit_code() is not None, stop, timeout_s=FORMAT_S)
            code = tool.exit_code()
        finally:
            tool.stop(timeout_s=GIVE_UP_S)
        if stop.is_set():
            return
        if code is None:
            raise StartFailed(f"making a new data folder took longer than {FORMAT_S:g} s", self._output)
        if code != 0:
            raise why_it_did_not_start(code, self._log_file, self._output, self.address)
        with writing(self._data.root, SETTING):
            self._data.put_stamp(making, cluster_id)
            making.replace(self._data.log_dir)

    def _await_the_answer(
        self, process: GuardedProcess, stop: Event, began_s: float, *, recovers: bool
    ) -> None:
        def settled() -> bool:
            return process.exit_code() is not None or speaks_kafka(self.address)

        deadline_s = time.monotonic() + self._config.start_timeout_s
        notice_s = min(RECOVERY_NOTICE_S, self._config.start_timeout_s)
        quick = wait_until(settled, stop, timeout_s=notice_s, every_s=ANSWER_EVERY_S)
        if not quick and recovers and not stop.is_set():
            self._log("Kafka was killed the last time: it recovers its data, a moment more")
        left_s = deadline_s - time.monotonic()
        if not wait_until(settled, stop, timeout_s=left_s, every_s=ANSWER_EVERY_S):
            if stop.is_set():
                return
            raise NoAnswer(self.address, self._config.start_timeout_s, self._log_file)
        code = process.exit_code()
        if code is not None:
            raise why_it_did_not_start(code, self._log_file, self._output, self.address)
        took_s = time.monotonic() - began_s
        self._log(f"Apache Kafka is ready at {self.address} after {took_s:.1f} s (process {process.pid})")

    def _controller(self) -> Address:
        """Where the node talks to itself: any free port, another one each time."""
        with socket.create_server((self.address.host, 0), family=_family(self.address)) as server:
            return Address(self.address.host, server.getsockname()[1])

    def _write(self, name: str, text: str) -> None:
        with writing(self._data.root, SETTING):
            (self._data.root / name).write_text(text, "ascii")

    def _keep_the_old_log(self) -> None:
        with writing(self._data.root, SETTING):
            if self._log_file.exists():
                self._log_file.replace(self._log_file.with_suffix(".log.old"))

    def _guarded(self, command: list[str]) -> GuardedProcess:
        with writing(self._data.root, SETTING):
            return GuardedProcess(
                command,
                folder=self._data.root,
                output=self._output,
                stop_s=STOP_S,
                # Java reads file names by the locale; in the "C" of many servers it has no ä.
                environ={**os.environ, "LC_ALL": "C.UTF-8"},
            )


def wait_for_the_old_one(data: Data, stop: Event) -> None:
    """A Kafka without an owner, since ours is the claim: its guardian is ending it."""
    if not wait_until(lambda: not data.has_a_kafka(), stop, timeout_s=OLD_ONE_S) and not stop.is_set():
        raise DataInUse(data.root, "a Kafka that none of our processes owns")


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET
