"""POST /stock/{item}, which needs the token, and POST /orders/{order_id}/cancel.

Both append an event that inventory decides. A cancellation needs no token: whoever knows the order id may
cancel. The order's partition follows from its item, which the order book knows.
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
    LOOK_UP_FIRST,
    NO_TOKEN,
    NOT_CANCELLABLE,
    RETRY_AS_IT_IS,
    RETRY_WITH_KEY,
    WRONG_TOKEN,
    not_acknowledged,
)
from campus.api.publisher import ApiSettings, Publisher
from campus.api.queries import QueryHandler
from campus.api.types import AcceptedCancellation, AcceptedRestock
from campus.domain.codec import keyed_record
from campus.domain.events import Input, OrderCancelled, StockAdded
from campus.domain.order_ids import NOISE_BYTES, keyed_restock_id, new_order_id
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Response, json_response

# RFC 6750, 3
CHALLENGE = (("www-authenticate", 'Bearer realm="campuskafka"'),)
CHALLENGE_INVALID = (("www-authenticate", 'Bearer realm="campuskafka", error="invalid_token"'),)


class StockHandler:
    """Used in the event loop only."""

    def __init__(
        self, settings: ApiSettings, publisher: Publisher, orders: OrderHandler, queries: QueryHandler
    ) -> None:
        self._settings, self._publisher = settings, publisher
        self._orders, self._queries = orders, queries

    def restock(self, environ: dict[str, Any], item: str) -> Response:
        self._require_token(environ)
        quantity = bodies.read(environ, bodies.RESTOCK).quantity
        key = key_of(environ)
        if key is None:
            event_id = new_order_id(time.time_ns() // 1_000_000, os.urandom(NOISE_BYTES))
        else:
            event_id = keyed_restock_id(key, item=item, quantity=quantity)
        if key is None or not self._orders.is_known(event_id):
            event = StockAdded(event_id=event_id, item=item, quantity=quantity, reason="restock")
            advice = LOOK_UP_FIRST if key is None else RETRY_WITH_KEY
            self._submit(environ, event, partial(not_acknowledged, {"event_id": event_id}, advice))
        content = AcceptedRestock(event_id=event_id, item=item, quantity=quantity, status="accepted")
        return json_response(202, content)

    def cancel(self, environ: dict[str, Any], order_id: str) -> Response:
        bodies.require_empty(environ)
        order = self._queries.known_order(order_id)
        if order.status == "failed":
            raise NOT_CANCELLABLE.refusal("The order has failed, so it reserved nothing")
        if order.status != "cancelled":  # a repeated cancellation gets the same response
            event = OrderCancelled(order_id=order_id, item=order.item)
            self._submit(environ, event, partial(not_acknowledged, {"order_id": order_id}, RETRY_AS_IT_IS))
        content = AcceptedCancellation(order_id=order_id, status="cancelling", item=order.item)
        return json_response(202, content)

    def _require_token(self, environ: Mapping[str, Any]) -> None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NO_TOKEN.refusal(
                "Send Authorization: Bearer TOKEN. The token is roles.producer.token or, if that is not set, "
                "in the file named token in broker.data_dir",
                headers=CHALLENGE,
            )
        expected = self._settings.token().reveal().encode()
        if not hmac.compare_digest(token.strip().encode("latin-1"), expected):
            raise WRONG_TOKEN.refusal("This is not the token of this service", headers=CHALLENGE_INVALID)

    def _submit(self, environ: dict[str, Any], event: Input, fallback: Callable[[], Response]) -> None:
        """Raises Refused if the event was not taken."""
        deferred = Deferred(fallback)
        tp = self._orders.partition_of(event.item)
        self._publisher.submit(tp, keyed_record(event), SubmittedEvent(deferred))
        if self._settings.acknowledged:
            environ[DEFERRED] = deferred


class SubmittedEvent:
    """Resolves the response that waits for an event. With `ack: none` no response waits."""

    def __init__(self, deferred: Deferred) -> None:
        self._deferred = deferred

    def on_acknowledged(self) -> None:
        self._deferred.release()

    def on_failed(self) -> None:
        self._deferred.fall_back()
