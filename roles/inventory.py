"""The inventory role: decides every order. Only this role writes `inventory-events`.

Several instances share the partitions; the owner of an item's partition owns the item's whole stock.
"""

import logging
import math
from collections.abc import Iterator
from functools import partial
from threading import Event
from typing import Annotated

from pydantic import Field

from campus.config.settings import Config, RoleSettings
from campus.config.stanza import ConfigIssue, Text, setting
from campus.inventory.dedupe_window import WINDOW_ORDERS_MAX
from campus.inventory.rules import StockRules
from campus.processing.owner import Owner
from campus.processing.role_loop import KAFKA_ERRORS, LoopRole, open_clients, run_through_outages
from campus.processing.snapshots import Snapshots
from campus.supervision.registry import Registry
from campus.supervision.role import Heartbeat

NAME = "inventory"
START_ORDER = 20
# Assumed for the size of the window, not enforced. Measured: one producer gets 24,300 orders a second
# acknowledged, about 6,000 on each of 4 partitions.
DECISIONS_PER_S_MAX = 10_000
log = logging.getLogger(NAME)


class Settings(RoleSettings):
    """Decides: reserved or failed."""

    group: Text = setting("inventory-service", "instances of one group share the partitions")
    stock: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = setting(
        {"pizza": 100, "burger": 100, "salad": 100, "sandwich": 100},
        "the opening stock: counts once, when an item is new",
    )
    processing_delay_s: float = setting(0.0, "each order takes longer, to watch a backlog grow", ge=0, le=60)
    window_orders: int = setting(
        100_000, "ids kept per partition; at least 10000 × ack_timeout_s", ge=1, le=WINDOW_ORDERS_MAX
    )
    snapshot_every_orders: int = setting(
        20_000, "write the stock down after this many orders of a partition", ge=1
    )
    snapshot_every_s: float = setting(60.0, "write the stock down after this time, if orders came", ge=0.1)

    def issues_with(self, config: Config) -> Iterator[ConfigIssue]:
        # An order may be sent again within the acknowledgement timeout. Its first copy must be remembered.
        ack_timeout_s = getattr(config.roles.get("producer"), "ack_timeout_s", 0.0)
        least = math.ceil(ack_timeout_s * DECISIONS_PER_S_MAX)
        if self.window_orders < least:
            yield ConfigIssue(
                ("roles.inventory.window_orders", "roles.producer.ack_timeout_s"),
                f"{self.window_orders} is not allowed: at least {least}, which a partition may decide within "
                f"roles.producer.ack_timeout_s ({ack_timeout_s:g}); raise it, or lower the timeout",
            )


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
