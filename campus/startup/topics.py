"""Creates the topics before any role starts. Runs in every process; the first one creates them.

The process that creates `order-events`, or finds it empty because its creator was killed, writes the opening
stock into it at once, so that no order comes before it.
"""

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from threading import Event

from campus.addresses import wait_for_listener
from campus.config.settings import Config, KafkaConfig, TopicsConfig
from campus.domain.codec import keyed_record
from campus.domain.partitions import item_partition
from campus.domain.snapshot import SNAPSHOT_BYTES_MAX
from campus.inventory.ledger import openings
from campus.kafka.clients import BrokerAway, admin
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition
from campus.kafka.topics import TopicSettings, create_missing, is_empty
from campus.supervision.role import Heartbeat

RETRY_PAUSE_S = 0.5
log = logging.getLogger("topics")

# Part of the protocol. The journal is the state and order-events is its proof, so neither may lose its
# beginning. The broker sets the timestamps, so that deciding again gives the same bytes.
KEPT_FOR_GOOD = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    # The broker decompresses what foreign producers send, so our consumers need no codec library.
    "compression.type": "uncompressed",
}

# Only the newest snapshots matter. Segments are small, because the last segment is never compacted.
KEPT_COMPACT = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(SNAPSHOT_BYTES_MAX),
    "segment.bytes": str(4 * SNAPSHOT_BYTES_MAX),
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


def create_topics(config: Config, stop: Event, heartbeat: Heartbeat) -> None:
    """The second child: tries until the topics are there, or `stop` is set."""
    heartbeat.report("waiting for the broker")
    opening_stock = getattr(config.roles.get("inventory"), "stock", {})
    while wait_for_listener(config.kafka.addresses, stop, heartbeat=heartbeat.renew):
        try:
            created = ensure_topics(config.kafka, config.topics, opening_stock)
        except (AppendFailed, BrokerAway) as error:
            log.info("trying again: %s", error)
            stop.wait(RETRY_PAUSE_S)
            continue
        if created:
            log.info("created %s with %d partitions each", ", ".join(created), config.topics.partitions)
        return


def topic_settings(topics: TopicsConfig) -> dict[str, TopicSettings]:
    """All topics of the system, with the settings that the protocol needs."""
    return {
        topics.orders_topic: KEPT_FOR_GOOD,
        topics.journal_topic: KEPT_FOR_GOOD,
        topics.dead_letters_topic: KEPT_FOR_GOOD,
        topics.inventory_snapshots_topic: KEPT_COMPACT,
        topics.analytics_snapshots_topic: KEPT_COMPACT,
    }


def ensure_topics(kafka: KafkaConfig, topics: TopicsConfig, opening_stock: Mapping[str, int]) -> list[str]:
    """Create the missing topics and return their names; write the opening stock if order-events is empty.

    Raises BrokerAway, AppendFailed, PartitionCountMismatch, TopicNotMade.
    """
    with admin(kafka) as client:
        created = create_missing(
            client, topic_settings(topics), partitions=topics.partitions, replication=topics.replication
        )
        needs_stock = topics.orders_topic in created or is_empty(
            client, topics.orders_topic, topics.partitions
        )
    if needs_stock:
        _write_opening_stock(kafka, topics, opening_stock)
    return created


def _write_opening_stock(kafka: KafkaConfig, topics: TopicsConfig, opening_stock: Mapping[str, int]) -> None:
    records: dict[TopicPartition, list[ProducerRecord]] = {}
    for opening in openings(opening_stock):
        tp = TopicPartition(topics.orders_topic, item_partition(opening.item, topics.partitions))
        records.setdefault(tp, []).append(keyed_record(opening))
    # A new partition may not have a leader yet. If the opening stock is written twice, it counts once.
    deadline = time.monotonic() + kafka.request_timeout_s
    with closing(Writer(kafka, client_id="campuskafka-topics")) as writer:
        while True:
            try:
                writer.append(records)
            except AppendFailed as failed:
                if not failed.retriable or time.monotonic() > deadline:
                    raise
            else:
                return
