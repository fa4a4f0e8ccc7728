"""The embedded Kafka for real: what it serves, what it keeps, and what happens when a process is killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from campus.addresses import speaks_kafka, wait_until
from campus.broker.data import DataFolder
from campus.broker.diagnosis import StartFailed
from campus.broker.disk import FREE_BYTES_MIN, DiskFull
from campus.broker.embedded import EmbeddedBroker
from campus.broker.resolve import resolve
from campus.config.settings import BrokerConfig, Config
from campus.kafka.clients import admin
from tests.support.kafka import OneKafka, free_address, is_alive, kafka_tool

MIB = 1 << 20

# A process that resolves in mode auto, prints its log, and keeps its broker until it is killed or stdin ends.
RESOLVER = """
import sys
from pathlib import Path
from threading import Event
from campus.broker.resolve import resolve
from campus.config.settings import BrokerConfig, Config, KafkaConfig
broker_config = BrokerConfig(data_dir=Path(sys.argv[2]), start_timeout_s=90)
config = Config(kafka=KafkaConfig(bootstrap_servers=sys.argv[1]), broker=broker_config)
broker = resolve(config, log=lambda line: print(line, flush=True), stop=Event())
print("resolved", broker.pid if broker else 0, flush=True)
sys.stdin.read()
if broker:
    broker.stop(timeout_s=5)
"""


def make_topic(kafka: OneKafka, name: str) -> None:
    with admin(kafka.kafka) as client:
        client.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
        client.wait_for_topics([name])


def topics(kafka: OneKafka) -> set[str]:
    with admin(kafka.kafka) as client:
        return set(client.list_topics())


def a_process(kafka: OneKafka) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", RESOLVER, kafka.bootstrap_servers, str(kafka.config.data_dir)]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def resolved(process: "subprocess.Popen[str]") -> int:
    """The pid of the Kafka that it runs, 0 if it uses the Kafka of another process."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("resolved "):
            return int(line.split()[1])
    raise AssertionError("".join(lines))


