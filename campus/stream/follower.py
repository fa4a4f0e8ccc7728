"""The loop that follows the journal and adds it up: poll, fold what counts, commit, again.

Its invariant: a partition's fold holds all that counts from the journal's beginning up to its
position, and nothing else. It writes nothing, so a fault costs only reading again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as StopEvent
from typing import Any, Generic, Protocol, TypeVar

from campus.domain.events import JournalEvent
from campus.domain.journal import JournalRule
from campus.stream.group import GroupReader

POLL_S = 0.2
COMMIT_EVERY_S = 1.0


class Applies(Protocol):
    def apply(self, event: JournalEvent) -> None: ...


A = TypeVar("A", bound=Applies)


@dataclass(slots=True)
class Following(Generic[A]):
    rule: JournalRule
    fold: A


class Follower(Generic[A]):
    def __init__(
        self,
        group: GroupReader,
        new_fold: Callable[[], A],
        *,
        records_max: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._group, self._new_fold, self._records_max = group, new_fold, records_max
        self._clock = clock
        self._following: dict[int, Following[A]] = {}
        self._commit_due_at = clock()

    def folds(self) -> dict[int, A]:
        """Per partition that is ours; of the thread that steps."""
        return {partition: following.fold for partition, following in self._following.items()}

    def step(self, _stop: StopEvent) -> bool:
        """One round; says whether the group has confirmed us. Raises BrokerAway, Fenced."""
        polled = self._group.poll(timeout_s=POLL_S, records_max=self._records_max)
        for partition in polled.lost | (self._following.keys() - polled.assigned):
            self._following.pop(partition, None)
        if new := polled.assigned - self._following.keys():
            for partition in new:
                self._following[partition] = Following(JournalRule(), self._new_fold())
                self._group.seek(partition, 0)
        # What was polled of a new partition came from elsewhere than its beginning.
        self._fold({p: records for p, records in polled.batches.items() if p not in new})
        return self._commit_if_due()

    def start_anew(self) -> None:
        """After an error: what is assigned then is folded from the beginning."""
        self._following.clear()

    def finish(self, *, within_s: float) -> None:
        """At a clean stop: take in what stands in the journal now, and publish how far we came."""
        deadline = self._clock() + within_s
        ends = self._group.ends(self._following.keys())
        while self._is_behind(ends) and self._clock() < deadline:
            self._fold(self._group.poll(timeout_s=POLL_S, records_max=self._records_max).batches)
        if self._following:
            self._group.commit(self._following.keys())

    def _fold(self, batches: Mapping[int, Sequence[Any]]) -> None:
        for partition, records in batches.items():
            if partition in self._following:
                following = self._following[partition]
                for event in following.rule.counting(records):
                    following.fold.apply(event)

    def _is_behind(self, ends: Mapping[int, int]) -> bool:
        positions = self._group.positions(self._following.keys())
        return any(positions[partition] < end for partition, end in ends.items())

    def _commit_if_due(self) -> bool:
        if not self._following or self._clock() < self._commit_due_at:
            return False
        self._group.commit(self._following.keys())
        self._commit_due_at = self._clock() + COMMIT_EVERY_S
        return True
