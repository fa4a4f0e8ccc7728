"""Taking away, whole, what somebody made for a while: the topics and groups whose names begin with a prefix.

The prefix must be one that was drawn for this, so that nothing else can begin with it.
"""

import logging
from threading import Event

from kafka import KafkaAdminClient
from kafka.errors import KafkaError, RetriableError, UnknownTopicOrPartitionError

from campus.addresses import wait_until
from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import admin

PREFIX_CHARS_MIN = 8
LEFT_S = 15.0  # a group is removed when its members have left, or were silent for their session's time
LOOK_EVERY_S = 0.2

log = logging.getLogger("removal")


class NotRemoved(CampusError):
    def __init__(self, prefix: str, left: list[str]) -> None:
        super().__init__(
            f"{', '.join(left)} could not be removed within {LEFT_S:g} s. Probably somebody still uses them. "
            f"Remove what begins with {prefix} by Kafka's own tools"
        )


def remove_all_named(kafka: KafkaConfig, prefix: str) -> None:
    """Returns when they are gone. Raises BrokerAway, NotRemoved."""
    assert len(prefix) >= PREFIX_CHARS_MIN, f"{prefix!r} may be the beginning of somebody else's names"
    with admin(kafka) as client:
        removed = wait_until(
            lambda: not _remove_what_is_left(client, prefix), Event(), timeout_s=LEFT_S, every_s=LOOK_EVERY_S
        )
        if not removed:
            raise NotRemoved(prefix, _topics(client, prefix) + _groups(client, prefix))


def _remove_what_is_left(client: KafkaAdminClient, prefix: str) -> list[str]:
    """Ask for all of it to be removed; returns what there was to remove."""
    if topics := _topics(client, prefix):
        try:
            client.delete_topics(topics)
        except UnknownTopicOrPartitionError:
            log.debug("one of %s was gone already", topics)
        except RetriableError:
            raise
        except KafkaError as error:  # of a broker that lets nobody do it: what is left is named in the end
            log.debug("%s are not removed: %s", topics, error)
    if groups := _groups(client, prefix):
        refused = {group: word for group, word in client.delete_groups(groups).items() if word != "OK"}
        if refused:
            log.debug("not yet: %s", refused)  # somebody is still in it
    return topics + groups


def _topics(client: KafkaAdminClient, prefix: str) -> list[str]:
    return [name for name in client.list_topics() if name.startswith(prefix)]


def _groups(client: KafkaAdminClient, prefix: str) -> list[str]:
    return [group["group_id"] for group in client.list_groups() if group["group_id"].startswith(prefix)]
