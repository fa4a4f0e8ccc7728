"""Who drives kafka-python's loop: a thread of its own, or the asyncio loop of the thread that uses it.

What that loop is given runs where it is driven, one thing after the other. A thread serves callers on any
thread. An asyncio loop serves its own thread alone, and spares each round two changes of thread, for each of
which the interpreter has to be won first: by HTTP that is 1.8 times the orders at 32 connections, 1.4 times
at 256, 1.1 times at 1 (benchmarks/http, in one run).
"""

import asyncio
import logging
import selectors
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeAlias, TypeVar

from kafka.future import Future
from kafka.net.selector import NetworkSelector

TURNS_MAX = 100  # of kafka-python's loop in one of asyncio's, which others wait for
# asyncio's clock may count whole milliseconds; a timer that came too early would only have to be set again.
TIMER_SLACK_S = 0.001

T = TypeVar("T")

log = logging.getLogger("writer")


class Watch(selectors.DefaultSelector):
    """What kafka-python's loop waits for.

    Twice a round it asks for the key of a socket that is not there yet, and the text of the error, which
    nobody reads, has the system asked for both of its addresses. By the socket's number there is nothing to
    ask: a twentieth of a round of one order.
    """

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        number = fileobj.fileno()
        return super().get_key(fileobj if number < 0 else number)


class Driver(Protocol):
    def soon(self, callback: Callable[[], Any]) -> None:
        """Have the loop call it."""

    def wait_for(self, told: "SimpleQueue[T]", timeout_s: float | None) -> T:
        """What the loop puts there, while it goes on. Raises queue.Empty when the time is over."""

    def is_here(self) -> bool:
        """Whether the caller is in the loop, and would wait for itself."""

    def stop(self, timeout_s: float) -> None:
        """Drive it no more, and say so to `ended`, once."""


# Made of the loop, a name, and what is called when the loop is over, be it that it broke.
MakeDriver: TypeAlias = Callable[[NetworkSelector, str, Callable[[], None]], Driver]


class OwnThread:
    def __init__(self, net: NetworkSelector, name: str, ended: Callable[[], None]) -> None:
        self._net = net
        self._ended = ended
        self._stopped = Future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def soon(self, callback: Callable[[], Any]) -> None:
        self._net.call_soon_threadsafe(callback)

    def wait_for(self, told: "SimpleQueue[T]", timeout_s: float | None) -> T:
        return told.get(timeout=timeout_s)

    def is_here(self) -> bool:
        return threading.current_thread() is self._thread

    def stop(self, timeout_s: float) -> None:
        if not self._stopped.is_done:
            self._stopped.success(None)
        self._net.wakeup()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("%s did not end within %s s: a callback blocks it", self._thread.name, timeout_s)

    def _run(self) -> None:
        try:
            self._net.poll(future=self._stopped)
        finally:  # also if the loop itself broke: nobody may wait for ever
            self._ended()


class InEventLoop:
    """Driven by the asyncio loop that runs when it is used; when none runs, by whoever waits."""

    def __init__(self, net: NetworkSelector, _name: str, ended: Callable[[], None]) -> None:
        self._net = net
        self._ended = ended
        self._thread_id = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_s = 0.0
        self._is_at_it = False
        self._is_over = False

    def soon(self, callback: Callable[[], Any]) -> None:
        assert threading.get_ident() == self._thread_id, "it may be used in the thread that made it only"
        self._net.call_soon(callback)
        if not self._is_at_it and (loop := _running_loop()):
            if loop is not self._loop:
                self._enter(loop)
            loop.call_soon(self._turn)

    def wait_for(self, told: "SimpleQueue[T]", timeout_s: float | None) -> T:
        assert not _running_loop(), "it would keep the asyncio loop from all else"
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        while told.empty():
            left_s = None if until_s is None else until_s - time.monotonic()
            if self._is_over or (left_s is not None and left_s <= 0):
                raise Empty
            self._drive(None if left_s is None else left_s * 1000)
        return told.get_nowait()

    def is_here(self) -> bool:
        return self._is_at_it or _running_loop() is not None

    def stop(self, timeout_s: float) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._timer:
            self._timer.cancel()
        if self._loop and not self._loop.is_closed():
            self._loop.remove_reader(self._net._selector.fileno())
        self._ended()

    def _enter(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._timer = loop, None
        # All that it waits for is behind one descriptor, which is readable when any of it is ready.
        loop.add_reader(self._net._selector.fileno(), self._turn)

    def _turn(self) -> None:
        """Until nothing is ready. What waits for the network, or for its time, waits in asyncio's loop."""
        if self._is_over or self._loop is None:
            return
        self._drive(0)
        turns = 1
        while self._net._ready and turns < TURNS_MAX:
            self._drive(0)
            turns += 1
        if self._net._ready:
            self._loop.call_soon(self._turn)
        self._set_timer(self._loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """For the first of its timers. One that is set already and comes before it is let come: most are for
        requests that are answered in time, and to set it anew for each would cost more than a turn."""
        if not self._net._scheduled:
            return
        pause_s = max(0.0, self._net._scheduled[0][0] - time.monotonic()) + TIMER_SLACK_S
        due_s = loop.time() + pause_s
        if self._timer:
            if self._timer_due_s <= due_s:
                return
            self._timer.cancel()
        self._timer, self._timer_due_s = loop.call_later(pause_s, self._time_has_come), due_s

    def _time_has_come(self) -> None:
        self._timer = None  # not by its time: a clock of whole milliseconds may still be short of it
        self._turn()

    def _drive(self, timeout_ms: float | None) -> None:
        self._is_at_it = True
        try:
            self._net.poll(timeout_ms=timeout_ms)
        except BaseException:  # the loop itself broke: nobody may wait for ever
            self.stop(0.0)
            raise
        finally:
            self._is_at_it = False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# Windows' selector has no descriptor that another loop could watch.
beside_asyncio: MakeDriver = InEventLoop if hasattr(Watch, "fileno") else OwnThread
