"""A deferred response: a view puts a `Deferred` into its environ under `DEFERRED` and returns a response.

The server sends that response when the `Deferred` is released, or another one if it is replaced. Exactly one
response is sent, within its timeout, even if it is never released.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from campus.http.problems import Response

DEFERRED = "campus.deferred"


@dataclass(slots=True, eq=False)
class Deferred:
    """Used in the event loop only.

    `fallback` makes the response that is sent at the timeout or when the server stops. `extra_timeout_s` is
    added to the `answer_timeout_s` of the server's `Limits`.
    """

    fallback: Callable[[], Response]
    extra_timeout_s: float = 0.0
    # For the server, which sets `on_resolved`: it is called once, when `done` becomes true.
    done: bool = field(default=False, init=False)
    replacement: Response | None = field(default=None, init=False)  # None: the view's own response is sent
    on_resolved: Callable[[], None] | None = field(default=None, init=False)
    _is_disconnected: bool = field(default=False, init=False)
    _on_disconnect: Callable[[], None] | None = field(default=None, init=False)

    def release(self) -> None:
        """Send the response that the view returned."""
        self._resolve(None)

    def replace(self, response: Response) -> None:
        """Send this response instead."""
        self._resolve(response)

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """Call it once, perhaps at once, when the client has closed the connection or its side of it.

        With a half-closed connection the client still reads: the callback should resolve this `Deferred` now.
        """
        if self._is_disconnected:
            callback()
        else:
            self._on_disconnect = callback

    # For the server.

    def fall_back(self) -> None:
        if not self.done:
            self._resolve(self.fallback())

    def disconnected(self) -> None:
        self._is_disconnected = True
        callback, self._on_disconnect = self._on_disconnect, None
        if callback is not None:
            callback()

    def abandon(self) -> None:
        """The connection is gone: a later `release` has no effect."""
        self.done = True
        self.on_resolved = None
        self.disconnected()

    def _resolve(self, replacement: Response | None) -> None:
        if self.done:
            return
        self.done, self.replacement = True, replacement
        if self.on_resolved is not None:
            self.on_resolved()
