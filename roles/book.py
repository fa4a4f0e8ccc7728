"""The book role: follows both logs and keeps the order book, which knows the latest orders and the stock.

It writes nothing to Kafka and no other role waits for it. With a book in the registry the API can answer what
became of an order; without one it still takes orders. Every process that runs this role has a whole book of
its own.
"""

import logging
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Annotated

from campus.book.order_book import OrderBook
from campus.book.projector import Projector
from campus.config.settings import Between, Config
from campus.kafka.log_reader import LogReader
from campus.processing.role_loop import LoopRole, run_through_outages
from campus.supervision.registry import Registry
from campus.supervision.role import Heartbeat

NAME = "book"
START_ORDER = 30  # before the producer, so that the API can answer from its first order on
log = logging.getLogger(NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    enabled: bool = True
    orders_max: Annotated[int, Between(100, 1_000_000)] = 100_000


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
