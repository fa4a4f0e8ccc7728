"""Apache Kafka in a child process, on a data folder that this process holds locked while Kafka runs.

`start` returns when Kafka answers clients, or raises an error and leaves nothing behind. Kafka ends with this
process, even if that is killed. Not here: the decision whether to start one (resolve.py).
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
from campus.broker.data import SETTING, DataFolder, DataFolderLock, DataInUse
from campus.broker.diagnosis import OtherKafkaAnswers, PortTaken, StartFailed, exit_reason, start_error
from campus.broker.disk import DiskFull, disk_errors, is_full
from campus.broker.errors import NoBroker
from campus.broker.jars import KAFKA_VERSION, class_path
from campus.broker.java import find_java
from campus.broker.process import GuardedProcess
from campus.broker.server_settings import LOG4J_FILE, LOG4J_SETTINGS, LOG_FILE, broker_settings, java_options
from campus.config.settings import BrokerConfig

ORPHAN_STOP_S = 10.0  # Kafka's time for an orderly stop after our process was killed
ORPHAN_GONE_S = ORPHAN_STOP_S + 5.0  # how long we wait for the Kafka of a killed process
ABORT_S = 2.0  # for Kafka to end when its start has failed
FORMAT_S = 30.0
RECOVERY_NOTICE_S = 3.0


class StartTimeout(NoBroker):
    def __init__(self, address: Address, waited_s: float, log: Path) -> None:
        super().__init__(
            f"Kafka runs but did not answer at {address} within {waited_s:g} s. Probably the machine "
            f"is busy: raise broker.start_timeout_s, or look into {log}"
        )


class EmbeddedBroker:
    """Used once: `start`, then `exit_reason` as often as needed, then `stop`, also if `start` raised."""

    def __init__(
        self,
        config: BrokerConfig,
        address: Address,
        *,
        log: Callable[[str], None],
        lock: DataFolderLock | None = None,
    ) -> None:
        self._config, self.address, self._log = config, address, log
        self._data = DataFolder(config.data_dir)
        self._lock = lock or DataFolderLock(config.data_dir)
        self._process: GuardedProcess | None = None
        self._log_file = self._data.root / LOG_FILE
        self._output = self._data.root / "broker.out"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, stop: Event) -> bool:
        """True when Kafka answers; False, with nothing running, if `stop` was set first.

        Raises NoBroker if it cannot start, BrokerDied if something ended it during its start.
        """
        try:
            self._lock_data_folder(stop)
            self._check_port()
            if is_full(self._data.root):
                raise DiskFull(self._data.root, SETTING)
            jars = class_path(self._config, log=self._log, stop=stop)
            if not stop.is_set():
                self._run(jars, stop)
            if not stop.is_set():
                return True
        except BaseException:  # Ctrl-C too
            self.stop(timeout_s=ABORT_S)
            raise
        self.stop(timeout_s=ABORT_S)
        return False

    def exit_reason(self) -> str | None:
        """None while Kafka runs; else why it ended, in one line."""
        assert self._process is not None, "not started yet"
        code = self._process.exit_code()
        return None if code is None else exit_reason(code, self._log_file, self._output)

    def stop(self, *, timeout_s: float) -> None:
        """Stop Kafka in order, which takes half a second; kill it after `timeout_s`. Then unlock the data."""
        self._lock.announce_stop()
        if self._process is not None:
            self._process.stop(timeout_s=timeout_s)
        self._lock.release()

    def _lock_data_folder(self, stop: Event) -> None:
        if not self._lock.acquire(self.address):
            raise DataInUse(self._data.root, self._lock.holder() or "another process")
        # The guardian of a killed process is ending its Kafka, which may still answer.
        is_free = wait_until(lambda: not self._data.is_in_use(), stop, timeout_s=ORPHAN_GONE_S)
        if not is_free and not stop.is_set():
            raise DataInUse(self._data.root, "a Kafka that none of our processes owns")

    def _check_port(self) -> None:
        if speaks_kafka(self.address):
            raise OtherKafkaAnswers(self.address)
        if listens(self.address):
            raise PortTaken(self.address, "a program that is not Kafka listens")

    def _run(self, jars: tuple[Path, ...], stop: Event) -> None:
        began_s = time.monotonic()
        java = find_java(self._config.java)
        options = java_options(java, self._config.heap)
        command = [str(java.path), *options, "-cp", os.pathsep.join(map(str, jars))]
        controller = self._free_controller_address()
        is_formatted, recovers = self._data.is_formatted(), self._data.was_killed()
        self._log(f"starting Apache Kafka {KAFKA_VERSION} at {self.address}, data in {self._config.data_dir}")
        with disk_errors(self._data.root, SETTING):
            if self._log_file.exists():
                self._log_file.replace(self._log_file.with_suffix(".log.old"))
            self._write(LOG4J_FILE, LOG4J_SETTINGS)
            if not is_formatted:
                self._format(command, controller, stop)
            self._write("broker.properties", broker_settings(self.address, controller))
            if stop.is_set():
                return
            self._process = process = self._guarded([*command, "kafka.Kafka", "broker.properties"])
        self._wait_until_it_answers(process, stop, recovers=recovers)
        if not stop.is_set():
            took_s = time.monotonic() - began_s
            self._log(f"Apache Kafka is ready at {self.address} after {took_s:.1f} s (process {process.pid})")

    def _format(self, java: list[str], controller: Address, stop: Event) -> None:
        """Format a temporary folder and rename it when it is complete. Takes 1.5 s, once."""
        temporary = self._data.log_dir.with_name("kafka.making")
        if temporary.exists():
            shutil.rmtree(temporary)
        # Never begins with "-", which Kafka's tool would take for an option.
        cluster_id = base64.urlsafe_b64encode(b"campus" + os.urandom(10)).rstrip(b"=").decode()
        self._write("format.properties", broker_settings(self.address, controller, log_dir=temporary.name))
        arguments = ["kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id]
        tool = self._guarded([*java, *arguments, "-c", "format.properties"])
        try:
            wait_until(lambda: tool.exit_code() is not None, stop, timeout_s=FORMAT_S)
            code = tool.exit_code()
        finally:
            tool.stop(timeout_s=ABORT_S)
        if stop.is_set():
            return
        if code is None:
            raise StartFailed(f"formatting a new data folder took longer than {FORMAT_S:g} s", self._output)
        if code != 0:
            raise start_error(code, self._log_file, self._output, self.address)
        self._data.write_stamp(temporary, cluster_id)
        temporary.replace(self._data.log_dir)

    def _wait_until_it_answers(self, process: GuardedProcess, stop: Event, *, recovers: bool) -> None:
        def has_ended_or_answers() -> bool:
            return process.exit_code() is not None or speaks_kafka(self.address)

        timeout_s = self._config.start_timeout_s
        deadline_s = time.monotonic() + timeout_s
        is_quick = wait_until(has_ended_or_answers, stop, timeout_s=min(RECOVERY_NOTICE_S, timeout_s))
        if not is_quick and recovers and not stop.is_set():
            self._log("Kafka was killed the last time, so it is recovering its data; this takes a moment")
        if not wait_until(has_ended_or_answers, stop, timeout_s=deadline_s - time.monotonic()):
            if stop.is_set():
                return
            raise StartTimeout(self.address, timeout_s, self._log_file)
        code = process.exit_code()
        if code is not None:
            raise start_error(code, self._log_file, self._output, self.address)

    def _free_controller_address(self) -> Address:
        """Where the node talks to itself: any free port, which may differ at each start."""
        host = self.address.host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, 0), family=family) as server:
            return Address(host, server.getsockname()[1])

    def _write(self, name: str, text: str) -> None:
        (self._data.root / name).write_text(text, "ascii")

    def _guarded(self, command: list[str]) -> GuardedProcess:
        return GuardedProcess(
            command,
            folder=self._data.root,
            output=self._output,
            stop_s=ORPHAN_STOP_S,
            # Java decodes file names by the locale; the "C" of many servers has no ä.
            environ={**os.environ, "LC_ALL": "C.UTF-8"},
        )
