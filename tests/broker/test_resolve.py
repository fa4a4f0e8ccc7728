"""Which Kafka is used, and who starts it: each mode, with a Kafka of a few lines that needs no JVM."""

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
from campus.broker.data import Claim, Data, DataDamaged, DataInUse
from campus.broker.disk import DiskFull, NotWritable
from campus.broker.embedded import EmbeddedBroker, NoAnswer
from campus.broker.ending import PortTaken, StartFailed
from campus.broker.errors import BrokerDied, NoBroker
from campus.broker.java import JavaRefused
from campus.broker.resolve import NotHere, NothingAnswers, broker_for, resolve
from campus.config.settings import BrokerConfig
from tests.broker import fake_java
from tests.support.kafka import free_address, is_alive

HERE_TOO = Address("127.0.0.2", 9092)

# A process that resolves, says what it said, and holds what it got until it is killed or told to end.
RESOLVER = """
import sys
from pathlib import Path
from threading import Event
from campus.broker import embedded
from campus.broker.resolve import resolve
from campus.addresses import parse_addresses
from campus.config.settings import BrokerConfig
embedded.class_path = lambda *_, **__: ()
config = BrokerConfig(data_dir=Path(sys.argv[2]), java=Path(sys.argv[3]))
broker = resolve(config, parse_addresses(sys.argv[1]), log=lambda line: print(line, flush=True), stop=Event())
print("resolved", broker.pid if broker else 0, flush=True)
sys.stdin.read()
if broker:
    broker.stop(timeout_s=5)
"""


