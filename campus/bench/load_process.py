"""Runs work in a process of its own, which shares no interpreter with the system it measures.

In one interpreter, the threads of the system and of the load would wait for each other, up to 5 ms a turn,
and every measured latency would include that.
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

MEANWHILE_EVERY_S = 0.25
JOIN_TIMEOUT_S = 5.0
SWITCH_INTERVAL_S = 0.0005  # a thread that takes a time must not wait 5 ms for its turn

Report = Callable[[int], None]
R = TypeVar("R")


class BenchFailed(CampusError):
    """The measurement could not be made."""

    exit_code = 1


def run_in_load_process(
    work: Callable[..., R], *arguments: Any, on_progress: Report, meanwhile: Callable[[], None]
) -> R:
    """Run `work(report, *arguments)` in another process and return its result.

    Every MEANWHILE_EVERY_S, `meanwhile` is called, and `on_progress` with what the work reported last.
    However this ends, the other process ends with it. Raises BenchFailed if the work raises a CampusError or
    its process dies.
    """
    # Not a Pool, which waits forever if its process dies; nor a ProcessPoolExecutor, which before Python 3.14
    # cannot kill its own. Spawned, not forked: a fork would copy locks held by threads it does not have.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    done = context.Value("q", 0, lock=False)
    process = context.Process(target=_run, args=(sender, done, work, arguments), name="load", daemon=True)
    with signal_handler(signal.SIGINT, signal.SIG_IGN):  # inherited: its parent handles Ctrl-C, and ends it
        process.start()
    sender.close()  # else the receiver would never see EOF
    try:
        while not receiver.poll(MEANWHILE_EVERY_S):
            meanwhile()
            on_progress(done.value)
        result: R | BenchFailed = receiver.recv()
    except EOFError:
        raise BenchFailed(
            "the load process ended without a result. Probably it was killed, or crashed with the error "
            "above. Run the test again"
        ) from None
    finally:
        process.kill()
        process.join(JOIN_TIMEOUT_S)
        receiver.close()
    if isinstance(result, BenchFailed):
        raise result
    return result


@contextmanager
def signal_handler(number: int, handler: Any) -> Iterator[None]:
    """Handle a signal in this way for as long as the block lasts."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _run(pipe: Connection, done: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    logs.set_up("WARNING", "text")
    sys.setswitchinterval(SWITCH_INTERVAL_S)

    def report(count: int) -> None:
        done.value = count

    try:
        pipe.send(work(report, *arguments))
    except CampusError as error:
        pipe.send(BenchFailed(str(error)))
