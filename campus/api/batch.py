"""A batch of orders: each is read, handed over and answered by itself, and one answer tells of them all.

One bad order does not lose the others. The answer is given when every order that was handed over is settled,
or its time is over; what has not been acknowledged by then is told with its id, since it may still come.
"""

from functools import lru_cache
from typing import Any

import msgspec

from campus.api.bodies import ORDER_FORM, read_batch
from campus.api.orders import OrderHandler, key_of, order_not_acknowledged
from campus.api.problems import AGAIN_AS_BATCH, LOOK_FIRST
from campus.api.types import BatchAnswer, Problem, Result
from campus.domain.events import OrderPlaced
from campus.http.deferred import DEFERRED, Deferred
from campus.http.problems import Refused, Response, json_response
from campus.http.refusals import TRY_AGAIN

ACCEPTED, MIXED, UNAVAILABLE = 202, 207, 503
LATER = Response(ACCEPTED, (), b"")  # never sent: the deferred has another in its place


class BatchHandler:
    """Touched in the event loop only."""

    def __init__(self, handler: OrderHandler) -> None:
        self._handler = handler

    def place(self, environ: dict[str, Any]) -> Response:
        orders = read_batch(environ, self._handler.settings.batch_orders_max)
        key = key_of(environ)
        batch = Batch(self._handler, LOOK_FIRST if key is None else AGAIN_AS_BATCH)
        for index, body in enumerate(orders):
            try:
                result = self._placed(batch, index, body, key)
            except Refused as refused:
                result = _refused(index, refused.response)
            batch.results.append(result)
        if not batch.open or not self._handler.settings.acknowledged:
            return batch.answer()
        environ[DEFERRED] = batch.deferred = Deferred(batch.answer)
        return LATER

    def _placed(self, batch: "Batch", index: int, body: bytes, key: str | None) -> Result | None:
        """The order's result, if there is one already. Raises Refused."""
        handler = self._handler
        # A key has no line break, so no other batch and no single order can have the key of this one.
        order = handler.order_of(ORDER_FORM.read(body), None if key is None else f"{key}\n{index}")
        if key is not None and handler.is_known(order.order_id):
            return _accepted(index, order.order_id)
        tp = handler.partition_of(order.item)
        handler.hand_over(tp, order, BatchOrder(batch, index, order, tp.partition))
        batch.open[index] = order.order_id
        return None if handler.settings.acknowledged else _accepted(index, order.order_id)


class Batch:
    def __init__(self, handler: OrderHandler, advice: str) -> None:
        self.handler = handler
        self._advice = advice  # for the one who is not told in time what has become of an order
        self.results: list[Result | None] = []
        self.open: dict[int, str] = {}  # the ids of those that were handed over and are not settled
        self.deferred: Deferred | None = None

    def landed(self, index: int) -> None:
        self._resolve(index, _accepted(index, self.open[index]))

    def failed(self, index: int) -> None:
        self._resolve(index, self._not_acknowledged(index))

    def answer(self) -> Response:
        """As things are now: what is not settled may still come, and nobody can say."""
        results = [
            self._not_acknowledged(index) if result is None else result
            for index, result in enumerate(self.results)
        ]
        accepted = sum(result.status == ACCEPTED for result in results)
        status = ACCEPTED if accepted == len(results) else MIXED
        later = TRY_AGAIN if any(result.status == UNAVAILABLE for result in results) else ()
        return json_response(status, BatchAnswer(accepted=accepted, results=results), later)

    def _resolve(self, index: int, result: Result) -> None:
        self.results[index] = result
        del self.open[index]
        if not self.open and self.deferred is not None:
            self.deferred.replace(self.answer())

    def _not_acknowledged(self, index: int) -> Result:
        order_id = self.open[index]
        response = order_not_acknowledged(order_id, self._advice)
        return Result(index=index, status=response.status, order_id=order_id, problem=_problem(response.body))


class BatchOrder:
    """One order of a batch that was handed over."""

    __slots__ = ("_batch", "_index", "_order", "_partition")

    def __init__(self, batch: Batch, index: int, order: OrderPlaced, partition: int) -> None:
        self._batch, self._index, self._order, self._partition = batch, index, order, partition

    def landed(self) -> None:
        self._batch.handler.has_landed(self._order, self._partition)
        self._batch.landed(self._index)

    def failed(self) -> None:
        self._batch.failed(self._index)


def _accepted(index: int, order_id: str) -> Result:
    return Result(index=index, status=ACCEPTED, order_id=order_id)


def _refused(index: int, response: Response) -> Result:
    return Result(index=index, status=response.status, problem=_problem(response.body))


@lru_cache(maxsize=16)  # a batch over the bounds has the same again and again
def _problem(body: bytes) -> Problem:
    return msgspec.json.decode(body, type=Problem)
