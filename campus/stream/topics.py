"""The topics: made by name, never by accident, and checked, since the state stands on how they are.

Whoever makes `order-events`, or finds it empty since its maker was killed, writes the opening stock into it
at once, so that no order comes first.
"""

import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError

from campus.domain.codec import keyed_record
from campus.domain.ledger import openings
from campus.domain.partitions import item_partition
from campus.runtime.config import KafkaConfig, TopicsConfig
from campus.runtime.errors import CampusError
from campus.stream.clients import admin
from campus.stream.snapshots import SNAPSHOT_BYTES_MAX
from campus.stream.writer import AppendFailed, Outgoing, Place, Writer

# The journal is the state and order-events what it is proved by: neither may lose its beginning,
# and its times are the broker's, so that deciding again gives the same bytes.
KEPT_FOR_GOOD = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    # The broker unpacks what a foreign producer compressed, by whatever codec: we need not know them all.
    "compression.type": "uncompressed",
}


# Only the newest snapshots matter; small segments, since only what is not in the last one is compacted.
KEPT_COMPACT = {
    "cleanup.policy": "compact",
    "max.message.bytes": str(SNAPSHOT_BYTES_MAX),
    "segment.bytes": str(4 * SNAPSHOT_BYTES_MAX),
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
}


class PartitionCountMismatch(CampusError):
    exit_code = 2

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        self.topic, self.found, self.wanted = topic, found, wanted
        super().__init__(
            f"{topic} has {found} partitions, topics.partitions says {wanted}. "
            "Probably the config changed after the topic was made; a topic's count is fixed then. "
            f"Set topics.partitions: {found}, or take a new topics.prefix."
        )


class TopicNotMade(CampusError):
    exit_code = 2

    def __init__(self, topic: str, fact: str) -> None:
        super().__init__(f"{topic} cannot be made: {fact}")


def wanted_topics(topics: TopicsConfig) -> dict[str, dict[str, str]]:
    """The names of all topics, each with its settings."""
    return {
        topics.orders_topic: KEPT_FOR_GOOD,
        topics.journal_topic: KEPT_FOR_GOOD,
        topics.dead_letters_topic: KEPT_FOR_GOOD,
        topics.inventory_snapshots_topic: KEPT_COMPACT,
        topics.analytics_snapshots_topic: KEPT_COMPACT,
    }


def ensure_topics(kafka: KafkaConfig, topics: TopicsConfig, opening_stock: Mapping[str, int]) -> list[str]:
    """Make what is missing, and return the names that were made here.

    Raises BrokerAway, AppendFailed, PartitionCountMismatch, TopicNotMade.
    """
    with admin(kafka) as client:
        counts = partition_counts(client, wanted_topics(topics))
        _check_counts(counts, topics)
        missing = [topic for topic in wanted_topics(topics) if topic not in counts]
        made = [topic for topic in missing if _make(client, topic, topics)]
        client.wait_for_topics(missing)
        is_new = topics.orders_topic in made or _is_empty(client, topics)
    if is_new:
        _write_opening_stock(kafka, topics, opening_stock)
    return made


def partition_counts(client: KafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each of the topics has; those that are not there are left out."""
    # The list first: a broker with auto-creation makes a topic because somebody asks about it.
    there = set(client.list_topics()).intersection(names)
    if not there:
        return {}
    return {topic["name"]: len(topic["partitions"]) for topic in client.describe_topics([*there])}


def topics_there(kafka: KafkaConfig, topics: TopicsConfig, names: Collection[str]) -> set[str]:
    """Those of our topics that are made; the others have no records. Raises PartitionCountMismatch."""
    with admin(kafka) as client:
        counts = partition_counts(client, names)
    _check_counts(counts, topics)
    return set(counts)


def settings_that_differ(client: KafkaAdminClient, topics: TopicsConfig) -> list[str]:
    """For people: what of the topics is set otherwise than this program needs it."""
    wanted = wanted_topics(topics)
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, [*wanted[name]]) for name in wanted]
    described = client.describe_configs(resources, config_filter="all")["topic"]
    return [
        f"{name}: {key} is {described[name][key]['value']}, should be {value}"
        for name, settings in wanted.items()
        for key, value in settings.items()
        if described[name][key]["value"] != value
    ]


def _check_counts(counts: Mapping[str, int], topics: TopicsConfig) -> None:
    for topic, found in counts.items():
        if found != topics.partitions:
            raise PartitionCountMismatch(topic, found, topics.partitions)


def _make(client: KafkaAdminClient, topic: str, topics: TopicsConfig) -> bool:
    """Whether it was made here; another process may be quicker."""
    wanted = {
        "num_partitions": topics.partitions,
        "replication_factor": topics.replication,
        "configs": wanted_topics(topics)[topic],
    }
    try:
        client.create_topics({topic: wanted})
    except TopicAlreadyExistsError:
        return False
    except InvalidReplicationFactorError as refused:
        raise TopicNotMade(
            topic,
            f"topics.replication is {topics.replication}, and there are not so many brokers. "
            "Set topics.replication to at most their number.",
        ) from refused
    return True


def _is_empty(client: KafkaAdminClient, topics: TopicsConfig) -> bool:
    places = [TopicPartition(topics.orders_topic, partition) for partition in range(topics.partitions)]
    ends = client.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    return all(end.offset == 0 for end in ends.values())


def _write_opening_stock(kafka: KafkaConfig, topics: TopicsConfig, opening_stock: Mapping[str, int]) -> None:
    records: dict[Place, list[Outgoing]] = {}
    for opening in openings(opening_stock):
        place = Place(topics.orders_topic, item_partition(opening.item, topics.partitions))
        records.setdefault(place, []).append(keyed_record(opening))
    # The brokers may not know yet who leads what was made just now. Written twice it counts once.
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
