"""The order book: what became of the latest orders, and what is in stock, by following the logs.

It writes nothing and nothing waits for it: with it on the board the API can answer, without it orders are
taken all the same. Every process that runs it has the whole book, whoever decides.
"""

import logging
from contextlib import closing
from threading import Event

from campus.addresses import wait_for_listener
from campus.book.order_book import OrderBook
from campus.book.projector import Projector
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import setting
from campus.kafka.log_reader import LogReader
from campus.processing.outage import run_through_outages
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat

NAME = "book"
START_ORDER = 30  # before the producer, so that it can answer from the first order on
log = logging.getLogger(NAME)


class Settings(RoleSettings):
    """Answers what became of an order, and what is in stock."""

    orders_max: int = setting(100_000, "orders kept in memory; 100000 take about 80 MB", ge=100, le=1_000_000)


class Book:
    def __init__(self, settings: Settings, config: Config, registry: Registry) -> None:
        self._settings, self._config, self._registry = settings, config, registry
        self._heartbeat = Heartbeat()

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, stop: Event) -> None:
        kafka, orders_max = self._config.kafka, self._settings.orders_max
        if not wait_for_listener(kafka.addresses, stop, heartbeat=self._heartbeat.renew):
            return
        book = OrderBook(orders_max=orders_max)
        with (
            closing(LogReader(kafka, client_id=NAME, heartbeat=self._heartbeat.renew)) as history,
            self._registry.showing(OrderBook, book),
        ):
            keeper = Projector(book, self._config.topics, history, orders_max=orders_max)
            # Ready before the history is read: the door that opens next must not wait for it.
            self._heartbeat.now("running", ready=True)
            run_through_outages(keeper, stop, kafka=kafka, heartbeat=self._heartbeat, log=log)


def build(settings: Settings, config: Config, registry: Registry) -> Book:
    return Book(settings, config, registry)
