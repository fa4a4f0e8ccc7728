"""A real Kafka for tests: on a free port, with its data in a temporary folder; the test stops it."""

import os
import random
import signal
import socket
import subprocess
from pathlib import Path
from threading import Event

from campus.addresses import Address, wait_until
from campus.broker.embedded import EmbeddedBroker
from campus.broker.jars import class_path
from campus.broker.java import find_java
from campus.config.settings import BrokerConfig, KafkaConfig

STOP_S = 5.0
GONE_S = 10.0
START_S = 90.0  # the machine may be busy with other tests

# Below the ephemeral ports. A client that connects to an ephemeral port while its broker is down may be given
# that same port as its own, and then it talks to itself.
PORTS = range(20_000, 32_000)


class OneKafka:
    """A broker that can be stopped, killed and started again, on the same port and the same data."""

    def __init__(self, data_dir: Path) -> None:
        self.config = BrokerConfig(mode="embedded", data_dir=data_dir, start_timeout_s=START_S)
        self.address = free_address()
        self.bootstrap_servers = str(self.address)
        self.kafka = KafkaConfig(bootstrap_servers=self.bootstrap_servers)
        self.logged: list[str] = []
        self._broker: EmbeddedBroker | None = None

    @property
    def pid(self) -> int:
        assert self._broker is not None and self._broker.pid is not None, "not running"
        return self._broker.pid

    def start(self) -> None:
        broker = EmbeddedBroker(self.config, self.address, log=self.logged.append)
        broker.start(Event())
        self._broker = broker

    def stop(self) -> None:
        """Stop it in order."""
        if self._broker is not None:
            self._broker.stop(timeout_s=STOP_S)
            self._broker = None

    def kill(self) -> str:
        """Kill Kafka with signal 9; return the reason that the broker reports."""
        broker = self._broker
        assert broker is not None, "not running"
        os.kill(self.pid, signal.SIGKILL)
        assert wait_until(lambda: broker.exit_reason() is not None, Event(), timeout_s=GONE_S)
        reason = broker.exit_reason()
        self.stop()
        return str(reason)


def free_address() -> Address:
    for port in random.sample(PORTS, 100):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return Address("127.0.0.1", port)
    raise AssertionError("no free port")


def is_alive(pid: int) -> bool:
    """Whether a process runs. A zombie, which has ended but was not waited for, does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def kafka_tool(kafka: OneKafka, tool: str, *arguments: str) -> str:
    """The output of one of Kafka's own tools, for example `kafka_tool(kafka, "TopicCommand", "--list")`."""
    jars = class_path(kafka.config, log=print, stop=Event(), with_tools=True)
    command = [
        str(find_java(None).path),
        "-XX:TieredStopAtLevel=1",
        "-cp",
        os.pathsep.join(map(str, jars)),
        f"org.apache.kafka.tools.{tool}",
        "--bootstrap-server",
        kafka.bootstrap_servers,
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