class Case:
    """A place for a broker, what was said of it, and its end."""

    def __init__(self, folder: Path) -> None:
        self.address = free_address()
        self.java = fake_java.install(folder / "java")
        self.data_dir = folder / "data"
        self.said: list[str] = []
        self.stop = Event()
        self.brokers: list[EmbeddedBroker] = []

    def config(self, mode: str = "auto", **settings: object) -> BrokerConfig:
        fixed = {"data_dir": self.data_dir, "java": self.java, "start_timeout_s": 20.0}
        return BrokerConfig(mode=mode, **{**fixed, **settings})  # type: ignore[arg-type]

    def resolve(self, mode: str = "auto", **settings: object) -> EmbeddedBroker | None:
        broker = resolve(self.config(mode, **settings), [self.address], log=self.said.append, stop=self.stop)
        if broker is not None:
            self.brokers.append(broker)
        return broker

    def start(self, mode: str = "auto", **settings: object) -> EmbeddedBroker:
        broker = self.resolve(mode, **settings)
        assert broker is not None
        return broker

    @contextmanager
    def process(self) -> Iterator["subprocess.Popen[str]"]:
        """Another process that resolves on the same address and data."""
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
    """The process id of the Kafka that it runs, or 0, and what it said."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line.rstrip())
        if line.startswith("resolved "):
            return int(line.split()[1]), said
    raise AssertionError(f"it did not resolve: {said}")


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    monkeypatch.setattr(embedded, "class_path", lambda *_, **__: ())
    case = Case(tmp_path)
    yield case
    for broker in case.brokers:
        broker.stop(timeout_s=5)


@contextmanager
def foreign_kafka(address: Address) -> Iterator[None]:
    with fake_java.FakeKafka((address.host, address.port), fake_java.Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def no_kafka(address: Address) -> Iterator[None]:
    """Something that takes connections and says something else."""

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
    data = Data(case.data_dir)
    claim = Claim(data)
    free = not data.has_a_kafka() and not speaks_kafka(case.address) and claim.take(case.address)
    claim.release()
    return free


# What is used, and what is started


def test_auto_starts_its_own_where_nothing_answers(case: Case) -> None:
    broker = case.start()
    assert speaks_kafka(case.address) and broker.died() is None
    assert case.said[0] == f"starting Apache Kafka 4.3.1 at {case.address}, data in {case.data_dir}"
    assert case.said[1].startswith(f"Apache Kafka is ready at {case.address} after ")
    broker.stop(timeout_s=5)
    assert nothing_is_left(case)


def test_auto_uses_a_kafka_that_answers_and_touches_nothing(case: Case) -> None:
    with foreign_kafka(case.address):
        assert case.resolve() is None
    assert case.said == [f"using the Kafka that answers at {case.address}"]
    assert not case.data_dir.exists()


def test_auto_does_not_use_what_is_no_kafka(case: Case) -> None:
    with no_kafka(case.address), pytest.raises(PortTaken) as taken:
        case.resolve()
    assert str(taken.value) == (
        f"something that is no Kafka listens at {case.address}, where the embedded Kafka should run. Stop "
        "it, or choose another port with kafka.bootstrap_servers"
    )
    assert nothing_is_left(case)


@pytest.mark.parametrize("addresses", [[Address("kafka.invalid", 9092)], [Address("127.0.0.1", 1), HERE_TOO]])
def test_auto_starts_nothing_for_what_cannot_be_here(case: Case, addresses: list[Address]) -> None:
    with pytest.raises(NothingAnswers, match=r"no Kafka answers at .*:.* within 0\.1 s"):
        resolve(case.config(start_timeout_s=0.1), addresses, log=case.said.append, stop=case.stop)
    assert not case.data_dir.exists()


def test_external_uses_what_answers(case: Case) -> None:
    with foreign_kafka(case.address):
        assert case.resolve("external") is None


def test_external_never_starts_one(case: Case) -> None:
    with pytest.raises(NothingAnswers) as nothing:
        case.resolve("external", start_timeout_s=0.1)
    assert nothing.value.exit_code == 3
    assert not case.data_dir.exists()


def test_embedded_starts_its_own(case: Case) -> None:
    assert case.start("embedded").died() is None


def test_embedded_does_not_use_another_kafka(case: Case) -> None:
    with foreign_kafka(case.address), pytest.raises(PortTaken, match=r"^another Kafka answers at "):
        case.resolve("embedded")


def test_embedded_needs_an_address_of_this_machine(case: Case) -> None:
    with pytest.raises(NotHere, match=r"not at kafka\.invalid:9092\. Set kafka\.bootstrap_servers to 127"):
        resolve(case.config("embedded"), [Address("kafka.invalid", 9092)], log=print, stop=case.stop)


def test_for_a_command_the_broker_lasts_as_long_as_the_block(case: Case) -> None:
    with broker_for(case.config(), [case.address], log=case.said.append):
        assert speaks_kafka(case.address)
    assert nothing_is_left(case)


def test_stop_ends_the_wait_for_a_foreign_kafka(case: Case) -> None:
    case.stop.set()
    assert case.resolve("external") is None


# Several processes, and those that were killed


def test_of_two_processes_one_starts_it_and_the_other_uses_it(case: Case) -> None:
    with case.process() as first, case.process() as second:
        (one, said_one), (two, said_two) = resolved(first), resolved(second)
    assert (one == 0) != (two == 0)
    said = said_one if one == 0 else said_two
    assert said[-2].startswith("using the Kafka that ")
    assert nothing_is_left(case)


def test_a_second_one_on_the_same_data_is_refused(case: Case) -> None:
    case.start()
    other = free_address()
    with pytest.raises(DataInUse) as used:
        resolve(case.config(), [other], log=case.said.append, stop=case.stop)
    assert str(used.value) == (
        f"{case.data_dir} is in use by the broker of process {os.getpid()}, at {case.address}. Use that one "
        "(kafka.bootstrap_servers, broker.mode: auto), stop it, or choose another folder with broker.data_dir"
    )
    with pytest.raises(DataInUse):
        resolve(case.config("embedded"), [other], log=case.said.append, stop=case.stop)
    assert case.brokers[0].died() is None


def test_after_a_killed_process_its_kafka_is_gone_and_a_new_one_is_started(case: Case) -> None:
    with case.process() as process:
        pid, _ = resolved(process)
        process.kill()
        process.wait()
        # It may still answer, and must not be mistaken for a Kafka that will stay.
        broker = case.start()
    assert broker.pid != pid and not is_alive(pid)
    assert speaks_kafka(case.address) and broker.died() is None


def test_a_killed_kafka_says_so_and_is_started_again_on_its_data(case: Case) -> None:
    broker = case.start()
    cluster = Data(case.data_dir).stamp.read_text()
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)
    assert wait_until(lambda: broker.died() is not None, case.stop, timeout_s=10)
    assert broker.died() == "Kafka was ended by signal 9 (by hand, or by the system for want of memory)"
    broker.stop(timeout_s=5)
    assert case.start().died() is None
    assert Data(case.data_dir).stamp.read_text() == cluster


def test_a_kafka_that_is_being_stopped_is_not_used(case: Case) -> None:
    broker = case.start()
    (case.data_dir / "owner.json").unlink()  # as its owner does first of all
    said: list[str] = []

    def log(line: str) -> None:
        said.append(line)
        broker.stop(timeout_s=5)  # and now that somebody waits, it goes on stopping

    own = resolve(case.config(), [case.address], log=log, stop=case.stop)
    assert own is not None
    case.brokers.append(own)
    assert said[0] == f"another process is starting or stopping Kafka at {case.address}; waiting for it"
    assert own.died() is None and own.pid != broker.pid


def test_a_process_that_waits_for_another_heeds_stop(case: Case) -> None:
    data = Data(case.data_dir)
    data.make()
    claim = Claim(data)
    assert claim.take(case.address)
    told = threading.Event()

    def log(_: str) -> None:
        told.set()
        case.stop.set()

    assert resolve(case.config(), [case.address], log=log, stop=case.stop) is None
    assert told.is_set()
    claim.release()


# What goes wrong, in one line each, with nothing left


def test_a_kafka_that_dies_in_its_start_tells_why(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "dies:2026-11-22 19:17:28 ERROR It is like this (Kafka$)\n")
    with pytest.raises(StartFailed) as failed:
        case.resolve()
    assert str(failed.value) == (
        f"Kafka ended while it was starting: It is like this. All of it is in {case.data_dir}/broker.log"
    )
    assert nothing_is_left(case)


def test_a_format_that_fails_leaves_no_half_made_data(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "cannot format")
    with pytest.raises(StartFailed, match="the tool says why"):
        case.resolve()
    assert not Data(case.data_dir).is_formatted()
    monkeypatch.delenv("FAKE_KAFKA")
    assert case.start().died() is None


def test_a_kafka_that_does_not_answer_in_time_is_ended(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "silent")
    with pytest.raises(NoAnswer, match=r"did not answer at .* within 0\.3 s.*raise broker\.start_timeout_s"):
        case.resolve(start_timeout_s=0.3)
    assert nothing_is_left(case)


def test_stop_ends_a_start(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_KAFKA", "silent")
    threading.Timer(0.5, case.stop.set).start()
    assert case.resolve() is None
    assert nothing_is_left(case)


def test_a_kafka_that_recovers_says_that_it_takes_longer(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.start().stop(timeout_s=5)  # this one leaves no mark of an orderly stop
    monkeypatch.setattr(embedded, "RECOVERY_NOTICE_S", 0.0)
    case.said.clear()
    case.start()
    assert case.said[1] == "Kafka was killed the last time: it recovers its data, a moment more"


def test_a_java_that_is_not_there_leaves_nothing(case: Case) -> None:
    with pytest.raises(JavaRefused):
        case.resolve(java=Path("/no/java"))
    assert nothing_is_left(case)


def test_damaged_data_is_refused_before_anything_runs(case: Case) -> None:
    case.start().stop(timeout_s=5)
    (case.data_dir / "kafka" / "meta.properties").write_bytes(b"\x00\xff garbage")
    with pytest.raises(DataDamaged):
        case.resolve()
    assert nothing_is_left(case)


def test_a_full_disk_is_told_before_anything_runs(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "is_full", lambda _: True)
    with pytest.raises(DiskFull, match=r"MiB free, Kafka wants 64"):
        case.resolve()
    assert nothing_is_left(case)


def test_a_disk_that_fills_up_in_the_start_is_told(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskFull):
        case.resolve()


def test_a_data_folder_that_cannot_be_written_is_told(case: Case) -> None:
    case.data_dir.parent.mkdir(exist_ok=True)
    case.data_dir.touch()
    with pytest.raises(NotWritable, match=r"the folder .*/data cannot be written \(File exists\)"):
        case.resolve()


def test_every_reason_for_no_broker_ends_the_process_with_3_and_a_death_does_not() -> None:
    assert NoBroker.exit_code == 3 and BrokerDied.exit_code is None
    for fault in (PortTaken, StartFailed, DataInUse, DataDamaged, DiskFull, NotWritable, NoAnswer, NotHere):
        assert issubclass(fault, NoBroker)


def test_a_data_folder_that_is_gone_is_made_anew(case: Case) -> None:
    case.start().stop(timeout_s=5)
    shutil.rmtree(case.data_dir)
    assert case.start().died() is None
