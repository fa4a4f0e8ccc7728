"""Which Kafka is used, and which process starts it, in each mode; with a fake Kafka that needs no JVM."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import pytest

from campus.addresses import Address, speaks_kafka, wait_until
from campus.broker import embedded
from campus.broker.data import DataDamaged, DataFolder, DataFolderLock, DataInUse
from campus.broker.diagnosis import PortTaken, StartFailed
from campus.broker.disk import DiskFull, NotWritable
from campus.broker.embedded import EmbeddedBroker, StartTimeout
from campus.broker.errors import BrokerDied, NoBroker
from campus.broker.java import JavaRefused
from campus.broker.resolve import AddressNotLocal, NothingAnswers, broker_for, resolve
from campus.config.settings import BrokerConfig, Config, KafkaConfig
from tests.broker import fake_java
from tests.support.kafka import free_address, is_alive

RECOVERING = "Kafka was killed the last time, so it is recovering its data; this takes a moment"

# A process that resolves, prints its log, and keeps its broker until it is killed or its stdin ends.
RESOLVER = """
import sys
from pathlib import Path
from threading import Event
from campus.broker import embedded
from campus.broker.resolve import resolve
from campus.config.settings import BrokerConfig, Config, KafkaConfig
embedded.class_path = lambda *_, **__: ()
broker_config = BrokerConfig(data_dir=Path(sys.argv[2]), java=Path(sys.argv[3]))
config = Config(kafka=KafkaConfig(bootstrap_servers=sys.argv[1]), broker=broker_config)
broker = resolve(config, log=lambda line: print(line, flush=True), stop=Event())
print("resolved", broker.pid if broker else 0, flush=True)
sys.stdin.read()
if broker:
    broker.stop(timeout_s=5)
"""


class Case:
    """An address and a data folder for a broker, its log lines, and its stop event."""

    def __init__(self, folder: Path) -> None:
        self.address = free_address()
        self.java = fake_java.install(folder / "java")
        self.data_dir = folder / "data"
        self.logged: list[str] = []
        self.stop = Event()
        self.brokers: list[EmbeddedBroker] = []

    def config(self, mode: str = "auto", *, at: str = "", **settings: object) -> Config:
        fixed = {"data_dir": self.data_dir, "java": self.java, "start_timeout_s": 20.0}
        broker = BrokerConfig(mode=mode, **{**fixed, **settings})  # type: ignore[arg-type]
        kafka = KafkaConfig(bootstrap_servers=at or str(self.address), connect_timeout_s=0.1)
        return Config(kafka=kafka, broker=broker)

    def resolve(self, mode: str = "auto", *, at: str = "", **settings: object) -> EmbeddedBroker | None:
        config = self.config(mode, at=at, **settings)
        broker = resolve(config, log=self.logged.append, stop=self.stop)
        if broker is not None:
            self.brokers.append(broker)
        return broker

    def start(self, mode: str = "auto", **settings: object) -> EmbeddedBroker:
        broker = self.resolve(mode, **settings)
        assert broker is not None
        return broker

    @contextmanager
    def process(self) -> Iterator["subprocess.Popen[str]"]:
        """Another process that resolves with the same address and data folder."""
        command = [sys.executable, "-c", RESOLVER, str(self.address), str(self.data_dir), str(self.java)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                assert process.stdin is not None
                process.stdin.close()


def resolved(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """The pid of the Kafka that it runs, or 0, and its output."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if line.startswith("resolved "):
            return int(line.split()[1]), lines
    raise AssertionError(f"it did not resolve: {lines}")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr(embedded, "class_path", lambda *_, **__: ())
    case = Case(tmp_path)
    yield case
    for broker in case.brokers:
        broker.stop(timeout_s=5)


