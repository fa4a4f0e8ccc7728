"""The guarded process: it ends when it is stopped, and when the process that started it has died."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from campus.addresses import wait_until
from campus.broker.errors import BrokerDied
from campus.broker.process import GuardedProcess
from tests.support.kafka import is_alive

LIVES = "import time; print('up', flush=True); time.sleep(60)"
IGNORES_SIGTERM = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)
PRINTS_SIGNALS = """
import signal, time
def on_signal(number, _):
    print(number, flush=True)
    raise SystemExit
signal.signal(2, on_signal), signal.signal(15, on_signal)
print('up', flush=True)
time.sleep(60)
"""

# A parent that starts a guarded process, prints its pid, and waits to be killed.
PARENT = """
import sys
from pathlib import Path
from campus.broker.process import GuardedProcess
folder, program, stop_s = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
guarded = GuardedProcess(
    [sys.executable, "-c", program], folder=folder, output=folder / "out", stop_s=stop_s, environ={}
)
print(guarded.pid, flush=True)
sys.stdin.read()
"""


def soon(predicate: object) -> bool:
    assert callable(predicate)
    return wait_until(predicate, Event(), timeout_s=10)


def run(folder: Path, program: str) -> GuardedProcess:
    return GuardedProcess(
        [sys.executable, "-c", program], folder=folder, output=folder / "out", stop_s=10, environ={}
    )


def is_up(folder: Path) -> bool:
    return soon(lambda: "up" in (folder / "out").read_text())


@pytest.fixture
def parent(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator["tuple[subprocess.Popen[str], int]"]:
    program, stop_s = request.param
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), program, str(stop_s)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
        process.kill()


def test_it_is_stopped_in_order(tmp_path: Path) -> None:
    process = run(tmp_path, LIVES)
    assert is_up(tmp_path) and process.exit_code() is None
    process.stop(timeout_s=5)
    assert process.exit_code() == 128 + signal.SIGTERM
    assert not is_alive(process.pid)
    process.stop(timeout_s=5)


def test_a_process_that_ignores_the_signal_is_killed_in_time(tmp_path: Path) -> None:
    process = run(tmp_path, IGNORES_SIGTERM)
    assert is_up(tmp_path)
    began_s = time.monotonic()
    process.stop(timeout_s=0.3)
    assert time.monotonic() - began_s < 5
    assert process.exit_code() == 128 + signal.SIGKILL


def test_its_exit_code_and_its_output_are_kept(tmp_path: Path) -> None:
    process = run(tmp_path, "import sys; print('a line'); sys.exit(7)")
    assert soon(lambda: process.exit_code() is not None)
    assert process.exit_code() == 7
    assert (tmp_path / "out").read_text() == "a line\n"
    process.stop(timeout_s=1)


def test_a_missing_program_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BrokerDied, match=r"cannot start /no/java: No such file"):
        GuardedProcess(["/no/java"], folder=tmp_path, output=tmp_path / "out", stop_s=1, environ={})


@pytest.mark.parametrize("parent", [(LIVES, 20), (IGNORES_SIGTERM, 0.2)], indirect=True)
def test_it_does_not_outlive_a_killed_parent(
    tmp_path: Path, parent: "tuple[subprocess.Popen[str], int]"
) -> None:
    process, pid = parent
    assert is_up(tmp_path) and is_alive(pid)
    process.kill()
    assert soon(lambda: not is_alive(pid))


@pytest.mark.parametrize("parent", [(PRINTS_SIGNALS, 20)], indirect=True)
def test_ctrl_c_reaches_only_the_parent(tmp_path: Path, parent: "tuple[subprocess.Popen[str], int]") -> None:
    process, pid = parent
    assert is_up(tmp_path)
    os.killpg(process.pid, signal.SIGINT)  # a terminal signals the whole process group of the parent
    process.wait(10)
    assert soon(lambda: not is_alive(pid))
    assert (tmp_path / "out").read_text() == "up\n15\n"  # only SIGTERM, from its guardian


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="on other systems the parent has to end it")
def test_it_does_not_outlive_a_killed_guardian(tmp_path: Path) -> None:
    process = run(tmp_path, IGNORES_SIGTERM)
    assert is_up(tmp_path)
    os.kill(int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert soon(lambda: not is_alive(process.pid))
    assert soon(lambda: process.exit_code() == 128 + signal.SIGKILL)
    process.stop(timeout_s=1)
