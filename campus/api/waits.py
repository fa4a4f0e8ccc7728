"""Holds responses until their order is decided (`Prefer: wait`): a bounded number, each for a bounded time.

A response that waits is complete already: if the time is over, the server stops, too many wait or the client
disconnects, it is sent as it would have been without waiting.
"""

import asyncio

from campus.api.publisher import Publisher
from campus.book.order_book import OrderBook
from campus.book.views import OrderView
from campus.http.deferred import Deferred
from campus.http.problems import Response, json_response


class OutcomeWaits:
    """Used in the event loop only."""

    def __init__(self, publisher: Publisher, *, waits_max: int) -> None:
        self._publisher = publisher
        self._waits_max = waits_max
        self._waiting: set[Deferred] = set()

    def begin(
        self, book: OrderBook, order_id: str, wait_s: int, deferred: Deferred, accepted: Response
    ) -> None:
        """Replace the response by the order's view once it is decided, or release it."""
        if len(self._waiting) >= self._waits_max:
            deferred.release()
            return
        self._waiting.add(deferred)
        deferred.fallback = lambda: accepted

        def end() -> None:
            self._waiting.discard(deferred)
            timer.cancel()
            cancel()
            deferred.release()

        def on_decided(view: OrderView) -> None:
            # Perhaps after `end`: then the response is sent already, and this changes nothing.
            self._waiting.discard(deferred)
            timer.cancel()
            deferred.replace(json_response(200, view, (("preference-applied", f"wait={wait_s}"),)))

        timer = asyncio.get_running_loop().call_later(wait_s, end)
        # The book calls back on its own thread, or at once on this one; call_soon defers it in both cases.
        cancel = book.when_decided(order_id, lambda view: self._publisher.call_soon(on_decided, view))
        deferred.on_disconnect(end)
