"""Mutants: each patches the real classes so that one rule of the protocol is broken.

The docstring of a mutant is the rule that it breaks. If the simulation does not catch a mutant within a
bounded number of schedules, the simulation does not test that rule.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
import pytest

from campus.domain.events import OwnerClaimed
from campus.domain.journal import JournalRule
from campus.inventory.dedupe_window import DedupeWindow, WindowState
from campus.inventory.ledger import LedgerState, StockLedger
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from campus.processing.owner import Owner
from tests.simulation.world import World

Patch: TypeAlias = pytest.MonkeyPatch
Records: TypeAlias = Mapping[TopicPartition, Sequence[ProducerRecord]]
Append: TypeAlias = Callable[[Records], dict[TopicPartition, AppendResult]]
JOURNAL = "inventory-events"

decide_and_write = Owner._decide_and_write
check_append_offsets = Owner._check_append_offsets
release = Owner._release
apply = StockLedger.apply
state = StockLedger.state
reason_to_keep = StockLedger._reason_to_keep
window_state = DedupeWindow.state
remember_reserved = DedupeWindow.remember_reserved


def commits_before_the_ack(patch: Patch) -> None:
    """The group offset says what was decided, not what was polled; and no state depends on it."""

    def commit_first(self: Owner, polled: Any, stop: Any) -> None:
        self._group.commit(self._owned.keys())
        decide_and_write(self, polled, stop)

    def seek_what_is_committed(self: Owner) -> None:
        committed = self._group._group.committed
        for partition, owned in self._owned.items():
            self._group.seek(partition, committed.get(partition, owned.fold.next_offset))

    patch.setattr(Owner, "_decide_and_write", commit_first)
    patch.setattr(Owner, "_seek_all", seek_what_is_committed)


def writes_snapshots_before_the_ack(patch: Patch) -> None:
    """A snapshot is of acknowledged entries only."""

    def snapshot_first(owner: Owner, append: Append, records: Records) -> dict[TopicPartition, AppendResult]:
        if _are_entries(records):
            owner._snapshots.write_due(owner._owned)
        return append(records)

    _with_appends(patch, snapshot_first)


def writes_snapshots_with_expected_offsets(patch: Patch) -> None:
    """A snapshot has the offsets at which entries landed, not those at which they should land."""

    def snapshot_first(owner: Owner, append: Append, records: Records) -> dict[TopicPartition, AppendResult]:
        if not _are_entries(records):
            return append(records)
        rules = {owner._owned[tp.partition].rule: len(batch) for tp, batch in records.items()}
        for rule, count in rules.items():
            rule.seq, rule.offset = rule.seq + count, rule.offset + count
        owner._snapshots.write_due(owner._owned)
        for rule, count in rules.items():
            rule.seq, rule.offset = rule.seq - count, rule.offset - count
        return append(records)

    _with_appends(patch, snapshot_first)


def does_not_check_seq(patch: Patch) -> None:
    """An entry counts only if its seq is the next one."""

    def counts(self: JournalRule, event: Any, owner: str | None) -> bool:
        if isinstance(event, OwnerClaimed):
            self.owner = event.owner
        elif owner is None or owner != self.owner:
            return False
        else:
            self.seq = event.seq
        return True

    patch.setattr(JournalRule, "counts", counts)


def does_not_check_the_owner(patch: Patch) -> None:
    """An entry counts only if its owner made the last claim."""

    def counts(self: JournalRule, event: Any, owner: str | None) -> bool:
        if isinstance(event, OwnerClaimed):
            self.owner = event.owner
        elif event.seq != self.seq + 1:
            return False
        else:
            self.seq = event.seq
        return True

    patch.setattr(JournalRule, "counts", counts)


def forgets_opening_stock_with_the_window(patch: Patch) -> None:
    """The ledger never forgets which items had their opening stock."""

    def apply_and_forget(self: StockLedger, event: Any) -> None:
        horizon_ms = self.window.horizon_ms
        apply(self, event)
        if self.window.horizon_ms != horizon_ms:
            self.opened.clear()

    patch.setattr(StockLedger, "apply", apply_and_forget)


def goes_on_after_a_failure(patch: Patch) -> None:
    """After a failed append every state is discarded."""
    patch.setattr(Owner, "reset", lambda self: None)


def appends_again_after_a_failure(patch: Patch) -> None:
    """After a failed append the state is discarded even before the same entries are appended again.

    To break this rule is harmless: as long as the state was not discarded, owner id and seq determine the
    bytes of an entry. So of two copies the later one is a repeat, and the next append shows by its offset if
    a copy landed in between.
    """

    def append_again(owner: Owner, append: Append, records: Records) -> dict[TopicPartition, AppendResult]:
        try:
            return append(records)
        except AppendFailed:
            return append(records)

    _with_appends(patch, append_again)


def keeps_its_owner_id_over_a_restore(patch: Patch) -> None:
    """A restore takes a new owner id: batches under the old one may still be in flight."""
    patch.setattr(World, "new_owner_id", lambda self, instance: f"owner {instance.number}")


def writes_side_outputs_after_the_entries(patch: Patch) -> None:
    """A side output is acknowledged before its entry is written."""
    held: list[Records] = []

    def entries_first(owner: Owner, append: Append, records: Records) -> dict[TopicPartition, AppendResult]:
        if not _are_entries(records):
            held.append(records)
            return {}
        landed = append(records)
        while held:
            append(held.pop())
        return landed

    _with_appends(patch, entries_first)


def does_not_check_append_offsets(patch: Patch) -> None:
    """Entries that did not land right behind our last one were overtaken by another claim."""

    def believe(self: Owner, entries: Any, landed: Mapping[TopicPartition, AppendResult]) -> None:
        for tp, at in landed.items():
            rule = self._owned[tp.partition].rule
            rule.seq, rule.offset = rule.seq + len(entries[tp]), at.end - 1

    patch.setattr(Owner, "_check_append_offsets", believe)


def writes_snapshots_of_overtaken_states(patch: Patch) -> None:
    """A snapshot is of contiguous entries only."""

    def snapshot_all(self: Owner, entries: Any, landed: Any) -> None:
        owned = dict(self._owned)
        try:
            check_append_offsets(self, entries, landed)
        finally:
            self._snapshots.write(owned)

    patch.setattr(Owner, "_check_append_offsets", snapshot_all)


def believes_any_snapshot(patch: Patch) -> None:
    """A snapshot is used only if the journal has the record that it goes up to."""
    patch.setattr(JournalRule, "is_of", lambda self, record: True)


def leaves_the_window_out_of_the_state(patch: Patch) -> None:
    """The dedupe window is part of the state."""

    def without_window(self: StockLedger) -> bytes:
        read = msgspec.msgpack.decode(state(self), type=LedgerState)
        window = DedupeWindow(self.window.size_max).state()
        return msgspec.msgpack.encode(msgspec.structs.replace(read, window=window))

    patch.setattr(StockLedger, "state", without_window)


def forgets_what_was_cancelled(patch: Patch) -> None:
    """A reservation is released once."""
    patch.setattr(DedupeWindow, "remember_cancelled", lambda self, order_id: None)


def leaves_the_outcomes_out_of_the_state(patch: Patch) -> None:
    """The outcome of an order is part of the state, not only that it was decided."""

    def without_fates(self: DedupeWindow) -> WindowState:
        none_reserved = zlib.compress(bytes(8 * len(self)))
        return msgspec.structs.replace(window_state(self), fates=none_reserved)

    patch.setattr(DedupeWindow, "state", without_fates)


def releases_to_any_item(patch: Patch) -> None:
    """A reservation is released to its own item and to no other."""

    def reserved_of_whatever_is_asked(self: StockLedger, cancelled: Any, reservation: Any) -> Any:
        if reservation:
            number = self._numbers.get(cancelled.item)
            reservation = reservation._replace(item_number=number)
        return reason_to_keep(self, cancelled, reservation)

    patch.setattr(StockLedger, "_reason_to_keep", reserved_of_whatever_is_asked)


def releases_one_portion(patch: Patch) -> None:
    """The whole reserved quantity is released."""

    def remember_one(self: DedupeWindow, order_id: str, at_ms: int, number: int, quantity: int) -> None:
        remember_reserved(self, order_id, at_ms, number, 1)

    patch.setattr(DedupeWindow, "remember_reserved", remember_one)


def takes_the_window_from_its_config(patch: Patch) -> None:
    """The window's size is in the claim: a restore forgets what earlier owners forgot."""

    def apply_all_but_foreign_claims(self: StockLedger, event: Any) -> None:
        if isinstance(event, OwnerClaimed):
            self.window.size_max = event.window_orders
        else:
            apply(self, event)

    patch.setattr(StockLedger, "apply", apply_all_but_foreign_claims)


