"""POST /orders: each order of a batch is read, submitted and answered on its own, in one response.

An invalid order does not affect the others. The response is sent when every submitted order is acknowledged
or failed, or its time is over. An order without an acknowledgement is reported with its id, since it may
still be carried out.
"""

from functools import lru_cache

import msgspec

from campus.api import bodies
from campus.api.headers import idempotency_key
from campus.api.orders import OrderHandler
from campus.api.problems import LOOK_UP_FIRST, RETRY_BATCH, not_acknowledged
from campus.api.types import BatchResponse, OrderResult, Problem
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Environ, Refused, Response, json_response
from campus.http.refusals import RETRY_AFTER

ACCEPTED, MIXED, UNAVAILABLE = 202, 207, 503
PLACEHOLDER = Response(ACCEPTED, (), b"")  # never sent: the Deferred replaces it


def place_batch(orders: OrderHandler, environ: Environ) -> Response:
    parts = bodies.split_batch(environ, orders.settings.batch_orders_max)
    batch = OrderBatch(orders, idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY")))
    for index, body in enumerate(parts):
        batch.place(index, body)
    if not batch.open or not orders.settings.acknowledged:
        return batch.response()
    environ[DEFERRED] = batch.deferred
    return PLACEHOLDER


class OrderBatch:
    """Used in the event loop only."""

    def __init__(self, orders: OrderHandler, key: str | None) -> None:
        self._orders, self._key = orders, key
        self._results: list[OrderResult | None] = []
        self.open: dict[int, str] = {}  # ids of the orders that wait for an acknowledgement, by index
        self.deferred = Deferred(self.response)

    def place(self, index: int, body: bytes) -> None:
        """Append the order's result, or None until it is acknowledged."""
        try:
            self._results.append(self._place(index, body))
        except Refused as refused:
            problem = _problem(refused.response.body)
            self._results.append(OrderResult(index=index, status=refused.response.status, problem=problem))

    def response(self) -> Response:
        """The results so far; an order that still waits counts as not acknowledged."""
        results = [result or self._not_acknowledged(index) for index, result in enumerate(self._results)]
        accepted = sum(result.status == ACCEPTED for result in results)
        status = ACCEPTED if accepted == len(results) else MIXED
        headers = RETRY_AFTER if any(result.status == UNAVAILABLE for result in results) else ()
        return json_response(status, BatchResponse(accepted=accepted, results=results), headers)

    def _place(self, index: int, body: bytes) -> OrderResult | None:
        # A key has no line break, so these keys differ from those of all other batches and single orders.
        key = None if self._key is None else f"{self._key}\n{index}"
        order = self._orders.new_order(bodies.ORDER.read(body), key)
        accepted = OrderResult(index=index, status=ACCEPTED, order_id=order.order_id)
        if key is not None and self._orders.is_known(order.order_id):
            return accepted

        def on_delivery(is_acknowledged: bool) -> None:
            if is_acknowledged:
                self._orders.add_to_book(order)
            self._results[index] = accepted if is_acknowledged else self._not_acknowledged(index)
            del self.open[index]
            if not self.open and self._orders.settings.acknowledged:
                self.deferred.replace(self.response())

        self._orders.submit(order, on_delivery)
        self.open[index] = order.order_id
        return None if self._orders.settings.acknowledged else accepted

    def _not_acknowledged(self, index: int) -> OrderResult:
        order_id = self.open[index]
        advice = LOOK_UP_FIRST if self._key is None else RETRY_BATCH
        response = not_acknowledged({"order_id": order_id}, advice)
        problem = _problem(response.body)
        return OrderResult(index=index, status=response.status, order_id=order_id, problem=problem)


@lru_cache(maxsize=16)  # an overlong batch repeats the same few problems
def _problem(body: bytes) -> Problem:
    return msgspec.json.decode(body, type=Problem)