@contextmanager
def external_kafka(address: Address) -> Iterator[None]:
    with fake_java.FakeKafka((address.host, address.port), fake_java.Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def not_a_kafka(address: Address) -> Iterator[None]:
    """A server that accepts connections and speaks another protocol."""

    def greet() -> None:
        while True:
            try:
                conn, _ = server.accept()
            except OSError:
                return
            with conn:
                conn.sendall(b"220 mail.example ESMTP\r\n")

    with socket.create_server((address.host, address.port)) as server:
        thread = threading.Thread(target=greet)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def nothing_is_left(case: Case) -> bool:
    """No Kafka runs, none answers, and the lock is free."""
    data = DataFolder(case.data_dir)
    lock = DataFolderLock(case.data_dir)
    is_free = not data.is_in_use() and not speaks_kafka(case.address) and lock.acquire(case.address)
    lock.release()
    return is_free


# Which Kafka is used or started


def test_auto_starts_the_embedded_kafka_if_nothing_answers(case: Case) -> None:
    broker = case.start()
    assert speaks_kafka(case.address) and broker.exit_reason() is None
    assert case.logged[0] == f"starting Apache Kafka 4.3.1 at {case.address}, data in {case.data_dir}"
    assert case.logged[1].startswith(f"Apache Kafka is ready at {case.address} after ")
    broker.stop(timeout_s=5)
    assert nothing_is_left(case)


def test_auto_uses_a_kafka_that_answers_and_creates_no_data(case: Case) -> None:
    with external_kafka(case.address):
        assert case.resolve() is None
    assert case.logged == [f"using the Kafka that answers at {case.address}"]
    assert not case.data_dir.exists()


def test_auto_refuses_a_server_that_is_not_kafka(case: Case) -> None:
    with not_a_kafka(case.address), pytest.raises(PortTaken) as taken:
        case.resolve()
    assert str(taken.value) == (
        f"a program that is not Kafka listens at {case.address}, where the embedded Kafka should run. Stop "
        "it, or choose another port with kafka.bootstrap_servers"
    )
    assert nothing_is_left(case)


@pytest.mark.parametrize("addresses", ["kafka.invalid:9092", "127.0.0.1:1,127.0.0.2:9092"])
def test_auto_starts_nothing_unless_there_is_one_local_address(case: Case, addresses: str) -> None:
    with pytest.raises(NothingAnswers, match=r"no Kafka answers at .*:.* within 0\.1 s"):
        case.resolve(at=addresses)
    assert not case.data_dir.exists()


def test_external_uses_the_kafka_that_answers(case: Case) -> None:
    with external_kafka(case.address):
        assert case.resolve("external") is None


def test_external_never_starts_a_kafka(case: Case) -> None:
    with pytest.raises(NothingAnswers) as nothing:
        case.resolve("external")
    assert nothing.value.exit_code == 3
    assert not case.data_dir.exists()


def test_embedded_starts_a_kafka(case: Case) -> None:
    assert case.start("embedded").exit_reason() is None


def test_embedded_does_not_use_another_kafka(case: Case) -> None:
    with external_kafka(case.address), pytest.raises(PortTaken, match=r"^another Kafka answers at "):
        case.resolve("embedded")


def test_embedded_needs_a_local_address(case: Case) -> None:
    with pytest.raises(
        AddressNotLocal, match=r"not kafka\.invalid:9092\. Set kafka\.bootstrap_servers to 127"
    ):
        case.resolve("embedded", at="kafka.invalid:9092")


def test_the_broker_of_a_command_stops_at_the_end_of_the_block(case: Case) -> None:
    with broker_for(case.config(), log=case.logged.append):
        assert speaks_kafka(case.address)
    assert nothing_is_left(case)


def test_stop_ends_the_wait_for_an_external_kafka(case: Case) -> None:
    case.stop.set()
    assert case.resolve("external") is None


# Several processes, some of them killed


def test_of_two_processes_one_starts_kafka_and_the_other_uses_it(case: Case) -> None:
    with case.process() as first, case.process() as second:
        (first_pid, first_lines), (second_pid, second_lines) = resolved(first), resolved(second)
    assert (first_pid == 0) != (second_pid == 0)
    lines = first_lines if first_pid == 0 else second_lines
    assert lines[-2].startswith("using the Kafka that ")
    assert nothing_is_left(case)


def test_a_second_kafka_on_the_same_data_is_refused(case: Case) -> None:
    case.start()
    other = free_address()
    with pytest.raises(DataInUse) as used:
        case.resolve(at=str(other))
    assert str(used.value) == (
        f"{case.data_dir} is in use by the broker of process {os.getpid()}, at {case.address}. Use that "
        "Kafka (kafka.bootstrap_servers, broker.mode: auto), stop it, or choose another folder with "
        "broker.data_dir"
    )
    with pytest.raises(DataInUse):
        case.resolve("embedded", at=str(other))
    assert case.brokers[0].exit_reason() is None


def test_after_a_process_was_killed_its_kafka_ends_and_a_new_one_is_started(case: Case) -> None:
    with case.process() as process:
        pid, _ = resolved(process)
        process.kill()
        process.wait()
        # The old Kafka may still answer, but it is about to end and must not be used.
        broker = case.start()
    assert broker.pid != pid and not is_alive(pid)
    assert speaks_kafka(case.address) and broker.exit_reason() is None


def test_a_killed_kafka_is_reported_and_can_be_started_again_on_its_data(case: Case) -> None:
    broker = case.start()
    cluster = DataFolder(case.data_dir).stamp.read_text()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    assert wait_until(lambda: broker.exit_reason() is not None, case.stop, timeout_s=10)
    assert (
        broker.exit_reason()
        == "Kafka was ended by signal 9 (by a user, or by the system when memory ran out)"
    )
    broker.stop(timeout_s=5)
    assert case.start().exit_reason() is None
    assert DataFolder(case.data_dir).stamp.read_text() == cluster


def test_a_kafka_that_is_being_stopped_is_not_used(case: Case) -> None:
    broker = case.start()
    (case.data_dir / "owner.json").unlink()  # the first step of a stop
    logged: list[str] = []

    def log(line: str) -> None:
        logged.append(line)
        broker.stop(timeout_s=5)  # the stop goes on while the other one waits

    own = resolve(case.config(), log=log, stop=case.stop)
    assert own is not None
    case.brokers.append(own)
    assert logged[0] == f"another process is starting or stopping Kafka at {case.address}; waiting for it"
    assert own.exit_reason() is None and own.pid != broker.pid


def test_stop_ends_the_wait_for_another_process(case: Case) -> None:
    lock = DataFolderLock(case.data_dir)
    assert lock.acquire(case.address)
    was_logged = threading.Event()

    def log(_: str) -> None:
        was_logged.set()
        case.stop.set()

    assert resolve(case.config(), log=log, stop=case.stop) is None
    assert was_logged.is_set()
    lock.release()


# Errors: one line each, and nothing is left behind


def test_a_kafka_that_ends_during_its_start_is_reported_with_the_cause(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "dies:2026-11-22 19:17:28 ERROR This is the cause (Kafka$)\n")
    with pytest.raises(StartFailed) as failed:
        case.resolve()
    assert str(failed.value) == (
        f"Kafka ended during its start: This is the cause. See its log: {case.data_dir}/broker.log"
    )
    assert nothing_is_left(case)


def test_a_failed_format_leaves_no_incomplete_data(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "cannot format")
    with pytest.raises(StartFailed, match="the reason of the tool"):
        case.resolve()
    assert not DataFolder(case.data_dir).is_formatted()
    monkeypatch.delenv("FAKE_KAFKA")
    assert case.start().exit_reason() is None


def test_a_kafka_that_does_not_answer_in_time_is_stopped(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "silent")
    with pytest.raises(
        StartTimeout, match=r"did not answer at .* within 0\.3 s.*raise broker\.start_timeout_s"
    ):
        case.resolve(start_timeout_s=0.3)
    assert nothing_is_left(case)


def test_stop_ends_a_start(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "silent")
    threading.Timer(0.5, case.stop.set).start()
    assert case.resolve() is None
    assert len(case.logged) == 1, "it is not reported as ready"
    assert nothing_is_left(case)


def test_a_recovery_that_takes_longer_is_logged(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.start().stop(timeout_s=5)  # the fake leaves no mark of a clean shutdown
    monkeypatch.setattr(embedded, "RECOVERY_NOTICE_S", 0.0)
    case.logged.clear()
    case.start()
    assert case.logged[1] == RECOVERING


def test_a_missing_java_leaves_nothing_behind(case: Case) -> None:
    with pytest.raises(JavaRefused):
        case.resolve(java=Path("/no/java"))
    assert nothing_is_left(case)


def test_damaged_data_is_refused_before_kafka_is_started(case: Case) -> None:
    case.start().stop(timeout_s=5)
    (case.data_dir / "kafka" / "meta.properties").write_bytes(b"\x00\xff garbage")
    with pytest.raises(DataDamaged):
        case.resolve()
    assert nothing_is_left(case)


def test_a_full_disk_is_reported_before_kafka_is_started(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "is_full", lambda _: True)
    with pytest.raises(DiskFull, match=r"MiB free, Kafka needs 64"):
        case.resolve()
    assert nothing_is_left(case)


def test_a_disk_that_fills_up_during_the_start_is_reported(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskFull):
        case.resolve()


def test_a_data_folder_without_write_access_is_reported(case: Case) -> None:
    case.data_dir.parent.mkdir(exist_ok=True)
    case.data_dir.touch()
    with pytest.raises(NotWritable, match=r"the folder .*/data cannot be written \(File exists\)"):
        case.resolve()


def test_every_no_broker_error_has_exit_code_3_and_broker_died_has_none() -> None:
    assert NoBroker.exit_code == 3 and BrokerDied.exit_code is None
    for fault in (
        PortTaken,
        StartFailed,
        DataInUse,
        DataDamaged,
        DiskFull,
        NotWritable,
        StartTimeout,
        AddressNotLocal,
    ):
        assert issubclass(fault, NoBroker)


def test_a_deleted_data_folder_is_created_again(case: Case) -> None:
    case.start().stop(timeout_s=5)
    shutil.rmtree(case.data_dir)
    assert case.start().exit_reason() is None
