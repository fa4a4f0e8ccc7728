"""Logs to audit: real owners write them to a log in memory, and everything that can happen happens in them.

Each seed shuffles the same incidents: crashes before and after an acknowledgement, paused old owners that
write again, repeats, strangers' records, foreign keys, rubbish, orders that come too late, orders
that are cancelled, in time, too early, too late and more than once.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from campus.audit.checker import Audit
from campus.audit.findings import Findings, Totals
from campus.domain.codec import decode_journal, encode, keyed_record
from campus.domain.events import Entry, Input, OrderCancelled, OrderPlaced, OwnerClaimed
from campus.domain.journal import OWNER_HEADER, owner_of
from campus.domain.partitions import item_partition
from campus.kafka.group_consumer import Fenced
from campus.kafka.producer.errors import AppendFailed
from campus.kafka.records import AppendResult, ProducerRecord, TopicPartition
from tests.builders import APPENDED_AT_MS, PARTITIONS, ARecord, a_cancel, a_restock, an_opening, an_order
from tests.processing.stepped import AnInventory
from tests.simulation.memory_log import TOPICS, MemoryLog

STOCK = {"pizza": 5, "burger": 4, "salad": 2, "sandwich": 0, "calzone": 3}
ITEMS = ("pizza", "burger", "salad", "sandwich", "unicorn", "calzone")
SAME_HOME = ("pizza", "calzone")
WINDOW_ORDERS = 14
REPEATED_AFTER_MOST = 4  # decisions; well within the window


def audited(
    log: MemoryLog, expected: Sequence[str] = (), analytics: Mapping[int, Totals] | None = None
) -> Findings:
    audit = Audit(PARTITIONS, expected=expected)
    for partition in range(PARTITIONS):
        audit.dead_letters(partition, log.at(TOPICS.dead_letters_topic, partition))
        audit.partition(
            partition,
            log.at(TOPICS.orders_topic, partition),
            log.at(TOPICS.journal_topic, partition),
            (analytics or {}).get(partition),
        )
    return audit.finish()


def home_of(item: str) -> int:
    return item_partition(item, PARTITIONS)


class ClockedLog(MemoryLog):
    """One clock for all partitions, like a broker's. All records of a batch have the same time."""

    now_ms = APPENDED_AT_MS

    def _land(self, tp: TopicPartition, batch: Sequence[ProducerRecord]) -> AppendResult:
        self.now_ms += 7
        records = self.at(*tp)
        first = len(records)
        for offset, (key, value, headers) in enumerate(batch, first):
            records.append(ARecord(offset, value, key, self.now_ms, tuple(headers)))
        return AppendResult(first, len(records))


