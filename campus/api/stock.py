"""POST /stock/{item}, which needs the token, and POST /orders/{order_id}/cancel.

Both append an event that inventory decides. A cancellation needs no token: whoever knows the order id may
cancel. The order's partition follows from its item, which the order book knows.
"""

import hmac
import os
import time
from functools import partial

from campus.api import bodies, problems
from campus.api.headers import idempotency_key
from campus.api.orders import OrderHandler
from campus.api.queries import QueryHandler
from campus.api.types import AcceptedCancellation, AcceptedRestock
from campus.domain.events import Input, OrderCancelled, StockAdded
from campus.domain.order_ids import NOISE_BYTES, keyed_restock_id, new_order_id
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Environ, Response, json_response

# RFC 6750, 3
CHALLENGE = (("www-authenticate", 'Bearer realm="campuskafka"'),)
CHALLENGE_INVALID = (("www-authenticate", 'Bearer realm="campuskafka", error="invalid_token"'),)


class StockHandler:
    """Used in the event loop only."""

    def __init__(self, orders: OrderHandler, queries: QueryHandler) -> None:
        self._orders, self._queries = orders, queries

    def restock(self, environ: Environ, item: str) -> Response:
        self._require_token(environ)
        quantity = bodies.read(environ, bodies.RESTOCK).quantity
        key = idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
        if key is None:
            event_id = new_order_id(time.time_ns() // 1_000_000, os.urandom(NOISE_BYTES))
        else:
            event_id = keyed_restock_id(key, item=item, quantity=quantity)
        if key is None or not self._orders.is_known(event_id):
            event = StockAdded(event_id=event_id, item=item, quantity=quantity, reason="restock")
            advice = problems.LOOK_UP_FIRST if key is None else problems.RETRY_WITH_KEY
            self._submit(environ, event, {"event_id": event_id}, advice)
        content = AcceptedRestock(event_id=event_id, item=item, quantity=quantity, status="accepted")
        return json_response(202, content)

    def cancel(self, environ: Environ, order_id: str) -> Response:
        bodies.require_empty(environ)
        order = self._queries.known_order(order_id)
        if order.status == "failed":
            raise problems.NOT_CANCELLABLE.refusal("The order has failed, so it reserved nothing")
        if order.status != "cancelled":  # a repeated cancellation gets the same response
            event = OrderCancelled(order_id=order_id, item=order.item)
            self._submit(environ, event, {"order_id": order_id}, problems.RETRY_AS_IT_IS)
        content = AcceptedCancellation(order_id=order_id, status="cancelling", item=order.item)
        return json_response(202, content)

    def _require_token(self, environ: Environ) -> None:
        scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise problems.NO_TOKEN.refusal(
                "Send Authorization: Bearer TOKEN. The token is roles.producer.token or, if that is not set, "
                "in the file named token in broker.data_dir",
                headers=CHALLENGE,
            )
        expected = self._orders.settings.token().get_secret_value().encode()
        if not hmac.compare_digest(token.strip().encode("latin-1"), expected):
            raise problems.WRONG_TOKEN.refusal("Not the token of this service", headers=CHALLENGE_INVALID)

    def _submit(self, environ: Environ, event: Input, ids: dict[str, str], advice: str) -> None:
        """Raises Refused if the event was not taken."""
        deferred = Deferred(partial(problems.not_acknowledged, ids, advice))
        self._orders.submit(event, lambda is_ok: deferred.release() if is_ok else deferred.fall_back())
        if self._orders.settings.acknowledged:
            environ[DEFERRED] = deferred
