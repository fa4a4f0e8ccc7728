"""The lag of consumer groups, partition by partition: log end minus the offset that the group committed.

Never an estimate: what a group has read and not committed is lag. A group that has not committed has the
whole log before it. Rates and verdicts come from a window of looks, and are of that window only.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from campus.groups.lag_verdict import Observation, Verdict, judged
from campus.kafka.clients import AdminClient
from campus.kafka.consumer_groups import (
    Group,
    UnknownGroup,
    group_named,
    groups_on,
    log_bounds,
    partitions_of,
)
from campus.kafka.records import Bounds, TopicPartition

WINDOW_LOOKS = 10  # as many as Burrow keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """Offsets, rates in records/s, and who holds the partition; see `lag_verdict` for what None means."""

    group: str
    topic: str
    partition: int
    start: int
    committed: int | None
    end: int
    lag: int
    rate_in: float | None
    rate_out: float | None
    time_to_drain_s: float | None
    verdict: Verdict
    state: str
    client_id: str | None
    host: str | None


class LagWatch:
    """Looks at the groups again and again. `ours`: groups that are known beforehand, and what each reads."""

    def __init__(
        self,
        ours: Mapping[str, str],
        *,
        only: str | None = None,
        looks_max: int = WINDOW_LOOKS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ours, self._only, self._looks_max, self._clock = ours, only, looks_max, clock
        self._windows: dict[tuple[str, TopicPartition], deque[Observation]] = {}

    def look(self, client: AdminClient) -> list[PartitionLag]:
        """Every partition of every group, as of now. Raises UnknownGroup, and as `clients.admin` does."""
        groups = self._groups(client)
        tps = {name: self._partitions(client, group) for name, group in groups.items()}
        # After the commits: so what was committed is in the log, and no lag is less than nothing.
        bounds, at_s = log_bounds(client, set().union(*tps.values())), self._clock()
        windows = {
            (name, tp): self._window_with(name, tp, _observed(groups[name], tp, bounds[tp], at_s))
            for name in sorted(groups)
            for tp in sorted(tps[name] & bounds.keys())
        }
        self._windows = windows  # what is gone is forgotten
        return [_told(groups[name], tp, window) for (name, tp), window in windows.items()]

    def _groups(self, client: AdminClient) -> dict[str, Group]:
        """Those on the broker, and ours also before it has heard of them."""
        if self._only is None:
            return groups_on(client, self._ours.keys())
        group = group_named(client, self._only)
        if not group.is_known and self._only not in self._ours:
            raise UnknownGroup(self._only, groups_on(client, ()))
        return {group.name: group}

    def _partitions(self, client: AdminClient, group: Group) -> set[TopicPartition]:
        topic = self._ours.get(group.name)
        return group.partitions | (partitions_of(client, topic) if topic else set())

    def _window_with(self, group: str, tp: TopicPartition, seen: Observation) -> deque[Observation]:
        window = self._windows.get((group, tp)) or deque(maxlen=self._looks_max)
        window.append(seen)
        return window


def _observed(group: Group, tp: TopicPartition, log: Bounds, at_s: float) -> Observation:
    # Of some groups the broker tells this client no members, only that there are any.
    is_held = group.holder(tp) is not None or (group.is_active and not group.members)
    return Observation(at_s, log.start, group.committed.get(tp), log.end, is_held)


def _told(group: Group, tp: TopicPartition, window: Sequence[Observation]) -> PartitionLag:
    seen, judgement, holder = window[-1], judged(window), group.holder(tp)
    return PartitionLag(
        group=group.name,
        topic=tp.topic,
        partition=tp.partition,
        start=seen.start,
        committed=seen.committed,
        end=seen.end,
        lag=seen.lag,
        rate_in=judgement.rate_in,
        rate_out=judgement.rate_out,
        time_to_drain_s=judgement.time_to_drain_s,
        verdict=judgement.verdict,
        state=group.state,
        client_id=holder.client_id if holder else None,
        host=holder.host if holder else None,
    )
