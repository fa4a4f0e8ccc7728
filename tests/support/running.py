"""A role that runs in a thread of the test's own process, as the supervisor would run it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from campus.supervision.role import Role


@contextmanager
def role_running(role: Role) -> Iterator[None]:
    """For as long as the block lasts; then it is asked to stop, and waited for."""
    stop = Event()
    thread = Thread(target=role.run, args=(stop,), name=type(role).__name__)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
