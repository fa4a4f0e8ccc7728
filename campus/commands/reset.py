"""Move the offsets of a consumer group by hand, while nobody is in it: shows what changes, and does it.

--to takes earliest, latest, an offset, a time (2025-11-22T18:51:35Z, UTC unless it says otherwise, or a
number of 12 digits or more: ms since 1970), or -N: so many before where the group is. What lies outside of
the log is clamped to it. The state of inventory and analytics does not hang on their offsets: moved back,
they rebuild it from the log at their next start, to the same totals; moved forward, no record is skipped.
Exits with 1 if the group is active or unknown, 2 for a wrong --to, 3 without a broker.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.groups.lag import our_groups
from campus.groups.offset_target import Target, parse_target, plan_moves
from campus.kafka.clients import BrokerAway, admin
from campus.kafka.consumer_groups import (
    Group,
    GroupActive,
    NothingToMove,
    OffsetMove,
    UnknownGroup,
    describe_group,
    describe_groups,
    move_offsets,
    partitions_of,
    with_retries,
)
from campus.kafka.records import TopicPartition
from campus.logs import printable

HELP = "move a consumer group's offsets, for instance back to the earliest, to see a replay"
NO_BROKER = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", required=True, metavar="G", help="whose offsets")
    parser.add_argument(
        "--to", required=True, type=_target, metavar="WHERE", help="earliest, latest, OFFSET, TIME or -N"
    )
    parser.add_argument("--topic", metavar="T", help="only on this one, all of it (default: what it reads)")
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")


def run(args: argparse.Namespace, context: Context) -> int:
    try:
        with a_broker(context.config):
            reset(args, context.config)
    except BrokerAway as away:
        print(f"campuskafka: {away}", file=sys.stderr)
        return NO_BROKER
    return 0


def reset(args: argparse.Namespace, config: Config) -> None:
    """Raises UnknownGroup, NothingToMove, GroupActive, OffsetsNotMoved, BrokerAway."""
    group, moves = with_retries(lambda client: _plan(client, args, config), config.kafka)
    changes = [one for one in moves if one.to != one.was]
    print(as_text(group, args.to, moves), flush=True)
    if group.is_active:
        raise GroupActive(group)
    if args.dry_run:
        print(f"{_counted(changes)} would be moved; nothing was changed")
        return
    with admin(config.kafka) as client:
        move_offsets(client, group, changes)
    print("; ".join([f"{_counted(changes)} moved", *_what_ours_do(group, changes, config)]))


def _plan(client: Any, args: argparse.Namespace, config: Config) -> tuple[Group, list[OffsetMove]]:
    group = describe_group(client, args.group)
    if not group.is_known and group.name not in our_groups(config):
        raise UnknownGroup(group.name, describe_groups(client, ()))
    return group, plan_moves(client, group, _partitions(client, group, args.topic, config), args.to)


def _partitions(client: Any, group: Group, topic: str | None, config: Config) -> set[TopicPartition]:
    ours = our_groups(config).get(group.name)
    if ours and topic not in (None, ours):
        raise NothingToMove(
            f"{group.name} reads {ours}: offsets on {topic!r} would be nobody's. Leave --topic out"
        )
    topic = topic or ours
    tps = partitions_of(client, topic) if topic else group.partitions
    if not tps:
        what = f"there is no topic {topic!r}" if topic else f"{group.name} has read no topic yet"
        raise NothingToMove(f"{what}. Name one by --topic; `lag` shows which are read here")
    return tps


# Telling


def as_text(group: Group, target: Target, moves: Sequence[OffsetMove]) -> str:
    topic_chars = max([len("topic"), *(len(one.tp.topic) for one in moves)])
    return "\n".join(
        [
            f"{printable(group.name)} ({group.state}), to {target}:",
            f"{'topic':<{topic_chars}}  {'partition':>9}  {'from':>12}  {'to':>12}",
            *(_line(one, topic_chars) for one in moves),
        ]
    )


def _line(one: OffsetMove, topic_chars: int) -> str:
    was = "-" if one.was is None else f"{one.was:,}"
    line = f"{one.tp.topic:<{topic_chars}}  {one.tp.partition:>9}  {was:>12}  {one.to:>12,}"
    if one.is_clamped:
        return f"{line}  the log does not have {one.requested:,}"
    return f"{line}  as it is" if one.was == one.to else line


def _counted(moves: Sequence[OffsetMove]) -> str:
    return "1 partition" if len(moves) == 1 else f"{len(moves)} partitions"


def _what_ours_do(group: Group, changes: Sequence[OffsetMove], config: Config) -> list[str]:
    if not changes or group.name not in our_groups(config):
        return []
    if any(one.was is not None and one.to < one.was for one in changes):
        return ["at its next start the role rebuilds its state from the journal, to the same totals"]
    return ["at its next start the role says so, and skips no record"]


def _target(text: str) -> Target:
    try:
        return parse_target(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from wrong
