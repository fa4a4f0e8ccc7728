"""Logs failures as one outage: a line when they begin and a line when they end, however many there are.

Any thread records failures and successes; one thread calls `report` now and then, which writes the lines.
"""

import logging
import threading
import time
from collections.abc import Callable

CALM_S = 1.0  # without a failure; then the outage is over


class FailureLog:
    def __init__(
        self, what: str, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` fails, in the plural: "orders"."""
        self._what, self._log, self._clock = what, log, clock
        self._lock = threading.Lock()  # of everything below
        self._count = 0  # in this outage
        self._first_error: Exception | None = None
        self._first_s = self._success_s = 0.0
        self.last_failure_s = 0.0  # by the clock
        self._is_reported = False

    def record_failure(self, count: int, error: Exception) -> None:
        with self._lock:
            self.last_failure_s = self._clock()
            if not self._count:
                self._first_s, self._first_error = self.last_failure_s, error
            self._count += count

    def record_success(self) -> None:
        with self._lock:
            self._success_s = self._clock()

    def report(self) -> bool:
        """Log what is new. True during an outage."""
        with self._lock:
            if self._count and not self._is_reported:
                self._is_reported = True
                self._log.warning("%s fail: %s", self._what, self._first_error)
            elif self._is_reported and self._is_over():
                duration_s = self.last_failure_s - self._first_s
                self._log.info(
                    "%s go through again; %d failed, in %.1f s", self._what, self._count, duration_s
                )
                self._count, self._is_reported = 0, False
            return self._is_reported

    def close(self) -> None:
        """Log how many failed in an outage that has not ended."""
        with self._lock:
            if self._is_reported:
                self._log.warning("%d %s failed until the end", self._count, self._what)
            elif self._count:
                self._log.warning("%d %s failed: %s", self._count, self._what, self._first_error)

    def _is_over(self) -> bool:
        return self._success_s > self.last_failure_s and self._clock() - self.last_failure_s >= CALM_S
