"""Failures told as one outage: a line when they begin, a line when things go through again.

Any thread notes what happens, one asks now and then what there is to tell; so a failure costs no line of
its own, however many there are.
"""

import logging
import threading
import time
from collections.abc import Callable

CALM_S = 1.0  # without a failure, until the outage is over


class Failures:
    def __init__(
        self, what: str, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` fails, in the plural: "orders"."""
        self._what, self._log, self._clock = what, log, clock
        self._lock = threading.Lock()  # of everything below
        self._count = 0  # in this outage
        self._why: Exception | None = None
        self._first_s = self._last_s = self._through_s = 0.0
        self._told = False

    def note(self, count: int, why: Exception) -> None:
        with self._lock:
            self._last_s = self._clock()
            if not self._count:
                self._first_s, self._why = self._last_s, why
            self._count += count

    def note_through(self) -> None:
        with self._lock:
            self._through_s = self._clock()

    @property
    def last_s(self) -> float:
        """When the last one was noted, by the clock."""
        return self._last_s

    def tell(self) -> bool:
        """Say what is new; True while there is an outage."""
        with self._lock:
            if self._count and not self._told:
                self._told = True
                self._log.warning("%s fail: %s", self._what, self._why)
            elif self._told and self._is_over():
                lasted_s = self._last_s - self._first_s
                self._log.info("%s go through again; %d failed, in %.1f s", self._what, self._count, lasted_s)
                self._count, self._told = 0, False
            return self._told

    def close(self) -> None:
        """Say how many failed in an outage that has not ended."""
        with self._lock:
            if self._told:
                self._log.warning("%d %s failed, up to the end", self._count, self._what)
            elif self._count:
                self._log.warning("%d %s failed: %s", self._count, self._what, self._why)

    def _is_over(self) -> bool:
        return self._through_s > self._last_s and self._clock() - self._last_s >= CALM_S
