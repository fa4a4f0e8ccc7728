"""POST /order: answered after the broker's acknowledgement or, with `Prefer: wait`, after the outcome.

With an Idempotency-Key the order id is derived from key and body, so every process gives the same order the
same id. A keyed order that the order book already has is not written again. A wait for the outcome begins
after the acknowledgement; from then on the response is at least a 202.
"""

import asyncio
import os
import time
from functools import partial

from campus.api import bodies
from campus.api.headers import idempotency_key, preferred_wait_s
from campus.api.problems import KEY_REUSED, LOOK_UP_FIRST, RETRY_WITH_KEY, not_acknowledged
from campus.api.publisher import ApiSettings, OnDelivery, Publisher
from campus.api.types import AcceptedOrder, Order
from campus.book.order_book import OrderBook
from campus.book.views import OrderView
from campus.domain.codec import keyed_record
from campus.domain.events import Input, OrderPlaced
from campus.domain.order_ids import NOISE_BYTES, key_part, keyed_order_id, new_order_id
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Environ, Response, json_response
from campus.kafka.records import TopicPartition
from campus.supervision.registry import Registry


class OrderHandler:
    """Used in the event loop only."""

    def __init__(self, settings: ApiSettings, publisher: Publisher, registry: Registry) -> None:
        self.settings = settings
        self._publisher, self._registry = publisher, registry
        self._waiting: set[Deferred] = set()  # responses that wait for an outcome
        topics = settings.topics
        self._partitions = [TopicPartition(topics.orders_topic, p) for p in range(topics.partitions)]

    def place(self, environ: Environ) -> Response:
        body = bodies.read(environ, bodies.ORDER)
        key = idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
        order = self.new_order(body, key)
        response = _accepted(order)
        wait_s = self._wait_s(environ)
        advice = LOOK_UP_FIRST if key is None else RETRY_WITH_KEY
        deferred = Deferred(partial(not_acknowledged, {"order_id": order.order_id}, advice), wait_s)

        def on_delivery(is_acknowledged: bool) -> None:
            if not is_acknowledged:
                deferred.fall_back()
                return
            self.add_to_book(order)
            if wait_s:
                self._wait_for_outcome(order.order_id, wait_s, deferred, response)
            else:
                deferred.release()

        if key is None or not self.is_known(order.order_id):
            self.submit(order, on_delivery)
        elif wait_s:
            self._wait_for_outcome(order.order_id, wait_s, deferred, response)
        else:
            return response
        if wait_s or self.settings.acknowledged:
            environ[DEFERRED] = deferred
        return response

    def new_order(self, body: Order, key: str | None) -> OrderPlaced:
        now_ms = time.time_ns() // 1_000_000
        if key is None:
            order_id = new_order_id(now_ms, os.urandom(NOISE_BYTES))
        else:
            order_id = keyed_order_id(key, user_id=body.user_id, item=body.item, quantity=body.quantity)
        return OrderPlaced(
            order_id=order_id,
            user_id=body.user_id,
            item=body.item,
            quantity=body.quantity,
            placed_at=iso_utc(now_ms),
        )

    def is_known(self, keyed_id: str) -> bool:
        """Whether the order book has this id. Raises Refused if it has the same key with another body."""
        book, part = self._registry.find(OrderBook), key_part(keyed_id)
        first = book.id_of_key(part) if book and part else None
        if first is not None and first != keyed_id:
            raise KEY_REUSED.refusal("Use a new Idempotency-Key, or repeat the first request unchanged")
        return first is not None

    def submit(self, event: Input, on_delivery: OnDelivery) -> None:
        """Raises Refused if the event was not taken."""
        tp = self._partitions[item_partition(event.item, len(self._partitions))]
        self._publisher.submit(tp, keyed_record(event), on_delivery)

    def add_to_book(self, order: OrderPlaced) -> None:
        if book := self._registry.find(OrderBook):
            book.accepted(order, item_partition(order.item, len(self._partitions)))

    def _wait_for_outcome(self, order_id: str, wait_s: int, deferred: Deferred, accepted: Response) -> None:
        """Replace the response by the order's view once it is decided.

        If the time is over, the server stops, too many wait, the client disconnects or there is no order
        book, the response is sent as it would have been without waiting.
        """
        book = self._registry.find(OrderBook)
        if book is None or len(self._waiting) >= self.settings.waits_max:
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

    def _wait_s(self, environ: Environ) -> int:
        """How long the client waits for the outcome; 0 if it does not, or there is no order book."""
        prefer = environ.get("HTTP_PREFER")
        if prefer is None or not self._registry.find(OrderBook):
            return 0
        return min(preferred_wait_s(prefer) or 0, self.settings.wait_max_s)


def _accepted(order: OrderPlaced) -> Response:
    """The same bytes whenever a keyed order is repeated: without a time, and without its outcome."""
    content = AcceptedOrder(
        order_id=order.order_id,
        status="accepted",
        user_id=order.user_id,
        item=order.item,
        quantity=order.quantity,
    )
    return json_response(202, content, (("location", f"/orders/{order.order_id}"),))
