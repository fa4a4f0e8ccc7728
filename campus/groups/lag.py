"""The lag of consumer groups by partition: the log's end minus the offset that the group committed.

What a group has read but not committed is lag, and a group that has not committed has the whole log before
it. Rates and verdicts are those of a window of samples.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from campus.config.settings import Config
from campus.groups.lag_verdict import Observation, Verdict, judge
from campus.kafka.clients import AdminClient
from campus.kafka.consumer_groups import (
    Group,
    describe_groups,
    known_group,
    log_bounds,
    partitions_of,
)
from campus.kafka.records import Bounds, TopicPartition

WINDOW_SAMPLES = 10  # as many as Burrow keeps


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLag:
    """Rates are in records/s; `lag_verdict` says what None means. `client_id`, `host`: of the assignee."""

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


def our_groups(config: Config) -> dict[str, str]:
    """The topic that each group of our roles reads, by group."""
    reads = {"inventory": config.topics.orders_topic, "analytics": config.topics.journal_topic}
    roles: Mapping[str, Any] = config.roles  # each role has a settings class of its own
    return {roles[name].group: topic for name, topic in reads.items()}


class LagMonitor:
    """Samples the lag and keeps a window of samples for each partition of each group."""

    def __init__(
        self,
        ours: Mapping[str, str],
        *,
        only: str | None = None,
        samples_max: int = WINDOW_SAMPLES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ours`: see `our_groups`; these are included even if the broker does not know them yet."""
        self._ours, self._only, self._samples_max, self._clock = ours, only, samples_max, clock
        self._windows: dict[tuple[str, TopicPartition], deque[Observation]] = {}

    def sample(self, client: AdminClient) -> list[PartitionLag]:
        """The current lag of every partition of every group, or of `only`. Raises UnknownGroup."""
        ours, only = self._ours, self._only
        groups = describe_groups(client, ours) if only is None else {only: known_group(client, only, ours)}
        tps = {name: group.partitions for name, group in groups.items()}
        for name in tps.keys() & ours.keys():
            tps[name] |= partitions_of(client, ours[name])
        # After the commits, so that what was committed is in the log and no lag is negative.
        bounds, at_s = log_bounds(client, set().union(*tps.values())), self._clock()
        old, self._windows = self._windows, {}  # what no longer exists is forgotten
        rows = []
        for name, group in sorted(groups.items()):
            for tp in sorted(tps[name] & bounds.keys()):
                window = old.get((name, tp)) or deque(maxlen=self._samples_max)
                window.append(observed(group, tp, bounds[tp], at_s))
                self._windows[name, tp] = window
                rows.append(_partition_lag(group, tp, window))
        return rows


def observed(group: Group, tp: TopicPartition, log: Bounds, at_s: float) -> Observation:
    # An active group without members is one whose members kafka-python cannot describe.
    is_assigned = group.assignee(tp) is not None or (group.is_active and not group.members)
    return Observation(at_s, log.start, group.committed.get(tp), log.end, is_assigned)


def _partition_lag(group: Group, tp: TopicPartition, window: Sequence[Observation]) -> PartitionLag:
    seen, assignee = window[-1], group.assignee(tp)
    return PartitionLag(
        group=group.name,
        topic=tp.topic,
        partition=tp.partition,
        start=seen.start,
        committed=seen.committed,
        end=seen.end,
        lag=seen.lag,
        **asdict(judge(window)),
        state=group.state,
        client_id=assignee.client_id if assignee else None,
        host=assignee.host if assignee else None,
    )