def end(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()


def guardian_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def soon(predicate: object) -> bool:
    assert callable(predicate)
    return wait_until(predicate, Event(), timeout_s=20)


@pytest.fixture
def shared_home(tmp_path: Path) -> OneKafka:
    """A port and a data folder; nothing runs there yet."""
    return OneKafka(tmp_path / "data")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, a little larger than the free space that Kafka needs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={FREE_BYTES_MIN + 16 * MIB}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user cannot mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            return


def write_until_it_dies(kafka: OneKafka, embedded: EmbeddedBroker) -> None:
    for number in range(1000):
        try:
            make_topic(kafka, f"more-{number}")
        except Exception:  # the client may raise anything
            assert soon(lambda: embedded.exit_reason() is not None)
            return
    raise AssertionError("the disk is not full")


# What it serves and keeps


def test_topics_can_be_created_as_soon_as_it_is_ready(kafka: OneKafka, unique_prefix: str) -> None:
    make_topic(kafka, unique_prefix + "a")
    assert unique_prefix + "a" in topics(kafka)


def test_topics_are_not_created_automatically(kafka: OneKafka, unique_prefix: str) -> None:
    with admin(kafka.kafka) as client:
        client.describe_topics([unique_prefix + "b"])
    assert unique_prefix + "b" not in topics(kafka)


def test_kafkas_own_tools_see_the_topics(kafka: OneKafka, unique_prefix: str) -> None:
    make_topic(kafka, unique_prefix + "c")
    assert unique_prefix + "c" in kafka_tool(kafka, "TopicCommand", "--list").split()


def test_data_survives_a_stop_and_a_kill(own_broker: OneKafka) -> None:
    make_topic(own_broker, "kept")
    began_s = time.monotonic()
    own_broker.stop()
    assert time.monotonic() - began_s < 5, "it was killed, not stopped"
    assert not DataFolder(own_broker.config.data_dir).was_killed()
    assert not speaks_kafka(own_broker.address)
    own_broker.start()
    assert "kept" in topics(own_broker)
    assert (
        own_broker.kill() == "Kafka was ended by signal 9 (by a user, or by the system when memory ran out)"
    )
    own_broker.start()
    assert "kept" in topics(own_broker)


@pytest.mark.long
def test_the_data_folder_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    broker = OneKafka(tmp_path / "Käse, Brot = 1\\2")
    broker.start()
    make_topic(broker, "kept")
    broker.stop()
    assert (broker.config.data_dir / "kafka" / "kept-0").is_dir()


# Several processes, some of them killed


@pytest.mark.long
def test_of_two_processes_that_start_together_one_runs_kafka_and_both_use_it(shared_home: OneKafka) -> None:
    processes = [a_process(shared_home), a_process(shared_home)]
    running = [resolved(process) for process in processes]
    assert sorted(pid > 0 for pid in running) == [False, True]
    make_topic(shared_home, "shared")
    for process in processes:
        end(process)
    assert not any(map(is_alive, filter(None, running)))


def test_a_killed_process_leaves_no_kafka_and_the_next_process_starts_its_own(shared_home: OneKafka) -> None:
    process = a_process(shared_home)
    pid = resolved(process)
    make_topic(shared_home, "kept")
    process.kill()
    process.wait()  # until it is dead it holds the lock, and its Kafka would be used
    # For a moment the old Kafka still answers, and holds port and data.
    config = Config(
        kafka=shared_home.kafka,
        broker=BrokerConfig(data_dir=shared_home.config.data_dir, start_timeout_s=90.0),
    )
    broker = resolve(config, log=shared_home.logged.append, stop=Event())
    assert broker is not None and broker.pid != pid
    assert not is_alive(pid)
    assert "kept" in topics(shared_home)
    broker.stop(timeout_s=5)
    process.communicate()


def test_kafka_ends_with_a_killed_guardian(own_broker: OneKafka) -> None:
    pid = own_broker.pid
    os.kill(guardian_of(pid), signal.SIGKILL)
    assert soon(lambda: not is_alive(pid))
    own_broker.stop()
    own_broker.start()


def test_ctrl_c_at_the_terminal_does_not_reach_it(kafka: OneKafka) -> None:
    assert os.getpgid(kafka.pid) != os.getpgid(0)
    assert os.getsid(kafka.pid) != os.getsid(0)


# Errors


@pytest.mark.long
def test_a_disk_that_fills_up_is_reported_as_the_reason(small_disk: Path) -> None:
    broker = OneKafka(small_disk / "data")
    embedded = EmbeddedBroker(broker.config, broker.address, log=broker.logged.append)
    embedded.start(Event())
    try:
        fill(small_disk)
        write_until_it_dies(broker, embedded)
        assert str(embedded.exit_reason()).endswith(f": the disk of {small_disk}/data is full")
    finally:
        embedded.stop(timeout_s=5)
    with pytest.raises(DiskFull, match=r"\(0 MiB free, Kafka needs 64\)"):
        broker.start()
    (small_disk / "filler").unlink()
    broker.start()
    broker.stop()


def test_an_unreadable_log_is_reported_with_kafkas_own_message(own_broker: OneKafka) -> None:
    own_broker.stop()
    metadata = own_broker.config.data_dir / "kafka" / "__cluster_metadata-0"
    for checkpoint in metadata.glob("*.checkpoint"):
        checkpoint.write_bytes(b"garbage")
    with pytest.raises(StartFailed, match=r"^Kafka ended during its start: .*broker\.log$"):
        own_broker.start()


def test_a_heap_that_java_refuses_is_reported_with_its_own_message(shared_home: OneKafka) -> None:
    config = BrokerConfig(data_dir=shared_home.config.data_dir, heap="1m")
    broker = EmbeddedBroker(config, free_address(), log=shared_home.logged.append)
    with pytest.raises(StartFailed, match="heap"):
        broker.start(Event())
