"""What the supervisor knows of a role, and nothing more: it runs until told to stop, and has a
pulse.

A role is built fresh for each start, so that nothing of a crash survives in it.
"""

import time
from dataclasses import dataclass, replace
from threading import Event
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Health:
    """An immutable snapshot of a role, readable from any thread.

    `ready`: what starts after this role may start now. `heartbeat_at_s`: when it last made progress, on
    the monotonic clock; a role that waits for the broker and looks at it now and then does
    progress.
    """

    ready: bool
    doing: str
    heartbeat_at_s: float


class Role(Protocol):
    def run(self, stop: Event) -> None:
        """Work until `stop` is set, in a thread of its own. To raise is to crash."""

    def health(self) -> Health: ...


class Heartbeat:
    """A role's own hand on its health. No lock: a snapshot is replaced whole, by one writer."""

    def __init__(self, doing: str = "starting") -> None:
        self._health = Health(ready=False, doing=doing, heartbeat_at_s=time.monotonic())

    def renew(self) -> None:
        self._health = replace(self._health, heartbeat_at_s=time.monotonic())

    def now(self, doing: str, *, ready: bool | None = None) -> None:
        """Say what the role does now; `ready` stays as it was unless it is given."""
        was = self._health
        self._health = Health(was.ready if ready is None else ready, doing, time.monotonic())

    def health(self) -> Health:
        return self._health
