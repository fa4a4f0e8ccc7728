"""Objects that the roles of one process share: at most one per type, or none.

A role may not import another role, nor wait for one. So the owner of an object publishes it here while the
object is usable, and a user looks it up at each use and does without if it is not there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Registry:
    """Thread-safe: adding, removing and finding are single operations on a dict."""

    def __init__(self) -> None:
        self._objects: dict[type[Any], Any] = {}

    def find(self, kind: type[T]) -> T | None:
        return self._objects.get(kind)

    @contextmanager
    def showing(self, kind: type[T], value: T) -> Iterator[T]:
        """Publish `value` for the duration of the block; replaces an older one of the same type."""
        self._objects[kind] = value
        try:
            yield value
        finally:
            if self._objects.get(kind) is value:
                del self._objects[kind]
