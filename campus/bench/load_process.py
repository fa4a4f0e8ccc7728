"""Whoever measures works in a process of its own: it shares no interpreter with what it measures.

In one interpreter the system's threads and the load's would wait for each other, up to 5 ms a turn, and a
latency would be of both.
"""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from campus import logs
from campus.errors import CampusError

LOOK_EVERY_S = 0.05
END_S = 5.0
SWITCH_S = 0.0005  # whoever notes a time there must not wait 5 ms for another thread's turn

Tell = Callable[[int], None]
R = TypeVar("R")


class BenchFailed(CampusError):
    """What was to be measured could not be."""

    exit_code = 1


def run_in_load_process(
    work: Callable[..., R],
    *arguments: Any,
    on_progress: Callable[[int], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> R:
    """`work(tell, *arguments)` in another process; what it tells comes to `on_progress`.

    `meanwhile` is called here every now and then as long as it works. If this one is interrupted, the other
    is ended. Raises BenchFailed with what the other had to say.
    """
    # Started anew, not forked: a fork would copy the locks of threads that it does not have.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, work, arguments), name="load", daemon=True)
    with _deaf_to_interrupts():
        process.start()
    theirs.close()  # so that its end is heard here
    try:
        result: R = _result(ours, on_progress, meanwhile)
        return result
    finally:
        process.kill()
        process.join(END_S)
        ours.close()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is started meanwhile stays so for good: Ctrl-C is for the one who started it, and who ends it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _result(pipe: Connection, on_progress: Callable[[int], None], meanwhile: Callable[[], None]) -> Any:
    while True:
        meanwhile()
        if not pipe.poll(LOOK_EVERY_S):
            continue
        try:
            word, value = pipe.recv()
        except EOFError:
            raise BenchFailed(
                "the process that measures ended without a word. Probably it was killed, or what it wrote "
                "above says why. Run it again"
            ) from None
        if word == "told":
            on_progress(value)
        elif word == "failed":
            raise BenchFailed(value)
        else:
            return value


def _work(pipe: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    logs.set_up("WARNING", "text")
    sys.setswitchinterval(SWITCH_S)
    try:
        result = work(lambda value: pipe.send(("told", value)), *arguments)
    except CampusError as error:
        pipe.send(("failed", str(error)))
    else:
        pipe.send(("done", result))
