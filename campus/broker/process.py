"""A child program under a guardian: it ends when we say so, and it ends when we end.

Nothing else of this program starts a long-lived process. What the program prints goes into one file.
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
KILLED_S = 2.0  # for a killed process to be gone
SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # elsewhere than on Unix there is no difference


class GuardedProcess:
    """Started by its construction. `stop_s`: how long it may take to end when we end without a word."""

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
                    start_new_session=True,  # so that Ctrl-C at the terminal is ours alone to hear
                )
            except OSError as error:  # too many processes, most likely
                raise BrokerDied(f"no process can be started for Kafka: {error.strerror}") from error
        assert self._guardian.stdout is not None
        told = self._guardian.stdout.readline()
        if not told:
            self._guardian.wait()
            self._close_pipes()
            raise BrokerDied(f"the process of Kafka did not start: {last_line(output)}")
        self.pid = int(told)
        self._may_live = True  # never kill by a number that may be somebody else's by now

    def exit_code(self) -> int | None:
        """None while it runs; 128 and more tell the signal that ended it, as in a shell."""
        code = self._guardian.poll()
        if code is None or code >= 0:
            return code
        # The guardian itself was killed. Linux has ended the program by then, other systems have not.
        self._kill_program()
        return 128 - code

    def stop(self, *, timeout_s: float) -> None:
        """Ask it to stop, kill it after `timeout_s`; it is gone when this returns. Twice is harmless."""
        self._close_pipes()
        try:
            self._guardian.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._kill_program()
            self._guardian.wait(KILLED_S)
        if self._guardian.returncode < 0:
            self._kill_program()

    def _close_pipes(self) -> None:
        for pipe in (self._guardian.stdin, self._guardian.stdout):
            if pipe is not None:
                pipe.close()

    def _kill_program(self) -> None:
        if self._may_live:
            self._may_live = False
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, SIGKILL)


def last_line(output: Path) -> str:
    lines = output.read_text("utf-8", errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
