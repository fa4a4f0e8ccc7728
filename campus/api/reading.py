"""What can be asked: of the order book, whether the service is well, and what the API is.

The book remembers a bounded window of orders, and says so with each answer; where no book is kept, whoever
asks is told how to have one.
"""

from typing import Any

from campus.api import operations
from campus.api.docs_page import PAGE
from campus.api.openapi import DOCUMENT
from campus.api.parameters import of_query
from campus.api.problems import BROKER_AWAY, NO_ORDER_BOOK, ORDER_BOOK_BEHIND, UNKNOWN_ORDER
from campus.api.publisher import Publisher
from campus.api.types import Health, Index, OrderList, StockList
from campus.book.order_book import OrderBook
from campus.book.views import OrderView
from campus.http.problems import Response, json_response
from campus.http.refusals import TRY_AGAIN
from campus.supervision.registry import Registry

ORDERS_LISTED = 100


class Reading:
    def __init__(self, publisher: Publisher, registry: Registry) -> None:
        self._publisher, self._registry = publisher, registry

    def order(self, _environ: dict[str, Any], order_id: str) -> Response:
        return json_response(200, self.known(order_id))

    def orders(self, environ: dict[str, Any]) -> Response:
        wanted = {
            "limit": ORDERS_LISTED,
            **of_query(environ["QUERY_STRING"], operations.FIND_ORDERS.parameters),
        }
        book = self._book()
        return json_response(200, OrderList(orders=book.latest(**wanted), window=book.window()))

    def stock(self, _environ: dict[str, Any]) -> Response:
        book = self._book()
        stock, window = book.stock(), book.window()
        if not stock and not window.caught_up:
            raise ORDER_BOOK_BEHIND.refuses("Nothing is known of the stock yet", headers=TRY_AGAIN)
        return json_response(200, StockList(stock=stock, window=window))

    def health(self, _environ: dict[str, Any]) -> Response:
        if self._publisher.is_through():
            return json_response(200, Health(status="ok"))
        return BROKER_AWAY("Orders are taken, and fail until it is back", headers=TRY_AGAIN)

    def openapi(self, _environ: dict[str, Any]) -> Response:
        return DOCUMENT

    def docs(self, _environ: dict[str, Any]) -> Response:
        return PAGE

    def index(self, _environ: dict[str, Any]) -> Response:
        return json_response(303, Index(docs="/docs", openapi="/openapi.json"), (("location", "/docs"),))

    def known(self, order_id: str) -> OrderView:
        """Raises Refused for an order that the book does not know."""
        book = self._book()
        order = book.order(order_id)
        if order is None:
            window = book.window()
            if not window.caught_up:  # a client takes a 404 for the last word
                raise ORDER_BOOK_BEHIND.refuses(
                    "The order book has no such order yet, and is still reading the logs", headers=TRY_AGAIN
                )
            raise UNKNOWN_ORDER.refuses(
                f"The order book has no such order. It remembers the last {window.orders_max}"
            )
        return order

    def _book(self) -> OrderBook:
        book = self._registry.find(OrderBook)
        if book is None:
            raise NO_ORDER_BOOK.refuses(
                "This process runs without the role that keeps it: start it with --role book too",
                headers=TRY_AGAIN,
            )
        return book
