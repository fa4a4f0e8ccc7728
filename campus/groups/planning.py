"""The consumer groups of our roles, and the moves that a target means for a group. Moves nothing itself."""

from collections.abc import Collection, Mapping
from typing import Any

from campus.config.settings import Config
from campus.groups.offset_target import Target, target_offset
from campus.kafka.clients import AdminClient
from campus.kafka.consumer_groups import Group, OffsetMove, log_bounds, offsets_for_time
from campus.kafka.records import TopicPartition


def our_groups(config: Config) -> dict[str, str]:
    """The topic that each group of our roles reads, by group."""
    reads = {"inventory": config.topics.orders_topic, "analytics": config.topics.journal_topic}
    roles: Mapping[str, Any] = config.roles  # each role has a settings class of its own
    return {roles[name].group: topic for name, topic in reads.items()}


def plan_moves(
    client: AdminClient, group: Group, tps: Collection[TopicPartition], target: Target
) -> list[OffsetMove]:
    """The moves of the group to the target, clamped to the log as it is now."""
    bounds = log_bounds(client, tps)
    since = offsets_for_time(client, bounds, target.number) if target.kind == "time" else {}
    moves = []
    for tp, log in sorted(bounds.items()):
        was = group.committed.get(tp)
        requested = target_offset(target, log, committed=was, since=since.get(tp))
        moves.append(OffsetMove(tp, was, max(log.start, min(requested, log.end)), requested))
    return moves
