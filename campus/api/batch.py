"""POST /orders: each order of a batch is read, submitted and answered on its own, in one response.

An invalid order does not affect the others. The response is sent when every submitted order is acknowledged
or failed, or its time is over. An order without an acknowledgement is reported with its id, since it may
still be carried out.
"""

from functools import lru_cache
from typing import Any

import msgspec

from campus.api import bodies
from campus.api.orders import OrderHandler, key_of
from campus.api.problems import LOOK_UP_FIRST, RETRY_BATCH, not_acknowledged
from campus.api.types import BatchResponse, OrderResult, Problem
from campus.domain.events import OrderPlaced
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Refused, Response, json_response
from campus.http.refusals import RETRY_AFTER

ACCEPTED, MIXED, UNAVAILABLE = 202, 207, 503
PLACEHOLDER = Response(ACCEPTED, (), b"")  # never sent: the Deferred replaces it


class BatchHandler:
    """Used in the event loop only."""

    def __init__(self, handler: OrderHandler) -> None:
        self._handler = handler

    def place(self, environ: dict[str, Any]) -> Response:
        orders = bodies.split_batch(environ, self._handler.settings.batch_orders_max)
        key = key_of(environ)
        batch = Batch(self._handler, LOOK_UP_FIRST if key is None else RETRY_BATCH)
        for index, body in enumerate(orders):
            try:
                result = self._place(batch, index, body, key)
            except Refused as refused:
                problem = _problem(refused.response.body)
                result = OrderResult(index=index, status=refused.response.status, problem=problem)
            batch.results.append(result)
        if not batch.open or not self._handler.settings.acknowledged:
            return batch.response()
        environ[DEFERRED] = batch.deferred = Deferred(batch.response)
        return PLACEHOLDER

    def _place(self, batch: "Batch", index: int, body: bytes, key: str | None) -> OrderResult | None:
        """The order's result, or None if it waits for an acknowledgement. Raises Refused."""
        handler = self._handler
        # A key has no line break, so these keys differ from those of all other batches and single orders.
        order = handler.new_order(bodies.ORDER.read(body), None if key is None else f"{key}\n{index}")
        if key is not None and handler.is_known(order.order_id):
            return _accepted(index, order.order_id)
        tp = handler.partition_of(order.item)
        handler.submit(tp, order, BatchOrder(batch, index, order, tp.partition))
        batch.open[index] = order.order_id
        return None if handler.settings.acknowledged else _accepted(index, order.order_id)


class Batch:
    def __init__(self, handler: OrderHandler, advice: str) -> None:
        self.handler = handler
        self._advice = advice  # for orders that are not acknowledged
        self.results: list[OrderResult | None] = []
        self.open: dict[int, str] = {}  # ids of the orders that wait for an acknowledgement, by index
        self.deferred: Deferred | None = None

    def on_acknowledged(self, index: int) -> None:
        self._set_result(index, _accepted(index, self.open[index]))

    def on_failed(self, index: int) -> None:
        self._set_result(index, self._not_acknowledged(index))

    def response(self) -> Response:
        """The results so far; an order that still waits counts as not acknowledged."""
        results = [
            self._not_acknowledged(index) if result is None else result
            for index, result in enumerate(self.results)
        ]
        accepted = sum(result.status == ACCEPTED for result in results)
        status = ACCEPTED if accepted == len(results) else MIXED
        headers = RETRY_AFTER if any(result.status == UNAVAILABLE for result in results) else ()
        return json_response(status, BatchResponse(accepted=accepted, results=results), headers)

    def _set_result(self, index: int, result: OrderResult) -> None:
        self.results[index] = result
        del self.open[index]
        if not self.open and self.deferred is not None:
            self.deferred.replace(self.response())

    def _not_acknowledged(self, index: int) -> OrderResult:
        order_id = self.open[index]
        response = not_acknowledged({"order_id": order_id}, self._advice)
        problem = _problem(response.body)
        return OrderResult(index=index, status=response.status, order_id=order_id, problem=problem)


class BatchOrder:
    """One submitted order of a batch."""

    __slots__ = ("_batch", "_index", "_order", "_partition")

    def __init__(self, batch: Batch, index: int, order: OrderPlaced, partition: int) -> None:
        self._batch, self._index, self._order, self._partition = batch, index, order, partition

    def on_acknowledged(self) -> None:
        self._batch.handler.add_to_book(self._order, self._partition)
        self._batch.on_acknowledged(self._index)

    def on_failed(self) -> None:
        self._batch.on_failed(self._index)


def _accepted(index: int, order_id: str) -> OrderResult:
    return OrderResult(index=index, status=ACCEPTED, order_id=order_id)


@lru_cache(maxsize=16)  # an overlong batch repeats the same few problems
def _problem(body: bytes) -> Problem:
    return msgspec.json.decode(body, type=Problem)
