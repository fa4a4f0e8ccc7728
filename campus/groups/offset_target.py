"""Parses where to move a group's offsets, and plans the moves that `move_offsets` then makes.

earliest | latest     the start or the end of the log
1500                  an offset
1763837495123         a time in ms since 1970: any number of 12 digits or more, which no offset here reaches
2025-11-22T18:51:35Z  a time, ISO 8601, UTC unless it has an offset: the first record at or after it
-10                   10 records before the committed offset
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal

from campus.domain.times import iso_utc
from campus.kafka.clients import AdminClient
from campus.kafka.consumer_groups import Group, OffsetMove, log_bounds, offsets_for_time
from campus.kafka.records import Bounds, TopicPartition

TIME_MS_MIN = 10**11  # 1973; smaller numbers are offsets
TIME_MS_MAX = 253_402_300_799_999  # the year 9999


@dataclass(frozen=True, slots=True)
class Target:
    """`number`: the offset, the time in ms, or how many records back."""

    kind: Literal["earliest", "latest", "offset", "time", "back"]
    number: int = 0

    def __str__(self) -> str:
        if self.kind == "offset":
            return f"offset {self.number:,}"
        if self.kind == "time":
            return f"the first record from {iso_utc(self.number)} on"
        return f"{self.number:,} back" if self.kind == "back" else self.kind


def parse_target(text: str) -> Target:
    """Raises ValueError if it is none of the forms above."""
    text = text.strip()
    if text in ("earliest", "latest"):
        return Target("earliest" if text == "earliest" else "latest")
    if re.fullmatch(r"-[0-9]{1,19}", text):
        return Target("back", -int(text))
    if re.fullmatch(r"[0-9]{1,19}", text):
        number = int(text)
        if number < TIME_MS_MIN:
            return Target("offset", number)
        if number > TIME_MS_MAX:
            raise ValueError(f"{text} is neither an offset nor a time in ms")
        return Target("time", number)
    return Target("time", _ms_of(text))


def _ms_of(text: str) -> int:
    try:
        time = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError:
        raise ValueError(
            f"{text!r} is none of: earliest, latest, an offset, a time (2025-11-22T18:51:35Z, or in ms), -N"
        ) from None
    aware = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    ms = round(aware.timestamp() * 1000)
    if ms < 0:
        raise ValueError(f"{text} is before 1970")
    return ms


def target_offset(target: Target, log: Bounds, *, committed: int | None, since: int | None) -> int:
    """Possibly outside the log. `since`: the offset of the first record from the target's time on, if any."""
    if target.kind == "earliest":
        return log.start
    if target.kind == "latest":
        return log.end
    if target.kind == "offset":
        return target.number
    if target.kind == "time":
        return log.end if since is None else since
    return (log.start if committed is None else committed) - target.number


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