class EventfulShop:
    """The incidents, one method each. `history` runs all of them in an order that the seed decides."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.log = ClockedLog()
        self._number = 0
        self._orders: list[OrderPlaced] = []
        self._astray: set[bytes] = set()
        self._sleepers: list[AnInventory] = []
        self.stray_entry_before_any_claim()
        self.inventory = self._an_inventory()
        self.work(2)

    def history(self) -> MemoryLog:
        incidents: list[Callable[[], None]] = [
            *[self.some_orders] * 6,
            *[self.the_same_again] * 3,
            self.reserved_and_repeated,
            self.refused_and_repeated,
            self.restock_twice,
            self.opening_again,
            self.one_id_for_two_items,
            *[self.rubbish] * 2,
            *[self.foreign_key] * 2,
            self.foreign_key_that_comes_too_late,
            *[self.some_cancels] * 3,
            self.cancelled_and_repeated,
            self.refused_and_cancelled,
            self.cancelled_before_it_is_ordered,
            self.cancelled_for_another_item,
            self.cancelled_with_a_foreign_key,
            self.cancelled_after_it_was_forgotten,
            *[self.lost_append] * 3,
            *[self.taken_over] * 2,
            self.sleeper_wakes_up,
            self.repeated_batch,
            self.entry_after_a_gap,
            self.stranger_in_the_journal,
        ]
        self.random.shuffle(incidents)
        for incident in incidents:
            incident()
            if self.random.random() < 0.7:
                self.work(self.random.randint(1, 2))
        while self._sleepers:
            self.sleeper_wakes_up()
        self.close_up()
        return self.log

    # What customers and strangers do

    def some_orders(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            self.order(self.random.choice(ITEMS), quantity=self.random.choice([1, 1, 1, 2, 3]))

    def the_same_again(self) -> None:
        item = self.random.choice(ITEMS)
        self.order(item)
        orders = self.log.at(TOPICS.orders_topic, home_of(item))
        record = self.random.choice(orders[-REPEATED_AFTER_MOST:])
        # A misrouted order could arrive too late: that is another incident.
        if not record.headers and record.value not in self._astray:
            self._send(home_of(item), record.value)

    def reserved_and_repeated(self) -> None:
        order = self._new_order("pizza")
        self._place(self._restock("pizza"), order, order)

    def refused_and_repeated(self) -> None:
        order = self._new_order("pizza", 1000)
        self._place(order, order)

    def restock_twice(self) -> None:
        restock = self._restock(self.random.choice(ITEMS[:4]))
        self._place(restock, restock)

    def opening_again(self) -> None:
        self._place(an_opening(self.random.choice(ITEMS[:4]), 50))

    def one_id_for_two_items(self) -> None:
        order_id = self.order("pizza")
        other = next(item for item in ITEMS if home_of(item) != home_of("pizza"))
        self._place(an_order(order_id, other))

    def some_cancels(self) -> None:
        """Cancels of recent orders, whatever became of them; some are cancelled twice."""
        for order in self.random.choices(self._orders[-10:], k=3) if self._orders else ():
            self._place(a_cancel(order.order_id, order.item))

    def cancelled_and_repeated(self) -> None:
        order, cancel = self._an_order_and_its_cancel("pizza", 2)
        self._place(self._restock("pizza"), order, cancel, order, cancel)

    def refused_and_cancelled(self) -> None:
        self._place(*self._an_order_and_its_cancel("pizza", 1000))

    def cancelled_before_it_is_ordered(self) -> None:
        order, cancel = self._an_order_and_its_cancel("pizza")
        self._place(cancel, self._restock("pizza"), order)

    def cancelled_for_another_item(self) -> None:
        item, other = SAME_HOME
        order, cancel = self._an_order_and_its_cancel(item)
        self._place(self._restock(item), order, a_cancel(order.order_id, other), cancel)

    def cancelled_with_a_foreign_key(self) -> None:
        order, cancel = self._an_order_and_its_cancel(self.random.choice(ITEMS))
        self._place(order)
        self._send_astray(self._not_home_of(order.item), cancel)

    def cancelled_after_it_was_forgotten(self) -> None:
        order, cancel = self._an_order_and_its_cancel("pizza")
        self._place(self._restock("pizza"), order)
        for _ in range(WINDOW_ORDERS):
            self.order("pizza")
        self._place(cancel)

    def rubbish(self) -> None:
        rubbish = [b"rubbish", b"", None, b'{"event_type":"Sung"}', b'{"event_type":"OrderPlaced"}']
        self._send(self.random.randrange(PARTITIONS), self.random.choice(rubbish))

    def foreign_key(self) -> None:
        item = self.random.choice(ITEMS)
        self._send_astray(self._not_home_of(item), self._new_order(item))

    def foreign_key_that_comes_too_late(self) -> None:
        """It waits in a partition without an owner until its home partition's horizon has passed its time."""
        item = self.random.choice(ITEMS[:4])
        foreign = self._not_home_of(item)
        self.work(2)
        self.inventory.group.assigned -= {foreign}
        self._send_astray(foreign, self._new_order(item))
        for _ in range(WINDOW_ORDERS + 3):
            self.order(item)
        self.work(2)
        self.inventory.group.assigned |= {foreign}
        self.work(3)

    # What brokers, networks and owners do

    def lost_append(self) -> None:
        self.foreign_key()
        self.some_orders()
        self.log.lose_next = self.random.choice(["before", "after"])
        if self.random.random() < 0.5:
            self._lose_the_one_after()
        self.work(1)

    def taken_over(self) -> None:
        """The old owner does not know it yet: when it wakes up, it goes on to decide what it polls."""
        self.inventory.group.is_fenced = True
        self._sleepers.append(self.inventory)
        self.inventory = self._an_inventory()

    def sleeper_wakes_up(self) -> None:
        if self._sleepers:
            self.some_orders()
            self._step(self._sleepers.pop())

    def repeated_batch(self) -> None:
        """The last record of the owner is in the journal twice."""
        self.some_orders()
        self.work(1)
        for partition in range(PARTITIONS):
            journal = self.log.at(TOPICS.journal_topic, partition)
            if decode_journal(journal[-1].value) and owner_of(journal[-1]):
                self._write(partition, journal[-1].value, journal[-1].headers)

    def entry_after_a_gap(self) -> None:
        """A batch is lost, and a later one of the same owner is appended."""
        partition = home_of("pizza")
        claim = next(e for e in reversed(self.log.counting(partition)) if isinstance(e, OwnerClaimed))
        entries = [e for e in self.log.counting(partition) if not isinstance(e, OwnerClaimed)]
        late = _renumbered(entries[-1], entries[-1].seq + 2)
        self._write(partition, encode(late), ((OWNER_HEADER, claim.owner.encode()),))

    def stranger_in_the_journal(self) -> None:
        self._write(self.random.randrange(PARTITIONS), self.random.choice([b"a stranger", b"{}", None]), ())

    def stray_entry_before_any_claim(self) -> None:
        early = (
            b'{"event_type":"OrderDeadLettered","seq":1,"source_offset":0,"reason":"empty","decided_at":"?"}'
        )
        self._write(home_of("salad"), early, ((OWNER_HEADER, b"nobody"),))

    # Helpers

    def order(self, item: str, quantity: int = 1) -> str:
        order = self._new_order(item, quantity)
        self._place(order)
        return order.order_id

    def work(self, steps: int) -> None:
        for _ in range(steps):
            self._step(self.inventory)

    def close_up(self) -> None:
        """Decide everything, then one more order of each item, so that no gap is left open."""
        self.taken_over()
        self.log.lose_next = None
        self.work(6)
        for item in ITEMS:
            self.order(item, quantity=1000)
        self.work(3)

    def _step(self, inventory: AnInventory) -> None:
        try:
            inventory.steps()
        except (AppendFailed, Fenced):
            inventory.owner.reset()

    def _an_inventory(self) -> AnInventory:
        return AnInventory(
            self.log,
            stock=STOCK,
            window_orders=WINDOW_ORDERS,
            snapshot_every_orders=self.random.choice([5, 1000]),
        )

    def _new_order(self, item: str, quantity: int = 1) -> OrderPlaced:
        self._number += 1
        order = an_order(f"o-{self._number}", item, quantity, user_id=f"u-{self._number}")
        self._orders.append(order)
        return order

    def _an_order_and_its_cancel(self, item: str, quantity: int = 1) -> tuple[OrderPlaced, OrderCancelled]:
        order = self._new_order(item, quantity)
        return order, a_cancel(order.order_id, item)

    def _restock(self, item: str) -> Input:
        self._number += 1
        return a_restock(f"s-{self._number}", item, 3)

    def _place(self, *events: Input) -> None:
        for event in events:
            self._send(home_of(event.item), keyed_record(event)[1])

    def _send(self, partition: int, value: bytes | None) -> None:
        self.log._land(TopicPartition(TOPICS.orders_topic, partition), [(None, value, ())])

    def _send_astray(self, partition: int, event: Input) -> None:
        self._astray.add(encode(event))
        self._send(partition, encode(event))

    def _write(self, partition: int, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> None:
        self.log._land(TopicPartition(TOPICS.journal_topic, partition), [(None, value, headers)])

    def _lose_the_one_after(self) -> None:
        """The side outputs are appended, their entries are lost."""
        lost, self.log.lose_next = self.log.lose_next, None
        append = self.log.append

        def lands_and_arms(records, **options):
            self.log.append = append
            landed = append(records, **options)
            self.log.lose_next = lost
            return landed

        self.log.append = lands_and_arms

    def _not_home_of(self, item: str) -> int:
        return (home_of(item) + self.random.randint(1, PARTITIONS - 1)) % PARTITIONS


def _renumbered(entry: Entry, seq: int) -> Entry:
    return type(entry)(**{name: getattr(entry, name) for name in entry.__struct_fields__} | {"seq": seq})
