"""Why a Kafka ended, read from its log as Kafka 4.3.1 writes it."""

from pathlib import Path

import pytest

from campus.addresses import Address
from campus.broker import diagnosis
from campus.broker.diagnosis import PortTaken, StartFailed, exit_reason, find_cause, start_error
from campus.broker.disk import DiskFull
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
    "2026-11-22 19:17:26 ERROR Error while disk_errors to /d/leader-epoch-checkpoint (LogDirFailureChannel)\n"
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


def test_the_cause_is_the_innermost_exception_of_the_last_error() -> None:
    assert find_cause(BAD_NODE) == (
        "Stored node id 7 doesn't match previous node id 1 in /d/meta.properties."
    )
    wrapped = CALM + (
        "2026-11-22 19:17:28 FATAL Fatal error during startup. (KafkaRaftServer)\n"
        "java.lang.RuntimeException: outer\n"
        "\tat kafka.Kafka.main(Kafka.scala)\n"
        "Caused by: org.apache.kafka.common.errors.CorruptRecordException: inner\n"
    )
    assert find_cause(wrapped) == "inner"


def test_an_exception_without_a_message_is_reported_by_its_class() -> None:
    text = "2026-11-22 19:17:28 ERROR Oh (Kafka$)\njava.lang.NullPointerException\n"
    assert find_cause(text) == "java.lang.NullPointerException"


def test_an_error_without_an_exception_is_reported_by_its_message() -> None:
    assert find_cause("2026-11-22 19:17:28 ERROR Shutting down now (Kafka$)\n") == "Shutting down now"


def test_a_warning_is_not_a_cause() -> None:
    assert find_cause(CALM) is None


def test_a_root_cause_takes_precedence_over_later_errors() -> None:
    assert "Address already in use" in str(find_cause(TAKEN))
    assert "No space left on device" in str(find_cause(FULL))


def test_a_port_in_use_is_reported_as_such(log: Path, output: Path) -> None:
    log.write_text(TAKEN)
    error = start_error(1, log, output, HERE)
    assert isinstance(error, PortTaken)
    assert str(error).startswith("another program listens at 127.0.0.1:9092, where the embedded Kafka should")


def test_a_full_disk_during_the_start_is_reported_as_such(log: Path, output: Path) -> None:
    log.write_text(FULL)
    assert isinstance(start_error(1, log, output, HERE), DiskFull)


def test_a_full_disk_is_reported_also_when_the_log_is_empty(
    log: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.write_text(FULL)
    assert exit_reason(1, log, output).startswith(
        "Kafka ended with exit code 1: java.io.IOException: No space"
    )
    # The log is on the same disk, so it may be empty.
    log.write_text("")
    monkeypatch.setattr(diagnosis, "is_full", lambda _: True)
    assert exit_reason(134, log, output) == f"Kafka was ended by signal 6: the disk of {log.parent} is full"


def test_any_other_failed_start_is_reported_with_its_cause_and_the_log(log: Path, output: Path) -> None:
    log.write_text(BAD_NODE)
    error = start_error(1, log, output, HERE)
    assert isinstance(error, StartFailed) and error.exit_code == 3
    assert str(error) == (
        "Kafka ended during its start: Stored node id 7 doesn't match previous node id 1 in "
        f"/d/meta.properties. See its log: {log}"
    )


def test_without_a_log_the_output_of_the_jvm_gives_the_cause(log: Path, output: Path) -> None:
    output.write_text("Error occurred during initialization of VM\nToo small maximum heap\n\n")
    assert "during its start: Too small maximum heap." in str(start_error(1, log, output, HERE))


def test_out_of_memory_is_found_in_the_output_of_the_jvm(log: Path, output: Path) -> None:
    log.write_text(CALM)
    output.write_text("Terminating due to java.lang.OutOfMemoryError: Java heap space\n")
    assert "java.lang.OutOfMemoryError: Java heap space" in exit_reason(3, log, output)


def test_a_kafka_that_was_killed_during_its_start_may_be_started_again(log: Path, output: Path) -> None:
    error = start_error(137, log, output, HERE)
    assert isinstance(error, BrokerDied) and error.exit_code is None


def test_a_kill_signal_is_reported_with_its_likely_sender(log: Path, output: Path) -> None:
    assert exit_reason(137, log, output) == (
        "Kafka was ended by signal 9 (by a user, or by the system when memory ran out)"
    )
    assert exit_reason(143, log, output) == "Kafka was ended by signal 15"
