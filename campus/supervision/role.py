"""What the supervisor knows of a role: it runs until it is asked to stop, and it reports its health.

A new role is built for each start, so it inherits no state of a crashed one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Event
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Health:
    """An immutable snapshot of a role, readable from any thread.

    `ready`: the next child may start. `heartbeat_at_s`: when the role last made progress, on the monotonic
    clock. Waiting for the broker is progress as long as the role keeps checking for it.
    """

    ready: bool
    doing: str
    heartbeat_at_s: float


class Role(Protocol):
    def run(self, stop: Event) -> None:
        """Work until `stop` is set, in a thread of its own. To raise is to crash."""

    def health(self) -> Health: ...


class Heartbeat:
    """What a role reports about itself. Needs no lock: one thread writes, and replaces the whole snapshot."""

    def __init__(self, doing: str = "starting") -> None:
        self._health = Health(ready=False, doing=doing, heartbeat_at_s=time.monotonic())

    def renew(self) -> None:
        """Report progress, with nothing else changed."""
        self._health = replace(self._health, heartbeat_at_s=time.monotonic())

    def report(self, doing: str, *, ready: bool | None = None) -> None:
        """Report what the role is doing now; `ready` stays as it is if not given."""
        ready = self._health.ready if ready is None else ready
        self._health = Health(ready, doing, time.monotonic())

    def health(self) -> Health:
        return self._health


class OneStep:
    """A role that calls `step(stop, heartbeat)` and returns; for children with Restart.ON_CRASH."""

    def __init__(self, step: Callable[[Event, Heartbeat], None]) -> None:
        self._step = step
        self._heartbeat = Heartbeat()

    def run(self, stop: Event) -> None:
        self._step(stop, self._heartbeat)

    def health(self) -> Health:
        return self._heartbeat.health()
