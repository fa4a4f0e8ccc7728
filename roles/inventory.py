"""The inventory role: decides every order. Only this role writes `inventory-events`.

Several instances share the partitions; the owner of an item's partition owns the item's whole stock.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Annotated

from campus.config.settings import AtLeast, Between, Config, Portions, Text
from campus.inventory.dedupe_window import WINDOW_ORDERS_MAX
from campus.inventory.rules import StockRules
from campus.processing.owner import Owner
from campus.processing.role_loop import KAFKA_ERRORS, LoopRole, open_clients, run_through_outages
from campus.processing.snapshots import Snapshots
from campus.supervision.registry import Registry
from campus.supervision.role import Heartbeat

NAME = "inventory"
START_ORDER = 20
log = logging.getLogger(NAME)


def _default_stock() -> dict[str, int]:
    return {"pizza": 100, "burger": 100, "salad": 100, "sandwich": 100}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    enabled: bool = True
    group: Text = "inventory-service"
    stock: dict[str, Portions] = field(default_factory=_default_stock)
    processing_delay_s: Annotated[float, Between(0, 60)] = 0.0
    window_orders: Annotated[int, Between(1, WINDOW_ORDERS_MAX)] = 100_000
    snapshot_every_orders: Annotated[int, AtLeast(1)] = 20_000
    snapshot_every_s: Annotated[float, AtLeast(0.1)] = 60.0


def build(settings: Settings, config: Config, _registry: Registry) -> LoopRole:
    return LoopRole(config.kafka, partial(run, settings, config))


def run(settings: Settings, config: Config, stop: Event, heartbeat: Heartbeat) -> None:
    topics = config.topics
    with open_clients(
        config.kafka, role=NAME, topic=topics.orders_topic, group=settings.group, heartbeat=heartbeat
    ) as clients:
        owner = Owner(
            StockRules(
                partitions=topics.partitions,
                opening_stock=settings.stock,
                window_orders=settings.window_orders,
            ),
            topics,
            clients,
            snapshots=Snapshots(
                clients.writer,
                topics.inventory_snapshots_topic,
                every_events=settings.snapshot_every_orders,
                every_s=settings.snapshot_every_s,
            ),
            records_max=config.kafka.consumer.max_poll_records,
            delay_s=settings.processing_delay_s,
            heartbeat=heartbeat.renew,
            log=log.info,
        )
        run_through_outages(owner, stop, kafka=config.kafka, heartbeat=heartbeat, log=log)
        try:
            owner.finish()
        except KAFKA_ERRORS as error:
            log.warning("stopped without a snapshot, so the next start takes longer: %s", error)
