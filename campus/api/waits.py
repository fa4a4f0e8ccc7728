"""Answers that wait for an outcome: a bounded number, each at most for as long as its client said.

While one waits, its answer is good already: whatever ends the wait, its time, a stop, a full house or that
the client seems to have left, it is told what it would have been told without waiting.
"""

from campus.api.publisher import Publisher
from campus.book.order_book import OrderBook
from campus.book.views import OrderView
from campus.http.deferred import Deferred
from campus.http.problems import Response, json_response


class OutcomeWaits:
    """Touched in the event loop only."""

    def __init__(self, publisher: Publisher, *, waits_max: int) -> None:
        self._publisher = publisher
        self._waits_max = waits_max
        self._waiting: set[Deferred] = set()

    def begin(
        self, book: OrderBook, order_id: str, wait_s: int, deferred: Deferred, otherwise: Response
    ) -> None:
        """The deferred is answered with the order's view once it is decided, or released."""
        if len(self._waiting) >= self._waits_max:
            deferred.release()
            return
        self._waiting.add(deferred)
        deferred.settle_for(otherwise)

        def over() -> None:
            self._waiting.discard(deferred)
            timer.cancel()
            take_back()
            deferred.release()

        def decided(view: OrderView) -> None:
            # Perhaps a moment after it was over; then the answer is out, and this changes nothing.
            self._waiting.discard(deferred)
            timer.cancel()
            deferred.replace(_outcome(view, wait_s))

        timer = self._publisher.call_later(wait_s, over)
        # The book tells it on a thread of its own, or on this one at once; either way it is told later.
        take_back = book.when_decided(order_id, lambda view: self._publisher.call_soon(decided, view))
        deferred.when_left(over)


def _outcome(view: OrderView, wait_s: int) -> Response:
    return json_response(200, view, (("preference-applied", f"wait={wait_s}"),))
