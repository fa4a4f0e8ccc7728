"""Move the committed offsets of a consumer group that has no active members, and show what changes.

--to takes earliest, latest, an offset, a time (2025-11-22T18:51:35Z, UTC unless it names another zone, or ms
since 1970: a number of 12 digits or more), or -N: N records before the committed offset. A target outside of
the log is clamped to it. The state of inventory and analytics does not depend on their offsets: after a move
back they rebuild it from the log at their next start, to the same totals; after a move forward they still
skip no record. Exits with 1 if the group is active or unknown, 2 for a wrong --to, 3 without a broker.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from campus.broker.errors import NoBroker
from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.errors import CampusError
from campus.groups.lag import our_groups
from campus.groups.offset_target import Target, parse_target, plan_moves
from campus.kafka.clients import BrokerAway, admin
from campus.kafka.consumer_groups import (
    Group,
    GroupActive,
    OffsetMove,
    known_group,
    move_offsets,
    partitions_of,
    with_retries,
)
from campus.kafka.records import TopicPartition
from campus.logs import printable

HELP = "move a consumer group's offsets, for example back to the earliest, to see a replay"


class NothingToMove(CampusError):
    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    where = "earliest, latest, OFFSET, TIME or -N"
    parser.add_argument("--group", required=True, metavar="G", help="the consumer group")
    parser.add_argument("--to", required=True, type=_target, metavar="WHERE", help=where)
    parser.add_argument("--topic", metavar="T", help="all of this topic only (default: what the group reads)")
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")


def run(args: argparse.Namespace, context: Context) -> int:
    try:
        with a_broker(context.config):
            reset(args, context.config)
    except BrokerAway as away:
        raise NoBroker(str(away)) from away
    return 0


def reset(args: argparse.Namespace, config: Config) -> None:
    """Print the plan and carry it out, unless --dry-run is set.

    Raises UnknownGroup, NothingToMove, GroupActive, OffsetsNotMoved, BrokerAway.
    """
    group, moves = with_retries(lambda client: _plan(client, args, config), config.kafka)
    changes = [change for change in moves if change.to != change.was]
    print(as_text(group, args.to, moves), flush=True)
    if group.is_active:
        raise GroupActive(group)
    if args.dry_run:
        print(f"{_counted(changes)} would be moved; nothing was changed")
        return
    with admin(config.kafka) as client:
        move_offsets(client, group, changes)
    print(f"{_counted(changes)} moved{_effect_on_role(group, changes, config)}")


def _plan(client: Any, args: argparse.Namespace, config: Config) -> tuple[Group, list[OffsetMove]]:
    group = known_group(client, args.group, our_groups(config))
    return group, plan_moves(client, group, _partitions(client, group, args.topic, config), args.to)


def _partitions(client: Any, group: Group, topic: str | None, config: Config) -> set[TopicPartition]:
    ours = our_groups(config).get(group.name)
    if ours and topic not in (None, ours):
        raise NothingToMove(
            f"{group.name} reads {ours}: offsets on {topic!r} would have no effect. Leave --topic out"
        )
    topic = topic or ours
    tps = partitions_of(client, topic) if topic else group.partitions
    if not tps:
        fact = f"there is no topic {topic!r}" if topic else f"{group.name} has not read any topic yet"
        raise NothingToMove(f"{fact}. Name one with --topic; `lag` lists the topics that are read")
    return tps


def as_text(group: Group, target: Target, moves: Sequence[OffsetMove]) -> str:
    topic_chars = max([len("topic"), *(len(change.tp.topic) for change in moves)])
    lines = [
        f"{printable(group.name)} ({group.state}), to {target}:",
        f"{'topic':<{topic_chars}}  {'partition':>9}  {'from':>12}  {'to':>12}",
    ]
    for change in moves:
        was = "-" if change.was is None else f"{change.was:,}"
        line = f"{change.tp.topic:<{topic_chars}}  {change.tp.partition:>9}  {was:>12}  {change.to:>12,}"
        if change.to != change.requested:
            line += f"  the log does not have {change.requested:,}"
        elif change.was == change.to:
            line += "  unchanged"
        lines.append(line)
    return "\n".join(lines)


def _counted(moves: Sequence[OffsetMove]) -> str:
    return "1 partition" if len(moves) == 1 else f"{len(moves)} partitions"


def _effect_on_role(group: Group, changes: Sequence[OffsetMove], config: Config) -> str:
    if not changes or group.name not in our_groups(config):
        return ""
    if any(change.was is not None and change.to < change.was for change in changes):
        return "; at its next start the role rebuilds its state from the journal, to the same totals"
    return "; at its next start the role reports the move, and skips no record"


def _target(text: str) -> Target:
    try:
        return parse_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
