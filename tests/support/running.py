"""Runs a role in a thread of the test's own process, as the supervisor would."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from campus.supervision.role import Role


@contextmanager
def role_running(role: Role) -> Iterator[None]:
    """Run the role for the duration of the block; then stop it and wait for its thread."""
    stop = Event()
    thread = Thread(target=role.run, args=(stop,), name=type(role).__name__)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
