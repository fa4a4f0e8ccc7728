"""The loop that owns partitions: claim and restore; then poll, decide, write, wait, over and over.

Its invariant: what is in a state is in the journal, or the state is thrown away before anything
more is decided from it. So what is in the journal is never decided again, what is not is, and what
arrives late belongs to an owner whose claim is over. It knows no orders: the fold decides.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as StopEvent
from typing import Generic, Protocol, TypeVar
from uuid import uuid4

from campus.config.settings import TopicsConfig
from campus.domain.codec import ConsumerRecord, encode, keyed_record
from campus.domain.events import Entry, Input, JournalEvent, OwnerClaimed
from campus.domain.journal import OWNER_HEADER
from campus.inventory.ledger import Reroute, SideOutput
from campus.kafka.group_consumer import PollResult
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import AppendResult, Bounds, ProducerRecord, TopicPartition
from campus.processing.moved_offsets import Wishes
from campus.processing.restore import Folds, History, RestoredState, Restorer
from campus.processing.snapshots import Snapshots

POLL_S = 0.2
COMMIT_EVERY_S = 1.0
PACED_ROUND_S = 0.2  # an owner that is slowed down still writes what it decided this often
BEAT_EVERY_S = 0.5  # while a record is slowed down


class Fold(Protocol):
    """One partition's state; `next_offset` is that of the input record it waits for."""

    @property
    def next_offset(self) -> int: ...
    def decide(self, record: ConsumerRecord) -> tuple[Entry, SideOutput | None]: ...
    def apply(self, event: JournalEvent) -> None: ...
    def state(self) -> bytes: ...


F = TypeVar("F", bound=Fold)


class Rules(Protocol[F]):
    def fold(self, partition: int) -> F: ...
    def fold_of(self, partition: int, state: bytes) -> F: ...
    def claim(self, owner: str) -> OwnerClaimed: ...
    def missing_inputs(self, fold: F) -> Sequence[Input]: ...


class Group(Protocol):
    """What the loop needs of a GroupReader; the simulation has its own."""

    def poll(self, *, timeout_s: float, records_max: int) -> PollResult: ...
    def seek(self, partition: int, offset: int) -> None: ...
    def positions(self, partitions: Collection[int]) -> dict[int, int]: ...
    def externally_moved_offsets(self, partitions: Collection[int]) -> dict[int, int]: ...
    def commit(self, partitions: Collection[int]) -> None: ...


class Appender(Protocol):
    def append(
        self, records: Mapping[TopicPartition, Sequence[ProducerRecord]]
    ) -> dict[TopicPartition, AppendResult]: ...


@dataclass(slots=True)
class Owned(RestoredState[F]):
    """A partition that we claimed. `inputs_known_at`: once the fold has come that far, it knows
    which inputs nobody ever wrote; None when that is settled."""

    owner_header: Sequence[tuple[str, bytes]]
    inputs_known_at: int | None


