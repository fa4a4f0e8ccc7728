"""Placing an order: made of a form, handed over, and answered when the broker has it, or when it is decided.

With an Idempotency-Key the id is derived, so that any process gives the same one for the same order; what the
order book knows already is answered and not written again. A client may prefer to wait for the outcome:
that begins when the broker has the order, and from then on its answer is at least a 202.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from campus.api import bodies
from campus.api.headers import idempotency_key, preferred_wait_s
from campus.api.problems import AGAIN_WITH_KEY, KEY_REUSED, LOOK_FIRST, not_acknowledged
from campus.api.publisher import ApiSettings, Publisher, Waiting
from campus.api.types import Accepted, Order
from campus.api.waits import OutcomeWaits
from campus.book.order_book import OrderBook
from campus.domain.codec import keyed_record
from campus.domain.events import OrderPlaced
from campus.domain.order_ids import NOISE_BYTES, key_part, keyed_order_id, new_order_id
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Response, json_response
from campus.kafka.records import TopicPartition
from campus.supervision.registry import Registry


class OrderHandler:
    """Touched in the event loop only."""

    def __init__(self, settings: ApiSettings, publisher: Publisher, registry: Registry) -> None:
        self.settings = settings
        self._publisher, self._registry = publisher, registry
        self._waits = OutcomeWaits(publisher, waits_max=settings.waits_max)
        topics = settings.topics
        self._partitions = [
            TopicPartition(topics.orders_topic, partition) for partition in range(topics.partitions)
        ]

    def place(self, environ: dict[str, Any]) -> Response:
        form = bodies.read(environ, bodies.ORDER_FORM)
        key = key_of(environ)
        order = self.order_of(form, key)
        answer = accepted(order)
        wait_s = self._wait_s(environ)
        advice = LOOK_FIRST if key is None else AGAIN_WITH_KEY
        unsettled = partial(order_not_acknowledged, order.order_id, advice)
        if key is not None and self.is_known(order.order_id):
            if wait_s:
                environ[DEFERRED] = waiting = self._deferred(unsettled, wait_s)
                self.wait_for_outcome(order.order_id, wait_s, waiting, answer)
            return answer
        deferred = self._deferred(unsettled, wait_s) if wait_s or self.settings.acknowledged else None
        tp = self.partition_of(order.item)
        self.hand_over(tp, order, PlacedOrder(self, order, tp.partition, deferred, answer, wait_s))
        if deferred is not None:
            environ[DEFERRED] = deferred
        return answer

    def order_of(self, form: Order, key: str | None) -> OrderPlaced:
        now_ms = time.time_ns() // 1_000_000
        if key is None:
            order_id = new_order_id(now_ms, os.urandom(NOISE_BYTES))
        else:
            order_id = keyed_order_id(key, user_id=form.user_id, item=form.item, quantity=form.quantity)
        return OrderPlaced(
            order_id=order_id,
            user_id=form.user_id,
            item=form.item,
            quantity=form.quantity,
            placed_at=iso_utc(now_ms),
        )

    def partition_of(self, item: str) -> TopicPartition:
        return self._partitions[item_partition(item, len(self._partitions))]

    def is_known(self, keyed_id: str) -> bool:
        """Whether the book knows the key, by this wish. Raises Refused if by another."""
        book, part = self._registry.find(OrderBook), key_part(keyed_id)
        first = book.id_of_key(part) if book and part else None
        if first is not None and first != keyed_id:
            raise KEY_REUSED.refuses("The Idempotency-Key belongs to what had another body: take a new one")
        return first is not None

    def hand_over(self, tp: TopicPartition, order: OrderPlaced, waiting: Waiting) -> None:
        """Raises Refused, and then nothing was."""
        self._publisher.submit(tp, keyed_record(order), waiting)

    def has_landed(self, order: OrderPlaced, partition: int) -> None:
        if book := self._registry.find(OrderBook):
            book.accepted(order, partition)

    def wait_for_outcome(self, order_id: str, wait_s: int, deferred: Deferred, otherwise: Response) -> None:
        if book := self._registry.find(OrderBook):
            self._waits.begin(book, order_id, wait_s, deferred, otherwise)
        else:
            deferred.release()

    def _wait_s(self, environ: Mapping[str, Any]) -> int:
        """For how long the client would wait for the outcome; 0 is not at all."""
        prefer = environ.get("HTTP_PREFER")
        if prefer is None or not self._registry.find(OrderBook):
            return 0
        return min(preferred_wait_s(prefer) or 0, self.settings.wait_max_s)

    def _deferred(self, unsettled: Callable[[], Response], wait_s: int) -> Deferred:
        timeout_s = self.settings.answer_timeout_s + wait_s if wait_s else None
        return Deferred(unsettled, timeout_s)


class PlacedOrder:
    """One order that was handed over, and the answer that waits for it, if one does."""

    __slots__ = ("_answer", "_deferred", "_handler", "_order", "_partition", "_wait_s")

    def __init__(
        self,
        handler: OrderHandler,
        order: OrderPlaced,
        partition: int,
        deferred: Deferred | None,
        answer: Response,
        wait_s: int,
    ) -> None:
        self._handler, self._order, self._partition = handler, order, partition
        self._deferred, self._answer, self._wait_s = deferred, answer, wait_s

    def landed(self) -> None:
        self._handler.has_landed(self._order, self._partition)
        if self._deferred is None:
            return
        if self._wait_s:
            self._handler.wait_for_outcome(self._order.order_id, self._wait_s, self._deferred, self._answer)
        else:
            self._deferred.release()

    def failed(self) -> None:
        if self._deferred is not None:
            self._deferred.give_up()


def key_of(environ: Mapping[str, Any]) -> str | None:
    value = environ.get("HTTP_IDEMPOTENCY_KEY")
    return None if value is None else idempotency_key(value)


def accepted(order: OrderPlaced) -> Response:
    """The same bytes for the same order: no time in it, and nothing that was decided since."""
    content = Accepted(
        order_id=order.order_id,
        status="accepted",
        user_id=order.user_id,
        item=order.item,
        quantity=order.quantity,
    )
    return json_response(202, content, (("location", f"/orders/{order.order_id}"),))


def order_not_acknowledged(order_id: str, advice: str) -> Response:
    return not_acknowledged({"order_id": order_id}, advice)
