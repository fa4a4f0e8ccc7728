"""What goes to the log beside orders: stock that arrives, for whoever has the token, and cancellations.

Both are wishes that inventory decides. A cancellation needs no token: who knows the order's id may cancel it,
and its item, by which it finds the order's partition, comes from the order book.
"""

import hmac
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from campus.api import bodies
from campus.api.orders import OrderHandler, key_of
from campus.api.problems import (
    AGAIN_AS_IT_IS,
    AGAIN_WITH_KEY,
    LOOK_FIRST,
    NO_TOKEN,
    NOT_CANCELLABLE,
    WRONG_TOKEN,
    not_acknowledged,
)
from campus.api.publisher import ApiSettings, Publisher
from campus.api.reading import Reading
from campus.api.types import Cancelling, Restocked
from campus.domain.codec import keyed_record
from campus.domain.events import Input, OrderCancelled, StockAdded
from campus.domain.order_ids import NOISE_BYTES, keyed_restock_id, new_order_id
from campus.domain.partitions import item_partition
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Response, json_response
from campus.kafka.records import TopicPartition

# RFC 6750, 3
CHALLENGE = (("www-authenticate", 'Bearer realm="campuskafka"'),)
CHALLENGE_AGAIN = (("www-authenticate", 'Bearer realm="campuskafka", error="invalid_token"'),)


class StockHandler:
    """Touched in the event loop only."""

    def __init__(
        self, settings: ApiSettings, publisher: Publisher, handler: OrderHandler, reading: Reading
    ) -> None:
        self._api_settings, self._publisher, self._handler, self._reading = (
            settings,
            publisher,
            handler,
            reading,
        )

    def restock(self, environ: dict[str, Any], item: str) -> Response:
        self._require_token(environ)
        quantity = bodies.read(environ, bodies.RESTOCK_FORM).quantity
        key = key_of(environ)
        if key is None:
            event_id = new_order_id(time.time_ns() // 1_000_000, os.urandom(NOISE_BYTES))
        else:
            event_id = keyed_restock_id(key, item=item, quantity=quantity)
        if key is None or not self._handler.is_known(event_id):
            event = StockAdded(event_id=event_id, item=item, quantity=quantity, reason="restock")
            advice = LOOK_FIRST if key is None else AGAIN_WITH_KEY
            self._hand_over(environ, event, partial(not_acknowledged, {"event_id": event_id}, advice))
        return json_response(
            202, Restocked(event_id=event_id, item=item, quantity=quantity, status="accepted")
        )

    def cancel(self, environ: dict[str, Any], order_id: str) -> Response:
        bodies.read_nothing(environ)
        order = self._reading.known(order_id)
        if order.status == "failed":
            raise NOT_CANCELLABLE.refuses("The order has failed, so there is nothing to release")
        if order.status != "cancelled":  # else it is done, and the answer the same
            event = OrderCancelled(order_id=order_id, item=order.item)
            self._hand_over(environ, event, partial(not_acknowledged, {"order_id": order_id}, AGAIN_AS_IT_IS))
        return json_response(202, Cancelling(order_id=order_id, status="cancelling", item=order.item))

    def _require_token(self, environ: Mapping[str, Any]) -> None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NO_TOKEN.refuses(
                "Send Authorization: Bearer TOKEN, with roles.producer.token, or what stands in the file "
                "named token in broker.data_dir",
                headers=CHALLENGE,
            )
        right = self._api_settings.token().get_secret_value().encode()
        if not hmac.compare_digest(token.strip().encode("latin-1"), right):
            raise WRONG_TOKEN.refuses("It is not the token of this service", headers=CHALLENGE_AGAIN)

    def _hand_over(self, environ: dict[str, Any], event: Input, unsettled: Callable[[], Response]) -> None:
        """Raises Refused, and then nothing was."""
        topics = self._api_settings.topics
        tp = TopicPartition(topics.orders_topic, item_partition(event.item, topics.partitions))
        deferred = Deferred(unsettled)
        self._publisher.submit(tp, keyed_record(event), HandedOver(deferred))
        if self._api_settings.acknowledged:
            environ[DEFERRED] = deferred


class HandedOver:
    """An event, and the answer that waits for it; with `ack: none` nobody listens."""

    def __init__(self, deferred: Deferred) -> None:
        self._deferred = deferred

    def landed(self) -> None:
        self._deferred.release()

    def failed(self) -> None:
        self._deferred.give_up()
