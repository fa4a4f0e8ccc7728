"""A response that waits: made by a view, which puts it under `DEFERRED` into its environ.

The response that the view returned goes out when the `Deferred` is released, or another in its place. Each
is answered once, within its time, whatever happens to the one who should release it.
"""

from collections.abc import Callable
from typing import TypeAlias

from campus.http.problems import Response

DEFERRED = "campus.deferred"

# Told once with the response that takes the place of the view's own, or None: then it is that.
Settled: TypeAlias = Callable[[Response | None], None]


class Deferred:
    """Touched in the event loop only."""

    __slots__ = ("_has_left", "_otherwise", "_settled", "_when_left", "answer", "answer_timeout_s", "done")

    def __init__(self, otherwise: Callable[[], Response], answer_timeout_s: float | None = None) -> None:
        """`otherwise` makes the answer for when nobody released the response in time.

        `answer_timeout_s` is that time, where the server's own limit is not the right one.
        """
        self.answer_timeout_s = answer_timeout_s
        self.done = False
        self.answer: Response | None = None  # the one that took the place of the view's own
        self._otherwise = otherwise
        self._settled: Settled | None = None
        self._has_left = False
        self._when_left: Callable[[], None] | None = None

    def release(self) -> None:
        """Send the response that the view returned."""
        self._resolve(None)

    def replace(self, response: Response) -> None:
        """Send this one in its place."""
        self._resolve(response)

    def settle_for(self, response: Response) -> None:
        """From now on this is the answer for when nobody releases the other in time."""
        self._otherwise = lambda: response

    def when_left(self, left: Callable[[], None]) -> None:
        """Be told, perhaps at once, that the client has left, as far as anybody can see, and is to be kept
        nothing for. It may only have ended its side of the connection: it is still to be answered, now."""
        if self._has_left:
            left()
        else:
            self._when_left = left

    # The server's side.

    def give_up(self) -> None:
        if not self.done:
            self._resolve(self._otherwise())

    def forget(self) -> None:
        """Nobody waits any more: whoever releases it later does so in vain."""
        self.done = True
        self._settled = None
        self.leave()

    def leave(self) -> None:
        self._has_left = True
        left, self._when_left = self._when_left, None
        if left is not None:
            left()

    def when_settled(self, settled: Settled) -> None:
        assert not self.done
        self._settled = settled

    def _resolve(self, answer: Response | None) -> None:
        if self.done:
            return
        self.done, self.answer = True, answer
        settled, self._settled = self._settled, None
        if settled is not None:
            settled(answer)
