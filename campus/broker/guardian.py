"""Keeps a program from outliving the process that started it. A script of the standard library alone.

    python -I -S guardian.py STOP_S PROGRAM ARGUMENT…

It starts the program, prints its process id on one line, and waits. When its standard input ends, because the
parent closed it or died, it asks the program to stop (SIGTERM) and kills it STOP_S later. If the guardian
itself is killed, Linux kills the program; on other systems the parent has to. Its exit code is the program's,
or 128 + n if signal n ended the program.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when the thread that started it dies
UNABLE = 127


def main(arguments: list[str]) -> int:
    stop_s, command = float(arguments[0]), arguments[1:]
    # Only the end of our input stops the program; Ctrl-C and a closed terminal are for the parent.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        # Start it in the main thread, which lives to the end: see PR_SET_PDEATHSIG.
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # our stdout is only for the process id
            preexec_fn=_die_with_guardian(),
        )
    except OSError as error:
        print(f"cannot start {command[0]}: {error.strerror}", file=sys.stderr)
        return UNABLE
    signal.signal(signal.SIGTERM, lambda *_: program.terminate())
    print(program.pid, flush=True)
    threading.Thread(target=_stop_at_end_of_input, args=(program, stop_s), daemon=True).start()
    code = program.wait()
    return code if code >= 0 else 128 - code


def _stop_at_end_of_input(program: "subprocess.Popen[bytes]", stop_s: float) -> None:
    # os.read, not sys.stdin, whose lock would be held when the interpreter exits.
    while os.read(0, 1024):
        pass
    program.terminate()
    try:
        program.wait(stop_s)
    except subprocess.TimeoutExpired:
        program.kill()


def _die_with_guardian() -> Callable[[], None] | None:
    """On Linux: what the child does between fork and exec, so that it cannot outlive us."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc, guardian = ctypes.CDLL(None), os.getpid()

    def set_death_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:  # the guardian died before prctl, so no signal will come
            os._exit(UNABLE)

    return set_death_signal


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
