"""Why a Kafka ended, in one line, from its exit code and what it left in its log and output."""

import re
from pathlib import Path

from campus.addresses import Address
from campus.broker.disk import DiskFull, is_full
from campus.broker.errors import BrokerDied, NoBroker
from campus.broker.process import last_line
from campus.errors import CampusError

FIRST_SIGNAL = 128
SIGKILLED, SIGTERMED = FIRST_SIGNAL + 9, FIRST_SIGNAL + 15
STOPPED_FROM_OUTSIDE = (SIGKILLED, SIGTERMED)  # the JVM raises any other signal itself
CAUSE_CHARS_MAX = 240
TAIL_BYTES = 1 << 20  # the cause is at the end of the log

EVENT = re.compile(r"^\d{4}-\d\d-\d\d \S+ (?P<level>[A-Z]+) (?P<message>.*?)( \([^()\s]+\))?$")
EXCEPTION = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error)(?:: (?P<message>.*))?$")

DISK_FULL = "No space left on device"
PORT_TAKEN = "Address already in use"
# Kafka logs the cause, shuts down in order, and may then log errors that only result from the shutdown.
ROOT_CAUSES = (DISK_FULL, PORT_TAKEN, "java.lang.OutOfMemoryError")


class PortTaken(NoBroker):
    def __init__(self, address: Address, fact: str) -> None:
        super().__init__(
            f"{fact} at {address}, where the embedded Kafka should run. Stop it, or choose another port "
            "with kafka.bootstrap_servers"
        )


class OtherKafkaAnswers(PortTaken):
    def __init__(self, address: Address) -> None:
        super().__init__(address, "another Kafka answers")


class StartFailed(NoBroker):
    def __init__(self, cause: str, log: Path) -> None:
        super().__init__(f"Kafka ended during its start: {cause}. See its log: {log}")


def start_error(exit_code: int, log: Path, output: Path, address: Address) -> CampusError:
    """The error for a Kafka that ended during its start: BrokerDied if a retry may help, else NoBroker."""
    if exit_code in STOPPED_FROM_OUTSIDE:
        return BrokerDied(f"Kafka {_exit(exit_code)} during its start")
    cause = _cause(log, output)
    if is_full(log.parent) or DISK_FULL in cause:
        return DiskFull(log.parent, "broker.data_dir")
    if PORT_TAKEN in cause:
        return PortTaken(address, "another program listens")
    return StartFailed(cause, log)


def exit_reason(exit_code: int, log: Path, output: Path) -> str:
    """Why a Kafka that had been running ended."""
    if exit_code in STOPPED_FROM_OUTSIDE:
        return f"Kafka {_exit(exit_code)}"
    if is_full(log.parent):
        return f"Kafka {_exit(exit_code)}: the disk of {log.parent} is full"
    return f"Kafka {_exit(exit_code)}: {_cause(log, output)} ({log})"


def _exit(exit_code: int) -> str:
    if exit_code < FIRST_SIGNAL:
        return f"ended with exit code {exit_code}"
    likely = " (by a user, or by the system when memory ran out)" if exit_code == SIGKILLED else ""
    return f"was ended by signal {exit_code - FIRST_SIGNAL}{likely}"


def _cause(log: Path, output: Path) -> str:
    """From Kafka's log, else from what the JVM itself printed."""
    cause = find_cause(_tail(log) + "\n" + _tail(output)) or last_line(output)
    return cause[:CAUSE_CHARS_MAX].rstrip(".")


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def find_cause(text: str) -> str | None:
    """The first line with a root cause, else the innermost exception of the last error, if there is one."""
    causes = []
    level = ""
    for line in text.splitlines():
        if any(words in line for words in ROOT_CAUSES):
            return line.strip().removeprefix("Caused by: ")
        if event := EVENT.match(line):
            level = event["level"]
            if level in ("ERROR", "FATAL"):
                causes.append(event["message"])
        elif level in ("ERROR", "FATAL") and (exception := EXCEPTION.match(line)):
            causes[-1] = exception["message"] or line.removeprefix("Caused by: ")
    return causes[-1] if causes else None
