"""Which groups are ours, and what moving a group's offsets to a target would do. Moves nothing itself."""

from collections.abc import Collection, Mapping
from typing import Any

from campus.config.settings import Config
from campus.groups.offset_target import Target, aimed_at
from campus.kafka.clients import AdminClient
from campus.kafka.consumer_groups import Group, Move, first_offsets_since, log_bounds
from campus.kafka.records import TopicPartition


def our_groups(config: Config) -> dict[str, str]:
    """The groups of our roles, and the topic that each reads."""
    reads = {"inventory": config.topics.orders_topic, "analytics": config.topics.journal_topic}
    roles: Mapping[str, Any] = config.roles  # each has settings of its own kind
    return {roles[name].group: topic for name, topic in reads.items()}


def planned(client: AdminClient, group: Group, tps: Collection[TopicPartition], to: Target) -> list[Move]:
    """What moving the group's offsets there comes to, within the log as it is now."""
    bounds = log_bounds(client, tps)
    since = first_offsets_since(client, bounds, to.number) if to.kind == "time" else {}
    moves = []
    for tp, at in sorted(bounds.items()):
        was = group.committed.get(tp)
        asked = aimed_at(to, start=at.start, end=at.end, committed=was, since=since.get(tp))
        moves.append(Move(tp, was, max(at.start, min(asked, at.end)), asked))
    return moves
