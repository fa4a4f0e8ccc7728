"""Keeps one program from outliving whoever started it. A script of its own, of the standard library alone.

    python -I -S guardian.py STOP_S PROGRAM ARGUMENT…

It starts the program, says its process id in one line, and waits. When its standard input ends, since
the parent closed it or died in whatever way, the program is asked to stop (SIGTERM) and killed STOP_S
later. If this guardian is killed itself, Linux kills the program; elsewhere the parent has to. Its exit
code is the program's, or 128 and the number of the signal that ended it.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

PR_SET_PDEATHSIG = 1  # prctl(2): the signal that a process gets when the thread that made it dies
UNABLE = 127


def main(arguments: list[str]) -> int:
    stop_s, command = float(arguments[0]), arguments[1:]
    # Only the end of our input stops the program: Ctrl-C and a closed terminal are the parent's to hear.
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        # Made in the main thread, which is the one that lives to the end: see PR_SET_PDEATHSIG.
        program = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),  # our own output is for the process id, and ends when we do
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
    # os.read, not sys.stdin: its lock would be held when the interpreter ends.
    while os.read(0, 1024):
        pass
    program.terminate()
    try:
        program.wait(stop_s)
    except subprocess.TimeoutExpired:
        program.kill()


def _die_with_guardian() -> Callable[[], None] | None:
    """For Linux: what the child does between fork and exec, so that it cannot outlive us."""
    if not sys.platform.startswith("linux"):
        return None
    import ctypes

    libc, guardian = ctypes.CDLL(None), os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:  # it died in between, so the kernel would tell nobody
            os._exit(UNABLE)

    return ask_the_kernel


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
