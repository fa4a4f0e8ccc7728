"""The GET endpoints: orders and stock from the order book, and readiness.

The book remembers a bounded window of orders, and each list says which. Where this process has no book, the
answer is 503 with how to start one.
"""

from typing import Any

from campus.api.problems import BROKER_AWAY, NO_ORDER_BOOK, ORDER_BOOK_BEHIND, UNKNOWN_ORDER
from campus.api.publisher import Publisher
from campus.api.types import Health, OrderList, StockList
from campus.book.order_book import OrderBook
from campus.book.views import OrderView
from campus.http.problems import Environ, Response, json_response
from campus.http.refusals import RETRY_AFTER
from campus.supervision.registry import Registry

ORDERS_LISTED = 100


class QueryHandler:
    def __init__(self, publisher: Publisher, registry: Registry) -> None:
        self._publisher, self._registry = publisher, registry

    def order(self, _environ: Environ, order_id: str) -> Response:
        return json_response(200, self.known_order(order_id))

    def orders(self, _environ: Environ, limit: int = ORDERS_LISTED, **filters: Any) -> Response:
        book = self._book()
        return json_response(200, OrderList(orders=book.latest(limit=limit, **filters), window=book.window()))

    def stock(self, _environ: Environ) -> Response:
        book = self._book()
        stock, window = book.stock(), book.window()
        if not stock and not window.caught_up:
            raise ORDER_BOOK_BEHIND.refusal("The stock is not loaded yet", headers=RETRY_AFTER)
        return json_response(200, StockList(stock=stock, window=window))

    def health(self, _environ: Environ) -> Response:
        if self._publisher.is_acknowledging():
            return json_response(200, Health(status="ok"))
        return BROKER_AWAY.response("Orders fail until the broker acknowledges again", headers=RETRY_AFTER)

    def known_order(self, order_id: str) -> OrderView:
        """Raises Refused if the order book does not have the order."""
        book = self._book()
        order = book.order(order_id)
        if order is not None:
            return order
        window = book.window()
        if not window.caught_up:  # a 404 would be final for the client
            raise ORDER_BOOK_BEHIND.refusal("The order is not in the order book yet", headers=RETRY_AFTER)
        raise UNKNOWN_ORDER.refusal(
            f"The order book, which keeps the last {window.orders_max} orders, does not have this one"
        )

    def _book(self) -> OrderBook:
        book = self._registry.find(OrderBook)
        if book is None:
            raise NO_ORDER_BOOK.refusal(
                "This process runs without the book role: start it with --role book too", headers=RETRY_AFTER
            )
        return book