def decides_orders_that_are_too_old(patch: Patch) -> None:
    """A rerouted order from before the window is refused."""
    patch.setattr(DedupeWindow, "has_forgotten", lambda self, time_ms: False)


def does_not_seek(patch: Patch) -> None:
    """After a restore, reading continues at the state's position, not at the group's offset."""

    def seek_nothing_known(self: Owner) -> None:
        for partition, owned in self._owned.items():
            if self._group._positions[partition] is None:
                self._group.seek(partition, owned.fold.next_offset)

    patch.setattr(Owner, "_seek_all", seek_nothing_known)


def keeps_partitions_that_were_lost_and_came_back(patch: Patch) -> None:
    """A partition that was lost and came back is claimed and restored again."""

    def release_unassigned(self: Owner, partitions: Any) -> None:
        release(self, [p for p in partitions if p not in self._group.assigned])

    patch.setattr(Owner, "_release", release_unassigned)


def _are_entries(records: Records) -> bool:
    return all(tp.topic == JOURNAL for tp in records)


def _with_appends(
    patch: Patch, instead: Callable[[Owner, Append, Records], dict[TopicPartition, AppendResult]]
) -> None:
    """While an owner decides and writes, send its appends through `instead`."""

    class Detour:
        def __init__(self, owner: Owner, log: Any) -> None:
            self.owner, self.log = owner, log

        def append(self, records: Records) -> dict[TopicPartition, AppendResult]:
            return instead(self.owner, self.log.append, records)

    def decide_and_write_so(self: Owner, polled: Any, stop: Any) -> None:
        log = self._writer
        self._writer = Detour(self, log)
        try:
            decide_and_write(self, polled, stop)
        finally:
            self._writer = log

    patch.setattr(Owner, "_decide_and_write", decide_and_write_so)


MUTANTS = (
    commits_before_the_ack,
    writes_snapshots_before_the_ack,
    writes_snapshots_with_expected_offsets,
    does_not_check_seq,
    does_not_check_the_owner,
    forgets_opening_stock_with_the_window,
    goes_on_after_a_failure,
    keeps_its_owner_id_over_a_restore,
    writes_side_outputs_after_the_entries,
    does_not_check_append_offsets,
    writes_snapshots_of_overtaken_states,
    believes_any_snapshot,
    leaves_the_window_out_of_the_state,
    forgets_what_was_cancelled,
    leaves_the_outcomes_out_of_the_state,
    releases_to_any_item,
    releases_one_portion,
    takes_the_window_from_its_config,
    decides_orders_that_are_too_old,
    does_not_seek,
    keeps_partitions_that_were_lost_and_came_back,
)
