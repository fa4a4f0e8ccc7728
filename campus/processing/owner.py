"""The owner's loop: decides every input of its partitions exactly once, without Kafka transactions.

    for each partition that the group newly assigns:
      1. append OwnerClaimed to the journal; its offset is F
      2. read the newest snapshot
      3. fold the journal from there up to F
      4. check that the input topic still holds the next input, and seek to it
    then repeat:
      5. poll, then decide and apply each record
      6. append the side outputs (dead letters, reroutes)
      7. append the entries; if they did not land right behind our last one, another client has written:
         ask the group whether the partition is still ours
      8. write the snapshots that are due; commit the group's offset about once a second

The invariant: whatever is in a fold is in the journal, or the fold is discarded before anything else is
decided from it. An entry that lands late belongs to an owner whose claim is over, so no reader counts it. The
loop does not know what an order is: the fold decides.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event as StopEvent
from uuid import uuid4

from campus.config.settings import TopicsConfig
from campus.domain.codec import encode, keyed_record
from campus.domain.journal import OWNER_HEADER
from campus.inventory.ledger import Reroute, SideOutput, StockLedger
from campus.inventory.rules import StockRules
from campus.kafka.group_consumer import PollResult
from campus.kafka.log_reader import HistoryMissing
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from campus.processing.moved_offsets import MovedOffsets, partitions_text
from campus.processing.restore import FoldFactory, RestoredState, Restorer
from campus.processing.role_loop import Clients, PeriodicCommit
from campus.processing.snapshots import Snapshots

POLL_S = 0.2
DELAYED_BATCH_S = 0.2  # with `delay_s`, a poll takes only as many records as are decided in this time
HEARTBEAT_EVERY_S = 0.5  # while a record is delayed


class Owner:
    def __init__(
        self,
        rules: StockRules,
        topics: TopicsConfig,
        clients: Clients,
        *,
        snapshots: Snapshots,
        records_max: int,
        delay_s: float = 0.0,
        heartbeat: Callable[[], None] = lambda: None,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        new_owner_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        """`delay_s`: an artificial delay per record; `heartbeat` is called during it."""
        self._rules, self._topics, self._snapshots = rules, topics, snapshots
        self._group, self._reader, self._writer = clients.group, clients.reader, clients.writer
        self._restorer = Restorer(
            FoldFactory(rules.fold, rules.fold_of),
            clients.reader,
            journal=topics.journal_topic,
            snapshots=topics.inventory_snapshots_topic,
        )
        self._moved_offsets = MovedOffsets(clients.group, self._restorer, log)
        self._delay_s, self._heartbeat = delay_s, heartbeat
        self._records_max = (
            max(1, min(records_max, int(DELAYED_BATCH_S / delay_s))) if delay_s else records_max
        )
        self._log, self._clock, self._new_owner_id = log, clock, new_owner_id
        self._commits = PeriodicCommit(clients.group, clock)
        self._owned: dict[int, RestoredState[StockLedger]] = {}
        # Where the inputs ended at our claim: a fold knows which ones are missing once it is there.
        self._unchecked_until: dict[int, int] = {}

    def step(self, stop: StopEvent) -> bool:
        """Poll once, and either steps 1 to 4 for new partitions or steps 5 to 7; then step 8.

        Returns whether the group confirmed our membership. Call `reset` after an error.
        Raises AppendFailed, BrokerAway, Fenced, HistoryMissing.
        """
        polled = self._group.poll(timeout_s=POLL_S, records_max=self._records_max)
        self._release(polled.revoked | (self._owned.keys() - polled.assigned))
        if new := polled.assigned - self._owned.keys():
            self._claim_and_restore(new, stop)
            self._seek_all()  # all partitions: the polled records are dropped and must be fetched again
        else:
            self._decide_and_write(polled, stop)
        self._write_missing_inputs()
        self._snapshots.write_due(self._owned)
        return self._commits.commit_if_due(self._owned.keys())

    def reset(self) -> None:
        """Discard every state; the next step claims and restores what is assigned then."""
        self._owned.clear()

    def finish(self) -> None:
        """At a clean stop: write snapshots, commit the offsets. Raises AppendFailed, BrokerAway, Fenced."""
        if self._owned:
            self._snapshots.write(self._owned)
            self._seek_all()
            self._group.commit(self._owned.keys())

    def _release(self, partitions: Collection[int]) -> None:
        """They were taken away. Their state is still true: a snapshot saves the next owner work."""
        released = {p: self._owned.pop(p) for p in partitions if p in self._owned}
        self._snapshots.write(released)

    def _seek_all(self) -> None:
        for partition, owned in self._owned.items():
            self._group.seek(partition, owned.fold.next_offset)

    # Steps 1 to 4: claim and restore

    def _claim_and_restore(self, partitions: Collection[int], stop: StopEvent) -> None:
        """Takes no partition if `stop` gets set."""
        started_at_s = self._clock()
        # 1. Claim.
        claims = {partition: self._rules.claim(self._new_owner_id()) for partition in partitions}
        results = self._writer.append(
            {self._journal(partition): [(None, encode(claim), ())] for partition, claim in claims.items()}
        )
        claim_offsets = {tp.partition: result.first for tp, result in results.items()}
        # 2 and 3. Restore up to the claim.
        restored = self._restorer.restore(claim_offsets, stop)
        positions = {partition: state.fold.next_offset for partition, state in restored.items()}
        restored = self._moved_offsets.apply(restored, positions, claim_offsets, stop)
        # 4. Check the next input.
        inputs = self._reader.bounds([self._orders(partition) for partition in claims])
        if stop.is_set():
            return
        for partition, claim in claims.items():
            state, bounds = restored[partition], inputs[self._orders(partition)]
            if not bounds.start <= state.fold.next_offset <= bounds.end:
                raise HistoryMissing(
                    f"{self._topics.orders_topic}-{partition} holds offsets {bounds.start} to {bounds.end}, "
                    f"but the journal says that {state.fold.next_offset} comes next. Probably one of the two "
                    "topics was deleted or trimmed. Restore it, or start with a new topics.prefix."
                )
            self._snapshots.track(partition, state)
            state.fold.apply(claim)
            state.rule.owner, state.rule.offset = claim.owner, claim_offsets[partition]
            self._owned[partition] = state
            self._unchecked_until[partition] = bounds.end
        decided = sum(self._owned[partition].fold.next_offset for partition in partitions)
        took_s = self._clock() - started_at_s
        self._log(f"claimed {partitions_text(partitions)} after {decided:,} records, {took_s:.1f} s")

    # Steps 5 to 7: decide and write

    def _decide_and_write(self, polled: PollResult, stop: StopEvent) -> None:
        entries: dict[TopicPartition, list[ProducerRecord]] = {}
        side_outputs: dict[TopicPartition, list[ProducerRecord]] = {}
        # 5. Decide and apply.
        for partition, records in polled.batches.items():
            if partition not in self._owned:
                continue
            owned, journal = self._owned[partition], self._journal(partition)
            owner_header = ((OWNER_HEADER, (owned.rule.owner or "").encode()),)
            for record in records:
                if record.offset < owned.fold.next_offset:
                    continue  # delivered again
                if self._delay_s and self._is_stopped_in_delay(stop):
                    break
                entry, side_output = owned.fold.decide(record)
                owned.fold.apply(entry)
                entries.setdefault(journal, []).append((None, encode(entry), owner_header))
                if side_output:
                    side_outputs.setdefault(self._target(side_output), []).append(
                        (side_output.key, side_output.value, side_output.headers)
                    )
        # 6. Before the entries: a crash in between repeats side outputs, it never loses one.
        if side_outputs:
            self._writer.append(side_outputs)
        # 7. Append the entries.
        if entries:
            self._check_append_offsets(entries, self._writer.append(entries))

    def _is_stopped_in_delay(self, stop: StopEvent) -> bool:
        """Wait `delay_s`; True as soon as `stop` is set."""
        left_s = self._delay_s
        while left_s > 0:
            if stop.wait(min(left_s, HEARTBEAT_EVERY_S)):
                return True
            left_s -= HEARTBEAT_EVERY_S
            self._heartbeat()
        return False

    def _target(self, output: SideOutput) -> TopicPartition:
        topic = self._topics.orders_topic if isinstance(output, Reroute) else self._topics.dead_letters_topic
        return TopicPartition(topic, output.partition)

    def _check_append_offsets(
        self,
        entries: Mapping[TopicPartition, Sequence[ProducerRecord]],
        results: Mapping[TopicPartition, AppendResult],
    ) -> None:
        """Entries that did not land right behind our last one follow a foreign claim or record.

        Then the commit asks the group whether we still belong to it (raises Fenced); if so, claim again.
        """
        overtaken = []
        for tp, result in results.items():
            rule, count = self._owned[tp.partition].rule, len(entries[tp])
            if result.first != rule.offset + 1 or result.end != result.first + count:
                overtaken.append(tp.partition)
            rule.seq, rule.offset = rule.seq + count, result.end - 1
        if overtaken:
            self._group.commit(self._owned.keys())
            self._log(f"another client wrote to the journal of {partitions_text(overtaken)}: claiming again")
            for partition in overtaken:
                del self._owned[partition]

    def _write_missing_inputs(self) -> None:
        """Append the inputs that the rules miss, once everything that was there at the claim is decided."""
        unchecked = [partition for partition in self._owned if partition in self._unchecked_until]
        if not unchecked:
            return
        missing: dict[TopicPartition, list[ProducerRecord]] = {}
        # Not the fold's next_offset: a transaction marker can follow the last record.
        for partition, position in self._group.positions(unchecked).items():
            if position >= self._unchecked_until[partition]:
                del self._unchecked_until[partition]
                for event in self._rules.missing_inputs(self._owned[partition].fold):
                    missing.setdefault(self._orders(partition), []).append(keyed_record(event))
        if missing:
            self._writer.append(missing)

    def _journal(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.journal_topic, partition)

    def _orders(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topics.orders_topic, partition)
