"""What the roles of one process leave for each other to look at: one value of a type, or none.

A role may not import another, nor wait for it. So whoever makes a thing puts it up here for as long as it
is kept true, and whoever would like it looks each time, and does without it when it is not there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Registry:
    """From any thread: putting up, taking down and looking are single steps of a dict."""

    def __init__(self) -> None:
        self._up: dict[type[Any], Any] = {}

    def find(self, kind: type[T]) -> T | None:
        return self._up.get(kind)

    @contextmanager
    def showing(self, kind: type[T], value: T) -> Iterator[T]:
        """Put it up for as long as the block lasts, in place of an older one."""
        self._up[kind] = value
        try:
            yield value
        finally:
            if self._up.get(kind) is value:
                del self._up[kind]
