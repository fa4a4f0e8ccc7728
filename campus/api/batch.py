"""A batch of orders: each is read, handed over and answered by itself, and one answer tells of them all.

One bad order does not lose the others. The answer is given when every order that was handed over is settled,
or its time is over; what has not been acknowledged by then is told with its id, since it may still come.
"""

from typing import Any

import msgspec

from campus.api.bodies import ORDER_FORM, read_batch
from campus.api.orders import OrderDesk, key_of, order_not_acknowledged
from campus.api.types import BatchAnswer, Problem, Result
from campus.domain.events import OrderPlaced
from campus.runtime.http.deferred import DEFERRED, Deferred
from campus.runtime.http.problems import Refused, Response, json_response

ACCEPTED, MIXED = 202, 207
LATER = Response(ACCEPTED, (), b"")  # never sent: the deferred has another in its place


class BatchDesk:
    """Touched in the event loop only."""

    def __init__(self, desk: OrderDesk) -> None:
        self._desk = desk

    def place(self, environ: dict[str, Any]) -> Response:
        orders = read_batch(environ, self._desk.terms.batch_orders_max)
        key = key_of(environ)
        batch = Batch(self._desk)
        for index, body in enumerate(orders):
            try:
                result = self._placed(batch, index, body, key)
            except Refused as refused:
                result = _refused(index, refused.response)
            batch.results.append(result)
        if not batch.open or not self._desk.terms.acknowledged:
            return batch.answer()
        environ[DEFERRED] = batch.deferred = Deferred(batch.answer)
        return LATER

    def _placed(self, batch: "Batch", index: int, body: bytes, key: str | None) -> Result | None:
        """The order's result, if there is one already. Raises Refused."""
        desk = self._desk
        # A key has no line break, so no other batch and no single order can have the key of this one.
        order = desk.order_of(ORDER_FORM.read(body), None if key is None else f"{key}\n{index}")
        if key is not None and desk.is_known(order):
            return _accepted(index, order.order_id)
        place = desk.place_of(order.item)
        desk.hand_over(place, order, BatchOrder(batch, index, order, place.partition))
        batch.open[index] = order.order_id
        return None if desk.terms.acknowledged else _accepted(index, order.order_id)


class Batch:
    def __init__(self, desk: OrderDesk) -> None:
        self.desk = desk
        self.results: list[Result | None] = []
        self.open: dict[int, str] = {}  # the ids of those that were handed over and are not settled
        self.deferred: Deferred | None = None

    def settle(self, index: int, result: Result) -> None:
        self.results[index] = result
        del self.open[index]
        if not self.open and self.deferred is not None:
            self.deferred.replace(self.answer())

    def answer(self) -> Response:
        """As things are now: what is not settled may still come, and nobody can say."""
        results = [
            _not_acknowledged(index, self.open[index]) if result is None else result
            for index, result in enumerate(self.results)
        ]
        accepted = sum(result.status == ACCEPTED for result in results)
        status = ACCEPTED if accepted == len(results) else MIXED
        return json_response(status, BatchAnswer(accepted=accepted, results=results))


class BatchOrder:
    """One order of a batch that was handed over."""

    __slots__ = ("_batch", "_index", "_order", "_partition")

    def __init__(self, batch: Batch, index: int, order: OrderPlaced, partition: int) -> None:
        self._batch, self._index, self._order, self._partition = batch, index, order, partition

    def landed(self) -> None:
        self._batch.desk.has_landed(self._order, self._partition)
        self._batch.settle(self._index, _accepted(self._index, self._order.order_id))

    def failed(self) -> None:
        self._batch.settle(self._index, _not_acknowledged(self._index, self._order.order_id))


def _accepted(index: int, order_id: str) -> Result:
    return Result(index=index, status=ACCEPTED, order_id=order_id)


def _refused(index: int, response: Response) -> Result:
    return Result(index=index, status=response.status, problem=_problem(response))


def _not_acknowledged(index: int, order_id: str) -> Result:
    response = order_not_acknowledged(order_id)
    return Result(index=index, status=response.status, order_id=order_id, problem=_problem(response))


def _problem(response: Response) -> Problem:
    return msgspec.json.decode(response.body, type=Problem)
