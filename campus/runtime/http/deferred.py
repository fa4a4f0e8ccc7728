"""A response that waits: made by a view, which puts it under `DEFERRED` into its environ.

The response that the view returned goes out when the `Deferred` is released, or another in its place. Each
is answered once, within its time, whatever happens to the one who should release it.
"""

from collections.abc import Callable
from typing import TypeAlias

from campus.runtime.http.problems import Response

DEFERRED = "campus.deferred"

# Told once with the response that takes the place of the view's own, or None: then it is that.
Settled: TypeAlias = Callable[[Response | None], None]


class Deferred:
    """Touched in the event loop only."""

    __slots__ = ("_otherwise", "_settled", "answer", "answer_timeout_s", "done")

    def __init__(self, otherwise: Callable[[], Response], answer_timeout_s: float | None = None) -> None:
        """`otherwise` makes the answer for when nobody released the response in time.

        `answer_timeout_s` is that time, where the server's own limit is not the right one.
        """
        self.answer_timeout_s = answer_timeout_s
        self.done = False
        self.answer: Response | None = None  # the one that took the place of the view's own
        self._otherwise = otherwise
        self._settled: Settled | None = None

    def release(self) -> None:
        """Send the response that the view returned."""
        self._settle(None)

    def replace(self, response: Response) -> None:
        """Send this one in its place."""
        self._settle(response)

    def settle_for(self, response: Response) -> None:
        """From now on this is the answer for when nobody releases the other in time."""
        self._otherwise = lambda: response

    # The server's side.

    def give_up(self) -> None:
        if not self.done:
            self._settle(self._otherwise())

    def forget(self) -> None:
        """Nobody waits any more: whoever releases it later does so in vain."""
        self.done = True
        self._settled = None

    def when_settled(self, settled: Settled) -> None:
        assert not self.done
        self._settled = settled

    def _settle(self, answer: Response | None) -> None:
        if self.done:
            return
        self.done, self.answer = True, answer
        settled, self._settled = self._settled, None
        if settled is not None:
            settled(answer)
