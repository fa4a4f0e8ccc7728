"""Runs kafka-python's network loop, in a thread of its own or inside an asyncio loop.

`ThreadRunner` serves callers on any thread. `AsyncioRunner` serves only the thread that made it, and saves
two thread switches per produce batch, each of which waits for the interpreter lock: over HTTP 1.8 times the
records at 32 connections, 1.4 times at 256, 1.1 times at 1 (benchmarks/http, in one run).
"""

import asyncio
import logging
import math
import selectors
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias, TypeVar

from kafka.future import Future
from kafka.net.selector import NetworkSelector

POLLS_MAX = 100  # of kafka-python's loop in one turn of asyncio's, so that other callbacks get theirs
# asyncio's clock may count whole milliseconds; a timer that fires too early would have to be set again.
TIMER_SLACK_S = 0.001
STOP_TIMEOUT_S = 2.0

T = TypeVar("T")

log = logging.getLogger("writer")


class FdSelector(selectors.DefaultSelector):
    """Looks sockets up by number. Twice per produce batch kafka-python asks for one that is not registered;
    the KeyError would contain its repr, which asks the system for both addresses: a twentieth of the time."""

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        number = fileobj.fileno()
        return super().get_key(fileobj if number < 0 else number)


class ThreadRunner:
    def __init__(self, net: NetworkSelector, name: str, on_closed: Callable[[], None]) -> None:
        self._net = net
        self._on_closed = on_closed
        self._stopped = Future()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call_soon(self, callback: Callable[[], Any]) -> None:
        """Run a function, or a coroutine function, in the loop."""
        self._net.call_soon_threadsafe(callback)

    def wait_for(self, queue: "SimpleQueue[T]", timeout_s: float | None) -> T:
        """The next item that the loop puts into the queue. Raises queue.Empty after `timeout_s`."""
        return queue.get(timeout=timeout_s)

    def is_current(self) -> bool:
        """Whether the caller runs in the loop, and so must not wait for it."""
        return threading.current_thread() is self._thread

    def stop(self) -> None:
        """End the loop, which calls `on_closed`."""
        if not self._stopped.is_done:
            self._stopped.success(None)
        self._net.wakeup()
        self._thread.join(STOP_TIMEOUT_S)
        if self._thread.is_alive():
            log.warning("%s did not end within %s s: a callback blocks it", self._thread.name, STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            self._net.poll(future=self._stopped)
        finally:  # also if the loop raises, so that nobody waits for ever
            self._on_closed()


class AsyncioRunner:
    """Like ThreadRunner, in the running asyncio loop; if none is, `wait_for` runs the network loop."""

    def __init__(self, net: NetworkSelector, _name: str, on_closed: Callable[[], None]) -> None:
        self._net = net
        self._on_closed = on_closed
        self._thread_id = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_polling = False
        self._is_closed = False

    def call_soon(self, callback: Callable[[], Any]) -> None:
        assert threading.get_ident() == self._thread_id, "only the thread that made this writer may use it"
        self._net.call_soon(callback)
        if not self._is_polling and (loop := _running_loop()):
            if loop is not self._loop:
                self._loop, self._timer = loop, None
                # The selector's own descriptor is readable when any socket in it is ready.
                loop.add_reader(self._net._selector.fileno(), self._run_ready)
            loop.call_soon(self._run_ready)

    def wait_for(self, queue: "SimpleQueue[T]", timeout_s: float | None) -> T:
        assert not _running_loop(), "this would block the asyncio loop"
        deadline = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        while queue.empty():
            remaining_s = deadline - time.monotonic()
            if self._is_closed or remaining_s <= 0:
                raise Empty
            self._poll(remaining_s)
        return queue.get_nowait()

    def is_current(self) -> bool:
        return self._is_polling or _running_loop() is not None

    def stop(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer:
            self._timer.cancel()
        if self._loop and not self._loop.is_closed():
            self._loop.remove_reader(self._net._selector.fileno())
        self._on_closed()

    def _run_ready(self) -> None:
        """Run the network loop until nothing in it is ready; waiting is left to asyncio."""
        if self._is_closed or self._loop is None:
            return
        for _ in range(POLLS_MAX):
            self._poll(0)
            if not self._net._ready:
                break
        else:
            self._loop.call_soon(self._run_ready)
        self._set_timer(self._loop)

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wake up for the network loop's first timer. An earlier one is kept: most belong to requests that
        were answered in time, and setting a new one for each would cost more than waking up for nothing."""
        if not self._net._scheduled:
            return
        pause_s = max(0.0, self._net._scheduled[0][0] - time.monotonic()) + TIMER_SLACK_S
        if self._timer:
            if self._timer.when() <= loop.time() + pause_s:
                return
            self._timer.cancel()
        self._timer = loop.call_later(pause_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None  # before the next is set: a clock of whole milliseconds may still be behind
        self._run_ready()

    def _poll(self, timeout_s: float) -> None:
        self._is_polling = True
        try:
            self._net.poll(timeout_ms=timeout_s * 1000)
        except BaseException:  # the loop itself is broken: nobody may wait for ever
            self.stop()
            raise
        finally:
            self._is_polling = False


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# Factory(net, name, on_closed). on_closed is also called if the loop raises.
RunnerFactory: TypeAlias = Callable[[NetworkSelector, str, Callable[[], None]], ThreadRunner | AsyncioRunner]
# Windows' selector has no descriptor that asyncio could watch.
asyncio_runner: RunnerFactory = AsyncioRunner if hasattr(FdSelector, "fileno") else ThreadRunner
