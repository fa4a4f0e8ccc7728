"""Why a Kafka ended, from its exit code and what it left behind: one line, and whether to try again helps."""

import re
from pathlib import Path

from campus.addresses import Address
from campus.broker.disk import DiskFull, is_full
from campus.broker.errors import BrokerDied, NoBroker
from campus.broker.process import last_line
from campus.errors import CampusError

FIRST_SIGNAL = 128
KILLED, ASKED_TO_STOP = FIRST_SIGNAL + 9, FIRST_SIGNAL + 15
FROM_OUTSIDE = (KILLED, ASKED_TO_STOP)  # any other signal is the JVM's own doing
CAUSE_CHARACTERS_MAX = 240
TAIL_BYTES = 1 << 20  # what it died of is at the end

EVENT = re.compile(r"^\d{4}-\d\d-\d\d \S+ (?P<level>[A-Z]+) (?P<message>.*?)( \([^()\s]+\))?$")
THROWN = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error)(?:: (?P<message>.*))?$")

DISK_FULL = "No space left on device"
PORT_TAKEN = "Address already in use"
# Kafka tells the cause, closes down in order, and then may log errors that come of closing.
TELLING = (DISK_FULL, PORT_TAKEN, "java.lang.OutOfMemoryError")


class PortTaken(NoBroker):
    def __init__(self, address: Address, by: str) -> None:
        self.address = address
        super().__init__(
            f"{by} at {address}, where the embedded Kafka should run. Stop it, or choose another port "
            "with kafka.bootstrap_servers"
        )


class StartFailed(NoBroker):
    def __init__(self, cause: str, log: Path) -> None:
        self.cause, self.log = cause, log
        super().__init__(f"Kafka ended while it was starting: {cause}. All of it is in {log}")


def why_it_did_not_start(exit_code: int, log: Path, output: Path, address: Address) -> CampusError:
    if exit_code in FROM_OUTSIDE:
        return BrokerDied(f"Kafka {_exit(exit_code)} while it was starting")
    cause = _cause(log, output)
    if is_full(log.parent) or DISK_FULL in cause:
        return DiskFull(log.parent, "broker.data_dir")
    if PORT_TAKEN in cause:
        return PortTaken(address, "something else is bound")
    return StartFailed(cause, log)


def why_it_ended(exit_code: int, log: Path, output: Path) -> str:
    if exit_code in FROM_OUTSIDE:
        return f"Kafka {_exit(exit_code)}"
    if is_full(log.parent):
        return f"Kafka {_exit(exit_code)}: the disk of {log.parent} is full"
    return f"Kafka {_exit(exit_code)}: {_cause(log, output)} ({log})"


def _exit(exit_code: int) -> str:
    if exit_code < FIRST_SIGNAL:
        return f"ended with exit code {exit_code}"
    likely = " (by hand, or by the system for want of memory)" if exit_code == KILLED else ""
    return f"was ended by signal {exit_code - FIRST_SIGNAL}{likely}"


def _cause(log: Path, output: Path) -> str:
    """What the log tells, else what the JVM itself said."""
    cause = cause_in(_tail(log) + "\n" + _tail(output)) or last_line(output)
    return cause[:CAUSE_CHARACTERS_MAX].rstrip(".")


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def cause_in(text: str) -> str | None:
    """The last error in a log, by the innermost exception; one that names the world's fault goes first."""
    causes = []
    level = ""
    for line in text.splitlines():
        if event := EVENT.match(line):
            level = event["level"]
            if level in ("ERROR", "FATAL"):
                causes.append(event["message"])
        elif level in ("ERROR", "FATAL") and (thrown := THROWN.match(line)):
            causes[-1] = thrown["message"] or line.removeprefix("Caused by: ")
    telling = [line for line in text.splitlines() if any(words in line for words in TELLING)]
    if telling:
        return telling[0].strip().removeprefix("Caused by: ")
    return causes[-1] if causes else None
