"""Creates missing topics, and checks the partition counts and settings of existing ones.

No topic is created by accident: every look-up starts from the list of topics, since a broker with
auto-creation creates a topic that a client asks about.
"""

from collections.abc import Collection, Iterable, Mapping

from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import InvalidReplicationFactorError, TopicAlreadyExistsError

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import AdminClient, admin
from campus.kafka.records import TopicPartition

TopicSettings = Mapping[str, str]


class PartitionCountMismatch(CampusError):
    exit_code = 2

    def __init__(self, topic: str, found: int, wanted: int) -> None:
        super().__init__(
            f"{topic} has {found} partitions, topics.partitions says {wanted}. "
            "Probably the config changed after the topic was created, which fixes its count. "
            f"Set topics.partitions: {found}, or take a new topics.prefix."
        )


class TopicNotMade(CampusError):
    exit_code = 2


def create_missing(
    client: AdminClient, settings: Mapping[str, TopicSettings], *, partitions: int, replication: int
) -> list[str]:
    """Create the missing topics, wait until they exist, and return those that this call created.

    Raises PartitionCountMismatch, TopicNotMade.
    """
    counts = _checked_counts(client, settings, partitions)
    missing = [topic for topic in settings if topic not in counts]
    created = []
    for topic in missing:
        spec = {"num_partitions": partitions, "replication_factor": replication, "configs": settings[topic]}
        try:
            client.create_topics({topic: spec})
            created.append(topic)
        except TopicAlreadyExistsError:
            pass  # another process has just created it
        except InvalidReplicationFactorError as refused:
            raise TopicNotMade(
                f"{topic} cannot be created: topics.replication is {replication}, but the cluster has fewer "
                "brokers. Set topics.replication to at most their number."
            ) from refused
    client.wait_for_topics(missing)
    return created


def partition_counts(client: AdminClient, names: Iterable[str]) -> dict[str, int]:
    """The number of partitions of each topic that exists."""
    existing = set(client.list_topics()).intersection(names)
    if not existing:
        return {}
    return {topic["name"]: len(topic["partitions"]) for topic in client.describe_topics([*existing])}


def existing_topics(kafka: KafkaConfig, names: Collection[str], partitions: int) -> set[str]:
    """The names of the topics that exist. Raises PartitionCountMismatch, BrokerAway."""
    with admin(kafka) as client:
        return set(_checked_counts(client, names, partitions))


def settings_that_differ(client: AdminClient, settings: Mapping[str, TopicSettings]) -> list[str]:
    """One sentence for each setting of an existing topic that has another value."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name, [*settings[name]]) for name in settings]
    described = client.describe_configs(resources, config_filter="all")["topic"]
    return [
        f"{name}: {key} is {described[name][key]['value']}, should be {value}"
        for name, wanted in settings.items()
        for key, value in wanted.items()
        if described[name][key]["value"] != value
    ]


def is_empty(client: AdminClient, topic: str, partitions: int) -> bool:
    """Whether nothing was ever written to the topic."""
    tps = {TopicPartition(topic, partition): OffsetSpec.LATEST for partition in range(partitions)}
    return all(end.offset == 0 for end in client.list_partition_offsets(tps).values())


def _checked_counts(client: AdminClient, names: Iterable[str], partitions: int) -> dict[str, int]:
    counts = partition_counts(client, names)
    for topic, found in counts.items():
        if found != partitions:
            raise PartitionCountMismatch(topic, found, partitions)
    return counts
