"""The order book: what became of the latest orders, and what is in stock, by following the logs.

It writes nothing and nothing waits for it: with it on the board the API can answer, without it orders are
taken all the same. Every process that runs it has the whole book, whoever decides.
"""

import logging
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import Annotated

from campus.runtime.addresses import wait_for_listener
from campus.runtime.board import Board
from campus.runtime.config import Between, Config
from campus.runtime.role import Health, Pulse
from campus.stream.book_keeper import BookKeeper
from campus.stream.history import HistoryReader
from campus.stream.order_book import OrderBook
from campus.stream.outage import run_through_outages

NAME = "book"
START_ORDER = 30  # before the producer, so that it can answer from the first order on
log = logging.getLogger(NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    enabled: bool = True
    orders_max: Annotated[int, Between(100, 1_000_000)] = 100_000


class Book:
    def __init__(self, settings: Settings, config: Config, board: Board) -> None:
        self._settings, self._config, self._board = settings, config, board
        self._pulse = Pulse()

    def health(self) -> Health:
        return self._pulse.health()

    def run(self, stop: Event) -> None:
        kafka, orders_max = self._config.kafka, self._settings.orders_max
        if not wait_for_listener(kafka.addresses, stop, beat=self._pulse.beat):
            return
        book = OrderBook(orders_max=orders_max)
        with (
            closing(HistoryReader(kafka, client_id=NAME, beat=self._pulse.beat)) as history,
            self._board.showing(OrderBook, book),
        ):
            keeper = BookKeeper(book, self._config.topics, history, orders_max=orders_max)
            # Ready before the history is read: the door that opens next must not wait for it.
            self._pulse.now("running", ready=True)
            run_through_outages(keeper, stop, kafka=kafka, pulse=self._pulse, log=log)


def build(settings: Settings, config: Config, board: Board) -> Book:
    return Book(settings, config, board)
