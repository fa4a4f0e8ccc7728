"""The book role: follows both logs and keeps the order book, which knows the latest orders and the stock.

It writes nothing to Kafka and no other role waits for it. With a book in the registry the API can answer what
became of an order; without one it still takes orders. Every process that runs this role has a whole book of
its own.
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
from campus.processing.role_loop import run_through_outages
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat

NAME = "book"
START_ORDER = 30  # before the producer, so that the API can answer from its first order on
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
        kafka = self._config.kafka
        if not wait_for_listener(kafka.addresses, stop, heartbeat=self._heartbeat.renew):
            return
        book = OrderBook(orders_max=self._settings.orders_max)
        with (
            closing(LogReader(kafka, client_id=NAME, heartbeat=self._heartbeat.renew)) as reader,
            self._registry.showing(OrderBook, book),
        ):
            projector = Projector(book, self._config.topics, reader)
            # Ready before the history is read: the producer starts next and must not wait for it.
            run_through_outages(projector, stop, kafka=kafka, heartbeat=self._heartbeat, log=log)


def build(settings: Settings, config: Config, registry: Registry) -> Book:
    return Book(settings, config, registry)
