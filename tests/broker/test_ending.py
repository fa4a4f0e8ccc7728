"""What a Kafka died of, read from its log as Kafka 4.3.1 writes it."""

from pathlib import Path

import pytest

from campus.addresses import Address
from campus.broker import ending
from campus.broker.disk import DiskFull
from campus.broker.ending import PortTaken, StartFailed, cause_in, why_it_did_not_start, why_it_ended
from campus.broker.errors import BrokerDied

HERE = Address("127.0.0.1", 9092)

CALM = (
    "2026-11-22 19:17:35 WARN [QuorumController id=1] Performing controller activation. (QuorumController)\n"
)
BAD_NODE = CALM + (
    "2026-11-22 19:17:28 ERROR Exiting Kafka due to fatal exception (Kafka$)\n"
    "java.lang.RuntimeException: Stored node id 7 doesn't match previous node id 1 in /d/meta.properties.\n"
    "\tat kafka.server.KafkaRaftServer.<init>(KafkaRaftServer.scala:55)\n"
    "\tat kafka.Kafka$.main(Kafka.scala:75)\n"
)
TAKEN = CALM + (
    "2026-11-22 19:17:36 ERROR Unable to start acceptor for CLIENT (DataPlaneAcceptor)\n"
    "org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:9092: "
    "Address already in use.\n"
    "\tat kafka.network.Acceptor.openServerSocket(SocketServer.scala:615)\n"
    "Caused by: java.net.BindException: Address already in use\n"
    "2026-11-22 19:17:37 ERROR [BrokerServer id=1] Fatal error during broker startup. (BrokerServer)\n"
    "java.lang.InterruptedException\n"
)
FULL = CALM + (
    "2026-11-22 19:17:26 ERROR Error while writing to /d/leader-epoch-checkpoint (LogDirFailureChannel)\n"
    "java.io.IOException: No space left on device\n"
    "\tat java.base/java.io.FileOutputStream.writeBytes(Native Method)\n"
    "2026-11-22 19:17:26 ERROR Shutdown broker because all log dirs in /d have failed (LogManager)\n"
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "broker.log"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    output = tmp_path / "broker.out"
    output.touch()
    return output


def test_the_cause_is_the_last_error_by_its_innermost_exception() -> None:
    assert cause_in(BAD_NODE) == ("Stored node id 7 doesn't match previous node id 1 in /d/meta.properties.")
    wrapped = CALM + (
        "2026-11-22 19:17:28 FATAL Fatal error during startup. (KafkaRaftServer)\n"
        "java.lang.RuntimeException: outer\n"
        "\tat kafka.Kafka.main(Kafka.scala)\n"
        "Caused by: org.apache.kafka.common.errors.CorruptRecordException: inner\n"
    )
    assert cause_in(wrapped) == "inner"


def test_an_exception_without_a_message_is_told_by_its_name() -> None:
    text = "2026-11-22 19:17:28 ERROR Oh (Kafka$)\njava.lang.NullPointerException\n"
    assert cause_in(text) == "java.lang.NullPointerException"


def test_an_error_without_an_exception_is_told_as_it_is() -> None:
    assert cause_in("2026-11-22 19:17:28 ERROR Shutting down now (Kafka$)\n") == "Shutting down now"


def test_a_warning_is_no_cause() -> None:
    assert cause_in(CALM) is None


def test_a_fault_of_the_world_goes_before_what_came_of_it() -> None:
    assert "Address already in use" in str(cause_in(TAKEN))
    assert "No space left on device" in str(cause_in(FULL))


def test_a_port_that_is_bound_ends_the_start(log: Path, output: Path) -> None:
    log.write_text(TAKEN)
    error = why_it_did_not_start(1, log, output, HERE)
    assert isinstance(error, PortTaken)
    assert str(error).startswith("something else is bound at 127.0.0.1:9092, where the embedded Kafka should")


def test_a_full_disk_ends_the_start(log: Path, output: Path) -> None:
    log.write_text(FULL)
    assert isinstance(why_it_did_not_start(1, log, output, HERE), DiskFull)


def test_a_kafka_that_dies_of_a_full_disk_says_so(
    log: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(FULL)
    assert why_it_ended(1, log, output).startswith(
        "Kafka ended with exit code 1: java.io.IOException: No space"
    )
    # Its log is on that disk too, so there may be nothing in it.
    log.write_text("")
    monkeypatch.setattr(ending, "is_full", lambda _: True)
    assert why_it_ended(134, log, output) == f"Kafka was ended by signal 6: the disk of {log.parent} is full"


def test_any_other_fault_of_a_start_tells_its_cause_and_the_log(log: Path, output: Path) -> None:
    log.write_text(BAD_NODE)
    error = why_it_did_not_start(1, log, output, HERE)
    assert isinstance(error, StartFailed) and error.exit_code == 3
    assert str(error) == (
        "Kafka ended while it was starting: Stored node id 7 doesn't match previous node id 1 in "
        f"/d/meta.properties. All of it is in {log}"
    )


def test_what_the_jvm_says_counts_when_there_is_no_log(log: Path, output: Path) -> None:
    output.write_text("Error occurred during initialization of VM\nToo small maximum heap\n\n")
    assert "starting: Too small maximum heap." in str(why_it_did_not_start(1, log, output, HERE))


def test_to_run_out_of_memory_is_told_by_the_jvm(log: Path, output: Path) -> None:
    log.write_text(CALM)
    output.write_text("Terminating due to java.lang.OutOfMemoryError: Java heap space\n")
    assert "java.lang.OutOfMemoryError: Java heap space" in why_it_ended(3, log, output)


def test_killed_in_its_start_it_may_be_started_again(log: Path, output: Path) -> None:
    error = why_it_did_not_start(137, log, output, HERE)
    assert isinstance(error, BrokerDied) and error.exit_code is None


def test_killed_it_says_so(log: Path, output: Path) -> None:
    assert why_it_ended(137, log, output) == (
        "Kafka was ended by signal 9 (by hand, or by the system for want of memory)"
    )
    assert why_it_ended(143, log, output) == "Kafka was ended by signal 15"
