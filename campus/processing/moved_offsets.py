"""What becomes of a group's offset that somebody moved by hand, with whatever tool: it is a wish.

The state stands on the journal, never on the group's offset. So an offset that was moved back asks for the
state to be made again from the journal's beginning, and changes nothing else; one that was moved forward is
told of, and no record is skipped. Each is heard once: the role's next commit is its own again.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from threading import Event as StopEvent
from typing import Generic, Protocol, TypeVar

from campus.processing.restore import Foldable, RestoredState, Restorer

log = logging.getLogger("offsets")

A = TypeVar("A", bound=Foldable)


class Movable(Protocol):
    """What is needed of a GroupReader; the simulation has its own."""

    def externally_moved_offsets(self, partitions: Collection[int]) -> dict[int, int]: ...


class Wishes(Generic[A]):
    def __init__(self, group: Movable, restorer: Restorer[A], log: Callable[[str], None]) -> None:
        self._group, self._restorer, self._log = group, restorer, log

    def heeded(
        self,
        restored: Mapping[int, RestoredState[A]],
        stand_for: Mapping[int, int],
        ends: Mapping[int, int],
        stop: StopEvent,
    ) -> dict[int, RestoredState[A]]:
        """What was restored; of partitions whose offset was moved back, made from the beginning instead.

        `stand_for`: the offset, on the group's topic, up to which each state has what was written;
        `ends`: those on the journal that it was restored up to. Raises BrokerAway, HistoryMissing.
        """
        moved = self._group.externally_moved_offsets(restored.keys())
        back = {p: to for p, to in moved.items() if to < stand_for[p]}
        if on := {p: to for p, to in moved.items() if to > stand_for[p]}:
            listed = _listed(on)
            self._log(f"offsets moved on by hand, {listed}: no record is skipped, it goes on from its state")
        if not back:
            return dict(restored)
        self._log(f"offsets moved back by hand, {_listed(back)}: rebuilding from the journal's beginning")
        rebuilt = self._restorer.rebuilt({p: ends[p] for p in back}, stop)
        if not stop.is_set():
            self._say_what_came_of_it(restored, rebuilt, back)
        return {**restored, **rebuilt}

    def _say_what_came_of_it(
        self,
        restored: Mapping[int, RestoredState[A]],
        rebuilt: Mapping[int, RestoredState[A]],
        back: Mapping[int, int],
    ) -> None:
        if trimmed := back.keys() - rebuilt.keys():
            log.warning(
                "%s cannot be rebuilt: the journal has lost its beginning. Its last snapshot is used; "
                "probably the topic had a retention limit, and it must keep everything (retention.ms=-1)",
                _named(trimmed),
            )
        if not rebuilt:
            return
        entries = sum(folded.rule.seq for folded in rebuilt.values())
        told = f"rebuilt {_named(rebuilt)} from {entries:,} entries"
        if other := {p for p in rebuilt if rebuilt[p].fold.state() != restored[p].fold.state()}:
            log.warning("%s: %s differs from what its snapshot gave, and is used", told, _named(other))
        else:
            self._log(f"{told}: the same state as before")


def _named(partitions: Collection[int]) -> str:
    listed = ", ".join(map(str, sorted(partitions)))
    return f"partition {listed}" if len(partitions) == 1 else f"partitions {listed}"


def _listed(offsets: Mapping[int, int]) -> str:
    return ", ".join(f"partition {partition} to {to}" for partition, to in sorted(offsets.items()))
