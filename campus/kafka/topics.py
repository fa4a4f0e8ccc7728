"""Topics: create the missing ones by name, and check the partition counts of the others.

Topics are never created by accident: every look-up asks for the list of topics first, since a broker with
auto-creation creates what somebody asks about.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError
from kafka.structs import TopicPartition

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import admin

TopicSettings = Mapping[str, str]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPlan:
    """The topics that must exist: their settings by name; all have the same number of partitions."""

    settings: Mapping[str, TopicSettings]
    partitions: int
    replication: int


def create_missing(client: KafkaAdminClient, plan: TopicPlan) -> list[str]:
    """Create the topics that do not exist and wait until they do.

    Returns the names that this call created; another process may have created the rest.
    Raises PartitionCountMismatch if an existing topic has another count, TopicNotMade.
    """
    counts = partition_counts(client, plan.settings)
    check_counts(counts, plan.partitions)
    missing = [topic for topic in plan.settings if topic not in counts]
    created = [topic for topic in missing if _create(client, topic, plan)]
    client.wait_for_topics(missing)
    return created


def partition_counts(client: KafkaAdminClient, names: Iterable[str]) -> dict[str, int]:
    """How many partitions each topic has; topics that do not exist are left out."""
    there = set(client.list_topics()).intersection(names)
    if not there:
        return {}
    return {topic["name"]: len(topic["partitions"]) for topic in client.describe_topics([*there])}


def existing_topics(kafka: KafkaConfig, names: Collection[str], partitions: int) -> set[str]:
    """Those of the topics that exist. Raises PartitionCountMismatch if one has another count."""
    with admin(kafka) as client:
        counts = partition_counts(client, names)
    check_counts(counts, partitions)
    return set(counts)


def settings_that_differ(client: KafkaAdminClient, settings: Mapping[str, TopicSettings]) -> list[str]:
    """One sentence for each setting of an existing topic that is not as wanted."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, [*settings[name]]) for name in settings]
    described = client.describe_configs(resources, config_filter="all")["topic"]
    return [
        f"{name}: {key} is {described[name][key]['value']}, should be {value}"
        for name, wanted in settings.items()
        for key, value in wanted.items()
        if described[name][key]["value"] != value
    ]


def is_empty(client: KafkaAdminClient, topic: str, partitions: int) -> bool:
    """Whether nothing was ever written to any partition of the topic."""
    asked = {TopicPartition(topic, partition): OffsetSpec.LATEST for partition in range(partitions)}
    return all(end.offset == 0 for end in client.list_partition_offsets(asked).values())


def check_counts(counts: Mapping[str, int], partitions: int) -> None:
    """Raises PartitionCountMismatch for the first topic with another count."""
    for topic, found in counts.items():
        if found != partitions:
            raise PartitionCountMismatch(topic, found, partitions)


def _create(client: KafkaAdminClient, topic: str, plan: TopicPlan) -> bool:
    """Returns False if another process was quicker."""
    wanted = {
        "num_partitions": plan.partitions,
        "replication_factor": plan.replication,
        "configs": plan.settings[topic],
    }
    try:
        client.create_topics({topic: wanted})
    except TopicAlreadyExistsError:
        return False
    except InvalidReplicationFactorError as refused:
        raise TopicNotMade(
            topic,
            f"topics.replication is {plan.replication}, but the cluster has fewer brokers. "
            "Set topics.replication to at most the number of brokers.",
        ) from refused
    return True
