"""Writes random records to order-events: orders, cancellations, restocks, repeats, and malformed records."""

from collections.abc import Callable, Mapping
from random import Random

from campus.domain.codec import keyed_record
from campus.domain.events import Input, OrderCancelled, OrderPlaced, StockAdded
from campus.domain.partitions import item_partition
from campus.inventory.ledger import openings
from campus.kafka.records import ProducerRecord, TopicPartition
from tests.builders import a_cancel, a_restock, an_opening, an_order
from tests.simulation.broker import LATE_BATCHES_MAX, InFlight, Topics

ITEMS = ("pizza", "burger", "salad", "sandwich", "soup", "cake")
RUBBISH = (
    None,
    b"",
    b"rubbish",
    b"[1,2]",
    b'{"event_type":"OrderPlaced"}',
    b'{"event_type":"OrderPlaced","order_id":"x","user_id":"u","item":"pizza","quantity":-1}',
    b'{"event_type":"OrderCounted","order_id":"x"}',
    b'{"event_type":"OrderCancelled","order_id":"x"}',
    b'{"event_type":"StockAdded","event_id":"x","item":"\xff","quantity":1,"reason":"restock"}',
)
# What is written next, by weight; each is a method of InputGenerator.
KINDS = {
    "new_order": 40,
    "order_again": 25,
    "cancel": 12,
    "cancel_again": 5,
    "cancel_before_the_order": 2,
    "cancel_for_another_item": 2,
    "cancel_unknown_order": 1,
    "restock": 6,
    "restock_again": 4,
    "opening": 3,
    "order_unknown_item": 2,
    "rubbish": 4,
    "marker": 4,
}
INPUTS_AT_ONCE_MAX = 5
RECENT = 6  # repeats are of one of the last so many events
WRONG_PARTITION = 0.15
REPEATED, LATE = 0.05, 0.05


class InputGenerator:
    def __init__(self, random: Random, topics: Topics, orders_topic: str, partitions: int) -> None:
        self._random, self._topics = random, topics
        self._orders_topic, self._partitions = orders_topic, partitions
        self._orders: list[OrderPlaced] = []
        self._cancels: list[OrderCancelled] = []
        self._restocks: list[StockAdded] = []
        self._kinds: list[Callable[[], None]] = [getattr(self, name) for name in KINDS]
        self._weights = list(KINDS.values())
        self._wrong_partition = random.choice((0.0, WRONG_PARTITION, WRONG_PARTITION, 0.5))
        self._number = 0

    def write(self) -> None:
        for kind in self._random.choices(
            self._kinds, self._weights, k=self._random.randint(1, INPUTS_AT_ONCE_MAX)
        ):
            kind()

    def write_opening_stock(self, stock: Mapping[str, int]) -> None:
        """As the program does when it creates the topics."""
        for opening in openings(stock):
            self._send(opening, self._home_of(opening.item))

    def write_one_order_per_partition(self) -> None:
        """So that each owner writes once more and notices if it was overtaken."""
        items = {item_partition(item, self._partitions): item for item in ITEMS}
        for partition in range(self._partitions):
            order = an_order(self._new_id("last"), items.get(partition, ITEMS[0]))
            self._topics.append_batch(TopicPartition(self._orders_topic, partition), [keyed_record(order)])

    def new_order(self) -> None:
        self._publish(self._an_order())

    def order_again(self) -> None:
        if self._orders:
            self._publish(self._random.choice(self._orders[-RECENT:]))

    def cancel(self) -> None:
        """Any recent order, whatever its outcome."""
        if self._orders:
            order = self._random.choice(self._orders[-RECENT:])
            self._publish_cancel(a_cancel(order.order_id, order.item))

    def cancel_again(self) -> None:
        if self._cancels:
            self._publish(self._random.choice(self._cancels[-RECENT:]))

    def cancel_before_the_order(self) -> None:
        """The order is not written now; a later repeat may write it."""
        order = self._an_order()
        self._publish_cancel(a_cancel(order.order_id, order.item))

    def cancel_for_another_item(self) -> None:
        if self._orders:
            order = self._random.choice(self._orders[-RECENT:])
            self._publish_cancel(a_cancel(order.order_id, self._random.choice(ITEMS)))

    def cancel_unknown_order(self) -> None:
        self._publish(a_cancel(self._new_id("n"), self._random.choice(ITEMS)))

    def restock(self) -> None:
        restock = a_restock(self._new_id("s"), self._random.choice(ITEMS), self._random.randint(0, 5))
        self._restocks.append(restock)
        self._publish(restock)

    def restock_again(self) -> None:
        if self._restocks:
            self._publish(self._random.choice(self._restocks[-RECENT:]))

    def opening(self) -> None:
        self._publish(an_opening(self._random.choice(ITEMS), self._random.randint(0, 9)))

    def order_unknown_item(self) -> None:
        self._publish(an_order(self._new_id("u"), f"unicorn-{self._random.randint(1, 3)}"))

    def rubbish(self) -> None:
        self._land(self._random_tp(), [(b"rubbish", self._random.choice(RUBBISH), ())])

    def marker(self) -> None:
        self._topics.add_transaction_marker(self._random_tp())

    def _an_order(self) -> OrderPlaced:
        order = an_order(self._new_id("o"), self._random.choice(ITEMS), self._random.randint(1, 3))
        self._orders.append(order)
        return order

    def _publish_cancel(self, cancel: OrderCancelled) -> None:
        self._cancels.append(cancel)
        self._publish(cancel)

    def _publish(self, event: Input) -> None:
        wrong = self._random.random() < self._wrong_partition
        self._send(event, self._random_tp() if wrong else self._home_of(event.item))

    def _send(self, event: Input, tp: TopicPartition) -> None:
        self._land(tp, [keyed_record(event)])

    def _land(self, tp: TopicPartition, batch: list[ProducerRecord]) -> None:
        """A producer repeats unacknowledged batches: a batch can land twice, or late, or both."""
        chance = self._random.random()
        if chance < REPEATED + LATE:
            self._topics.in_flight.append(InFlight(tp, batch, self._random.randint(1, LATE_BATCHES_MAX)))
        if chance >= LATE:
            self._topics.append_batch(tp, batch)

    def _home_of(self, item: str) -> TopicPartition:
        return TopicPartition(self._orders_topic, item_partition(item, self._partitions))

    def _random_tp(self) -> TopicPartition:
        return TopicPartition(self._orders_topic, self._random.randrange(self._partitions))

    def _new_id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"
