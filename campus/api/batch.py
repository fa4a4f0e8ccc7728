"""POST /orders: each order of a batch is read, submitted and answered on its own, in one response.

An invalid order does not affect the others. The response is sent when every submitted order is acknowledged
or failed, or its time is over. An order without an acknowledgement is reported with its id, since it may
still be carried out.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import msgspec

from campus.api import bodies
from campus.api.orders import OrderHandler, key_of
from campus.api.problems import LOOK_UP_FIRST, RETRY_BATCH, not_acknowledged
from campus.api.types import BatchResponse, OrderResult, Problem
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Environ, Refused, Response, json_response
from campus.http.refusals import RETRY_AFTER

ACCEPTED, MIXED, UNAVAILABLE = 202, 207, 503
PLACEHOLDER = Response(ACCEPTED, (), b"")  # never sent: the Deferred replaces it


class BatchHandler:
    """Used in the event loop only."""

    def __init__(self, orders: OrderHandler) -> None:
        self._orders = orders

    def place(self, environ: Environ) -> Response:
        settings = self._orders.settings
        parts = bodies.split_batch(environ, settings.batch_orders_max)
        key = key_of(environ)
        batch = Batch(LOOK_UP_FIRST if key is None else RETRY_BATCH)
        for index, body in enumerate(parts):
            try:
                result = self._place(batch, index, body, key)
            except Refused as refused:
                problem = _problem(refused.response.body)
                result = OrderResult(index=index, status=refused.response.status, problem=problem)
            batch.results.append(result)
        if not batch.open or not settings.acknowledged:
            return batch.response()
        environ[DEFERRED] = batch.deferred = Deferred(batch.response)
        return PLACEHOLDER

    def _place(self, batch: "Batch", index: int, body: bytes, key: str | None) -> OrderResult | None:
        """The order's result, or None if it waits for an acknowledgement. Raises Refused."""
        # A key has no line break, so these keys differ from those of all other batches and single orders.
        order = self._orders.new_order(bodies.ORDER.read(body), None if key is None else f"{key}\n{index}")
        accepted = OrderResult(index=index, status=ACCEPTED, order_id=order.order_id)
        if key is not None and self._orders.is_known(order.order_id):
            return accepted

        def on_delivery(is_acknowledged: bool) -> None:
            if is_acknowledged:
                self._orders.add_to_book(order)
            batch.resolve(index, accepted if is_acknowledged else batch.not_acknowledged(index))

        self._orders.submit(order, on_delivery)
        batch.open[index] = order.order_id
        return None if self._orders.settings.acknowledged else accepted


@dataclass
class Batch:
    advice: str  # for orders that are not acknowledged
    results: list[OrderResult | None] = field(default_factory=list)
    open: dict[int, str] = field(default_factory=dict)  # ids of the orders that wait for an acknowledgement
    deferred: Deferred | None = None

    def resolve(self, index: int, result: OrderResult) -> None:
        self.results[index] = result
        del self.open[index]
        if not self.open and self.deferred is not None:
            self.deferred.replace(self.response())

    def response(self) -> Response:
        """The results so far; an order that still waits counts as not acknowledged."""
        results = [result or self.not_acknowledged(index) for index, result in enumerate(self.results)]
        accepted = sum(result.status == ACCEPTED for result in results)
        status = ACCEPTED if accepted == len(results) else MIXED
        headers = RETRY_AFTER if any(result.status == UNAVAILABLE for result in results) else ()
        return json_response(status, BatchResponse(accepted=accepted, results=results), headers)

    def not_acknowledged(self, index: int) -> OrderResult:
        order_id = self.open[index]
        response = not_acknowledged({"order_id": order_id}, self.advice)
        problem = _problem(response.body)
        return OrderResult(index=index, status=response.status, order_id=order_id, problem=problem)


@lru_cache(maxsize=16)  # an overlong batch repeats the same few problems
def _problem(body: bytes) -> Problem:
    return msgspec.json.decode(body, type=Problem)
