"""The broker role: ready when a Kafka answers, and crashes when its own Kafka has ended."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from campus.addresses import speaks_kafka, wait_until
from campus.broker import embedded
from campus.broker.data import DataFolderLock
from campus.broker.errors import BrokerDied
from campus.broker.resolve import NothingAnswers
from campus.config.settings import BrokerConfig, Config, KafkaConfig, SecurityConfig
from campus.startup.broker import Broker
from tests.broker import fake_java
from tests.support.kafka import free_address


class Running:
    """A role in its thread, and the error that ended it."""

    def __init__(self, config: Config, lock: DataFolderLock | None = None) -> None:
        self.lock = lock or DataFolderLock(config.broker.data_dir)
        self.role, self.stop = Broker(config, self.lock), Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.role.run(self.stop)
        except BaseException as error:
            self.error = error

    def is_ready(self) -> bool:
        return wait_until(lambda: self.role.health().ready, Event(), timeout_s=20)

    def ends(self) -> bool:
        self._thread.join(20)
        return not self._thread.is_alive()


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(embedded, "class_path", lambda *_, **__: ())
    java = fake_java.install(tmp_path / "java")
    return Config(
        kafka=KafkaConfig(bootstrap_servers=str(free_address())),
        broker=BrokerConfig(data_dir=tmp_path / "data", java=java, start_timeout_s=20.0),
    )


@pytest.fixture
def running(config: Config) -> Iterator[Running]:
    running = Running(config)
    yield running
    running.stop.set()
    assert running.ends()


def answers(config: Config) -> bool:
    return speaks_kafka(config.kafka.addresses[0])


def test_it_is_ready_when_kafka_answers_and_stops_kafka_at_the_end(running: Running, config: Config) -> None:
    assert running.is_ready() and answers(config)
    running.stop.set()
    assert running.ends() and running.error is None
    assert not answers(config)


def test_it_renews_its_heartbeat_while_kafka_runs(running: Running) -> None:
    assert running.is_ready()
    before_s = running.role.health().heartbeat_at_s
    assert wait_until(lambda: running.role.health().heartbeat_at_s > before_s, Event(), timeout_s=10)


def test_it_crashes_when_its_kafka_dies_and_a_new_role_starts_kafka_again(
    running: Running, config: Config
) -> None:
    assert running.is_ready()
    os.kill(
        int(running.role.health().doing.removeprefix("running Kafka (process ").rstrip(")")), signal.SIGKILL
    )
    assert running.ends()
    assert isinstance(running.error, BrokerDied) and running.error.exit_code is None
    assert "signal 9" in str(running.error)
    other_lock = DataFolderLock(config.broker.data_dir)
    assert not other_lock.acquire(config.kafka.addresses[0]), "another process could start a Kafka of its own"
    again = Running(config, running.lock)
    assert again.is_ready() and answers(config)
    again.stop.set()
    assert again.ends() and again.error is None


def test_a_second_role_uses_the_running_kafka_and_never_starts_its_own(
    running: Running, config: Config
) -> None:
    assert running.is_ready()
    second = Running(config)
    assert second.is_ready()
    running.stop.set()
    assert running.ends()
    assert second.role.health().doing == "using a Kafka that runs elsewhere"
    before_s = second.role.health().heartbeat_at_s
    assert wait_until(lambda: second.role.health().heartbeat_at_s > before_s, Event(), timeout_s=10)
    assert not answers(config)
    second.stop.set()
    assert second.ends() and second.error is None


def test_with_tls_auto_means_an_external_kafka(config: Config) -> None:
    tls = Config(
        kafka=KafkaConfig(
            bootstrap_servers=config.kafka.bootstrap_servers,
            connect_timeout_s=0.1,
            security=SecurityConfig(protocol="SSL"),
        ),
        broker=config.broker,
    )
    role = Running(tls)
    assert role.ends()
    assert isinstance(role.error, NothingAnswers)
