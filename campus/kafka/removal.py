"""Deletes temporary topics and groups: all whose names begin with a prefix that was generated for them."""

import logging
import time
from threading import Event

from campus.config.settings import KafkaConfig
from campus.errors import CampusError
from campus.kafka.clients import AdminClient, admin

PREFIX_CHARS_MIN = 8  # so that nothing else begins with it by chance
TIMEOUT_S = 15.0  # a group can be deleted when its members have left, or their session has timed out
RETRY_S = 0.2

log = logging.getLogger("removal")


class NotRemoved(CampusError):
    def __init__(self, prefix: str, names: list[str]) -> None:
        super().__init__(
            f"{', '.join(names)} could not be removed within {TIMEOUT_S:g} s. Probably they are in use. "
            f"Remove what begins with {prefix} by Kafka's own tools"
        )


def remove_all_named(kafka: KafkaConfig, prefix: str) -> None:
    """Delete them and wait until they are gone. Raises BrokerAway, NotRemoved."""
    assert len(prefix) >= PREFIX_CHARS_MIN, f"{prefix!r} may be the beginning of somebody else's names"
    deadline = time.monotonic() + TIMEOUT_S
    with admin(kafka) as client:
        while names := _delete_existing(client, prefix):
            if time.monotonic() > deadline:
                raise NotRemoved(prefix, names)
            Event().wait(RETRY_S)


def _delete_existing(client: AdminClient, prefix: str) -> list[str]:
    """Ask once to delete what exists, and return its names. What is refused now is asked for again."""
    topics = [name for name in client.list_topics() if name.startswith(prefix)]
    groups = [group["group_id"] for group in client.list_groups() if group["group_id"].startswith(prefix)]
    if topics:
        log.debug("topics: %s", client.delete_topics(topics, raise_errors=False))
    if groups:
        log.debug("groups: %s", client.delete_groups(groups))
    return topics + groups
