"""Inventory: decides every order, and is the only one that writes `inventory-events`.

Several instances share the partitions out; whichever holds an item's partition holds its whole
stock.
"""

import logging
import time
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Annotated

from campus.addresses import wait_for_listener
from campus.config.settings import AtLeast, Between, Config, Portions, Text
from campus.inventory.dedupe_window import WINDOW_ORDERS_MAX
from campus.inventory.rules import StockRules
from campus.kafka.clients import BrokerAway
from campus.kafka.group_consumer import Fenced, GroupConsumer
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.processing.outage import run_through_outages
from campus.processing.owner import Owner
from campus.processing.snapshots import Snapshots
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat

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


class Inventory:
    def __init__(self, settings: Settings, config: Config) -> None:
        self._settings, self._config = settings, config
        self._heartbeat = Heartbeat()

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, stop: Event) -> None:
        kafka = self._config.kafka
        if not wait_for_listener(kafka.addresses, stop, heartbeat=self._heartbeat.renew):
            return
        with (
            closing(Writer(kafka, client_id=NAME)) as writer,
            closing(LogReader(kafka, client_id=NAME, heartbeat=self._heartbeat.renew)) as history,
            closing(self._joined()) as group,
        ):
            owner = Owner(
                self._rules(),
                self._config.topics,
                group=group,
                history=history,
                appender=writer,
                snapshots=self._snapshots(writer),
                records_max=kafka.consumer.max_poll_records,
                delay_s=self._settings.processing_delay_s,
                heartbeat=self._heartbeat.renew,
                log=log.info,
            )
            self._heartbeat.report("running", ready=True)
            run_through_outages(owner, stop, kafka=kafka, heartbeat=self._heartbeat, log=log)
            try:
                owner.finish()
            except (AppendFailed, BrokerAway, Fenced) as away:
                log.warning("stopped without a snapshot, the next start takes longer: %s", away)

    def _joined(self) -> GroupConsumer:
        return GroupConsumer(
            self._config.kafka,
            topic=self._config.topics.orders_topic,
            group=self._settings.group,
            client_id=NAME,
        )

    def _snapshots(self, writer: Writer) -> Snapshots:
        return Snapshots(
            writer,
            self._config.topics.inventory_snapshots_topic,
            every_events=self._settings.snapshot_every_orders,
            every_s=self._settings.snapshot_every_s,
            clock=time.monotonic,
        )

    def _rules(self) -> StockRules:
        return StockRules(
            partitions=self._config.topics.partitions,
            opening_stock=self._settings.stock,
            window_orders=self._settings.window_orders,
        )


def build(settings: Settings, config: Config, _registry: Registry) -> Inventory:
    return Inventory(settings, config)
