"""A child process under a guardian: it ends when we stop it, and also when our own process ends.

Nothing else in this program starts a long-lived process. The child's output goes into one file.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from campus.broker.errors import BrokerDied

GUARDIAN = Path(__file__).with_name("guardian.py")
KILLED_S = 2.0  # how long a killed process may take to end
SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows makes no difference


class GuardedProcess:
    """Started by its constructor, which raises BrokerDied if that fails.

    `stop_s`: how long the child may take to end after our process has died.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, output: Path, stop_s: float, environ: Mapping[str, str]
    ) -> None:
        with output.open("wb") as out:
            try:
                self._guardian = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(GUARDIAN), str(stop_s), *command],
                    cwd=folder,
                    env=environ,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=out,
                    start_new_session=True,  # so that Ctrl-C at the terminal reaches only us
                )
            except OSError as error:  # too many processes, most likely
                raise BrokerDied(f"cannot start a process for Kafka: {error.strerror}") from error
        assert self._guardian.stdin is not None
        assert self._guardian.stdout is not None
        self._stdin = self._guardian.stdin  # its end makes the guardian stop the program
        with self._guardian.stdout as stdout:
            pid_line = stdout.readline()
        if not pid_line:
            self._guardian.wait()
            self._stdin.close()
            raise BrokerDied(f"the process of Kafka did not start: {last_line(output)}")
        self.pid = int(pid_line)
        self._may_be_alive = True  # kill only once: later the pid may belong to another process

    def exit_code(self) -> int | None:
        """None while it runs. As in a shell, 128 + n means that signal n ended it."""
        code = self._guardian.poll()
        if code is None or code >= 0:
            return code
        # The guardian itself was killed. Linux has killed the program with it, other systems have not.
        self._kill_program()
        return 128 - code

    def stop(self, *, timeout_s: float) -> None:
        """Ask it to stop, kill it after `timeout_s`; it has ended when this returns. Idempotent."""
        self._stdin.close()
        try:
            self._guardian.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._kill_program()
            self._guardian.wait(KILLED_S)
        if self._guardian.returncode < 0:
            self._kill_program()

    def _kill_program(self) -> None:
        if self._may_be_alive:
            self._may_be_alive = False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, SIGKILL)


def last_line(output: Path) -> str:
    lines = output.read_text("utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
