"""Handles group offsets that an external tool changed: rebuild if moved back, ignore if moved forward.

The state depends on the journal, never on the group's offset. So moving an offset back asks for the state to
be rebuilt from the journal's beginning; moving it forward skips nothing. A moved offset takes effect once:
the role's next commit overwrites it.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from threading import Event as StopEvent
from typing import Generic

from campus.kafka.group_consumer import GroupConsumer
from campus.processing.restore import F, RestoredState, Restorer

log = logging.getLogger("offsets")


class MovedOffsets(Generic[F]):
    def __init__(self, group: GroupConsumer, restorer: Restorer[F], log: Callable[[str], None]) -> None:
        self._group, self._restorer, self._log = group, restorer, log

    def apply(
        self,
        restored: dict[int, RestoredState[F]],
        positions: Mapping[int, int],
        ends: Mapping[int, int],
        stop: StopEvent,
    ) -> dict[int, RestoredState[F]]:
        """The restored states; rebuilt from the journal's beginning where the offset was moved back.

        `positions`: the offset on the group's topic that each state has reached. `ends`: the journal offset
        up to which it was restored. Raises BrokerAway, HistoryMissing.
        """
        if stop.is_set():
            return restored
        moved = self._group.externally_moved_offsets(restored.keys())
        if forward := {p: offset for p, offset in moved.items() if offset > positions[p]}:
            self._log(
                f"offsets moved forward by hand, {_offsets_text(forward)}: "
                "no record is skipped, it goes on from its state"
            )
        back = {p: offset for p, offset in moved.items() if offset < positions[p]}
        if not back:
            return restored
        self._log(
            f"offsets moved back by hand, {_offsets_text(back)}: rebuilding from the journal's beginning"
        )
        rebuilt = self._restorer.rebuild({p: ends[p] for p in back}, stop)
        if stop.is_set():
            return restored
        if trimmed := back.keys() - rebuilt.keys():
            log.warning(
                "%s cannot be rebuilt: the journal has lost its beginning. Its last snapshot is used; "
                "probably the topic had a retention limit, and it must keep everything (retention.ms=-1)",
                partitions_text(trimmed),
            )
        if rebuilt:
            entries = sum(state.rule.seq for state in rebuilt.values())
            summary = f"rebuilt {partitions_text(rebuilt)} from {entries:,} entries"
            if different := {p for p in rebuilt if rebuilt[p].fold.state() != restored[p].fold.state()}:
                differ = partitions_text(different)
                log.warning("%s: %s differs from its snapshot, and is used", summary, differ)
            else:
                self._log(f"{summary}: the same state as before")
        return restored | rebuilt


def partitions_text(partitions: Collection[int]) -> str:
    """[2] as "partition 2", [0, 2] as "partitions 0, 2"."""
    listed = ", ".join(map(str, sorted(partitions)))
    return f"partition {listed}" if len(partitions) == 1 else f"partitions {listed}"


def _offsets_text(offsets: Mapping[int, int]) -> str:
    return ", ".join(f"partition {partition} to {offset}" for partition, offset in sorted(offsets.items()))
