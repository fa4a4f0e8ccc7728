"""The book role: follows both logs and keeps the order book, which knows the latest orders and the stock.

It writes nothing to Kafka and no other role waits for it. With a book in the registry the API can answer what
became of an order; without one it still takes orders. Every process that runs this role has a whole book of
its own.
"""

import logging
from contextlib import closing
from functools import partial
from threading import Event

from campus.book.order_book import OrderBook
from campus.book.projector import Projector
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import setting
from campus.kafka.log_reader import LogReader
from campus.processing.role_loop import LoopRole, run_through_outages
from campus.supervision.registry import Registry
from campus.supervision.role import Heartbeat

NAME = "book"
START_ORDER = 30  # before the producer, so that the API can answer from its first order on
log = logging.getLogger(NAME)


class Settings(RoleSettings):
    """Answers what became of an order, and what is in stock."""

    orders_max: int = setting(100_000, "orders kept in memory; 100000 take about 80 MB", ge=100, le=1_000_000)


def build(settings: Settings, config: Config, registry: Registry) -> LoopRole:
    return LoopRole(config.kafka, partial(run, settings, config, registry))


def run(settings: Settings, config: Config, registry: Registry, stop: Event, heartbeat: Heartbeat) -> None:
    book = OrderBook(orders_max=settings.orders_max)
    with (
        closing(LogReader(config.kafka, client_id=NAME, heartbeat=heartbeat.renew)) as reader,
        registry.showing(OrderBook, book),
    ):
        projector = Projector(book, config.topics, reader)
        # Ready before the history is read: the producer starts next and must not wait for it.
        run_through_outages(projector, stop, kafka=config.kafka, heartbeat=heartbeat, log=log)