class Owner(Generic[F]):
    def __init__(
        self,
        rules: Rules[F],
        topics: TopicsConfig,
        *,
        group: Group,
        history: History,
        appender: Appender,
        snapshots: Snapshots,
        records_max: int,
        delay_s: float = 0.0,
        heartbeat: Callable[[], None] = lambda: None,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        new_owner_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """`delay_s`: how long each record takes; `heartbeat` is called meanwhile."""
        self._rules, self._topics = rules, topics
        self._group, self._history, self._appender, self._snapshots = group, history, appender, snapshots
        self._restorer = Restorer(
            Folds(rules.fold, rules.fold_of),
            history,
            journal=topics.journal_topic,
            snapshots=topics.inventory_snapshots_topic,
        )
        self._wishes = Wishes(group, self._restorer, log)
        self._delay_s, self._beat = delay_s, heartbeat
        self._records_max = max(1, min(records_max, int(PACED_ROUND_S / delay_s))) if delay_s else records_max
        self._log, self._clock, self._new_owner_id = log, clock, new_owner_id
        self._owned: dict[int, Owned[F]] = {}
        self._commit_due_at = clock()

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(self._owned)

    def fold(self, partition: int) -> F:
        """Of a partition that is ours."""
        return self._owned[partition].fold

    def step(self, stop: StopEvent) -> bool:
        """One round; says whether the group has confirmed us. After an error: `start_anew`.

        Raises AppendFailed, BrokerAway, Fenced, HistoryMissing.
        """
        polled = self._group.poll(timeout_s=POLL_S, records_max=self._records_max)
        self._release(polled.revoked | (self._owned.keys() - polled.assigned))
        if new := polled.assigned - self._owned.keys():
            self._claim_and_restore(new, stop)
            self._seek_all()  # which also throws away what was polled
        else:
            self._decide_and_write(polled, stop)
        self._write_missing_inputs()
        self._snapshots.write_due(self._owned)
        return self._commit_if_due()

    def start_anew(self) -> None:
        """Throw every state away: the next step claims and restores what is assigned then."""
        self._owned.clear()

    def finish(self) -> None:
        """At a clean stop: write down and publish how far we have decided."""
        if self._owned:
            self._snapshots.write(self._owned)
            self._seek_all()
            self._group.commit(self._owned.keys())

    def _release(self, partitions: Collection[int]) -> None:
        """They were taken away. What we have of them is still true, and spares the next owner work."""
        released = {p: self._owned.pop(p) for p in partitions if p in self._owned}
        self._snapshots.write(released)

    def _seek_all(self) -> None:
        for partition, owned in self._owned.items():
            self._group.seek(partition, owned.fold.next_offset)

    # Claiming and restoring

    def _claim_and_restore(self, partitions: Collection[int], stop: StopEvent) -> None:
        """Append the claims, then fold the journal up to them. Takes nothing if `stop` is set."""
        started_at = self._clock()
        claims = {partition: self._rules.claim(self._new_owner_id()) for partition in partitions}
        landed = self._appender.append(
            {self._journal(partition): [(None, encode(c), ())] for partition, c in claims.items()}
        )
        claimed_at = {tp.partition: at.first for tp, at in landed.items()}
        folded = self._restored_as_wished(claimed_at, stop)
        inputs = self._history.bounds([self._orders(partition) for partition in claims])
        if stop.is_set():
            return
        for partition, claim in claims.items():
            one, bounds = folded[partition], inputs[self._orders(partition)]
            self._check_next_input(partition, one.fold, bounds)
            self._snapshots.count_from(partition, one)
            one.fold.apply(claim)
            one.rule.owner, one.rule.offset = claim.owner, claimed_at[partition]
            header = ((OWNER_HEADER, claim.owner.encode()),)
            self._owned[partition] = Owned(
                one.rule, one.fold, one.begun_at, one.key, header, inputs_known_at=bounds.end
            )
        self._say_claimed(partitions, self._clock() - started_at)

    def _restored_as_wished(
        self, claimed_at: Mapping[int, int], stop: StopEvent
    ) -> dict[int, RestoredState[F]]:
        restored = self._restorer.restored(claimed_at, stop)
        if stop.is_set():
            return restored
        decided = {partition: one.fold.next_offset for partition, one in restored.items()}
        return self._wishes.heeded(restored, decided, claimed_at, stop)

    def _check_next_input(self, partition: int, fold: F, bounds: Bounds) -> None:
        if bounds.start <= fold.next_offset <= bounds.end:
            return
        topic = self._topics.orders_topic
        raise HistoryMissing(
            f"{topic}-{partition} holds offsets {bounds.start} to {bounds.end}, but the journal "
            f"says that {fold.next_offset} comes next. Probably one of the two topics was deleted "
            "or trimmed. Restore it, or start with a new topics.prefix."
        )

    def _say_claimed(self, partitions: Collection[int], took_s: float) -> None:
        listed = ", ".join(map(str, sorted(partitions)))
        inputs = sum(self._owned[partition].fold.next_offset for partition in partitions)
        self._log(f"claimed {_plural(len(partitions))} {listed} after {inputs:,} records, {took_s:.1f} s")

    # Deciding and writing

    def _decide_and_write(self, polled: PollResult, stop: StopEvent) -> None:
        entries: dict[TopicPartition, list[ProducerRecord]] = {}
        side_outputs: dict[TopicPartition, list[ProducerRecord]] = {}
        for partition, records in polled.batches.items():
            if partition not in self._owned:
                continue
            owned = self._owned[partition]
            for record in records:
                if record.offset < owned.fold.next_offset:
                    continue  # delivered again
                if self._delay_s and self._delayed(stop):
                    break
                entry, side_output = owned.fold.decide(record)
                owned.fold.apply(entry)
                entries.setdefault(self._journal(partition), []).append(
                    (None, encode(entry), owned.owner_header)
                )
                if side_output:
                    self._add_side_output(side_outputs, side_output)
        if side_outputs:
            self._appender.append(side_outputs)  # before the entries: a crash between repeats, not loses
        if entries:
            self._check_landing(entries, self._appender.append(entries))

    def _delayed(self, stop: StopEvent) -> bool:
        """Whether it was told to stop meanwhile."""
        left_s = self._delay_s
        while left_s > 0:
            if stop.wait(min(left_s, BEAT_EVERY_S)):
                return True
            left_s -= BEAT_EVERY_S
            self._beat()
        return False

    def _add_side_output(
        self, side_outputs: dict[TopicPartition, list[ProducerRecord]], output: SideOutput
    ) -> None:
        topic = self._topics.orders_topic if isinstance(output, Reroute) else self._topics.dead_letters_topic
        tp = TopicPartition(topic, output.partition)
        side_outputs.setdefault(tp, []).append((output.key, output.value, output.headers))

    def _check_landing(
        self,
        entries: Mapping[TopicPartition, Sequence[ProducerRecord]],
        landed: Mapping[TopicPartition, AppendResult],
    ) -> None:
        """What did not land right after our last entry has somebody else's claim before it, or a
        stranger's record: then the group knows whether the partition is still ours."""
        overtaken = []
        for tp, at in landed.items():
            rule, count = self._owned[tp.partition].rule, len(entries[tp])
            if at.first != rule.offset + 1 or at.end != at.first + count:
                overtaken.append(tp.partition)
            rule.seq, rule.offset = rule.seq + count, at.end - 1
        if overtaken:
            self._group.commit(self._owned.keys())
            self._log(f"somebody else wrote to the journal of {_plural(len(overtaken))} {overtaken}")
            for partition in overtaken:
                del self._owned[partition]

    def _write_missing_inputs(self) -> None:
        """Ask for what the rules miss, once all that stood there at the claim was decided."""
        unsettled = [p for p, owned in self._owned.items() if owned.inputs_known_at is not None]
        wanted: dict[TopicPartition, list[ProducerRecord]] = {}
        # Not the next offset of the fold: the last record can be followed by a transaction's marker.
        for partition, position in (self._group.positions(unsettled) if unsettled else {}).items():
            owned = self._owned[partition]
            if owned.inputs_known_at is None or position < owned.inputs_known_at:
                continue
            owned.inputs_known_at = None
            for event in self._rules.missing_inputs(owned.fold):
                wanted.setdefault(self._orders(partition), []).append(keyed_record(event))
        if wanted:
            self._appender.append(wanted)

    def _commit_if_due(self) -> bool:
        """Idle too: kafka-python's poll does not tell a member that it was left behind."""
        if not self._owned or self._clock() < self._commit_due_at:
            return False
        self._group.commit(self._owned.keys())
        self._commit_due_at = self._clock() + COMMIT_EVERY_S
        return True

    def _journal(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.journal_topic, partition)

    def _orders(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.orders_topic, partition)


def _plural(count: int) -> str:
    return "partition" if count == 1 else "partitions"
