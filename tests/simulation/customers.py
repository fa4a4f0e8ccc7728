"""Everybody who writes to order-events: customers, who regret at times, cooks who restock, and strangers
who do it wrong.
"""

from collections.abc import Callable, Mapping
from random import Random

from campus.domain.codec import keyed_record
from campus.domain.events import Input, OrderCancelled, OrderPlaced, StockAdded
from campus.domain.partitions import item_partition
from campus.inventory.ledger import openings
from campus.kafka.records import ProducerRecord, TopicPartition
from tests.builders import a_cancel, a_restock, an_opening, an_order
from tests.simulation.broker import LATE_BY_MOST, InFlight, Topics

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
# What is written next, by weight; each is a method of the customers.
KINDS = {
    "new_order": 40,
    "order_again": 25,
    "cancel": 12,
    "cancel_again": 5,
    "cancel_what_comes_later": 2,
    "cancel_for_another_item": 2,
    "cancel_what_nobody_ordered": 1,
    "restock": 6,
    "restock_again": 4,
    "opening": 3,
    "order_of_what_nobody_sells": 2,
    "rubbish": 4,
    "marker": 4,
}
ORDERS_AT_ONCE_MOST = 5
RECENT = 6  # who repeats an order repeats one of the last so many
WRONG_PARTITION = 0.15
REPEATED, LATE = 0.05, 0.05


class Customers:
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
            self._kinds, self._weights, k=self._random.randint(1, ORDERS_AT_ONCE_MOST)
        ):
            kind()

    def open_with(self, stock: Mapping[str, int]) -> None:
        """As whoever makes the topics does."""
        for opening in openings(stock):
            self._send(opening, self._place(opening.item))

    def one_order_each(self) -> None:
        """For every partition, so that each owner writes once more and learns whether it was overtaken."""
        at_home = {item_partition(item, self._partitions): item for item in ITEMS}
        for partition in range(self._partitions):
            order = an_order(self._new_id("last"), at_home.get(partition, ITEMS[0]))
            self._topics.land(TopicPartition(self._orders_topic, partition), [keyed_record(order)])

    def new_order(self) -> None:
        self._publish(self._an_order())

    def order_again(self) -> None:
        if self._orders:
            self._publish(self._random.choice(self._orders[-RECENT:]))

    def cancel(self) -> None:
        """An order of anybody, whatever became of it."""
        if self._orders:
            order = self._random.choice(self._orders[-RECENT:])
            self._regret(a_cancel(order.order_id, order.item))

    def cancel_again(self) -> None:
        if self._cancels:
            self._publish(self._random.choice(self._cancels[-RECENT:]))

    def cancel_what_comes_later(self) -> None:
        """The order is among those that are repeated from now on; often that is how it comes at all."""
        order = self._an_order()
        self._regret(a_cancel(order.order_id, order.item))

    def cancel_for_another_item(self) -> None:
        if self._orders:
            order = self._random.choice(self._orders[-RECENT:])
            self._regret(a_cancel(order.order_id, self._random.choice(ITEMS)))

    def cancel_what_nobody_ordered(self) -> None:
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

    def order_of_what_nobody_sells(self) -> None:
        self._publish(an_order(self._new_id("u"), f"unicorn-{self._random.randint(1, 3)}"))

    def rubbish(self) -> None:
        self._land(self._any_place(), [(b"rubbish", self._random.choice(RUBBISH), ())])

    def marker(self) -> None:
        self._topics.leave_marker(self._any_place())

    def _an_order(self) -> OrderPlaced:
        order = an_order(self._new_id("o"), self._random.choice(ITEMS), self._random.randint(1, 3))
        self._orders.append(order)
        return order

    def _regret(self, cancel: OrderCancelled) -> None:
        self._cancels.append(cancel)
        self._publish(cancel)

    def _publish(self, event: Input) -> None:
        wrong = self._random.random() < self._wrong_partition
        self._send(event, self._any_place() if wrong else self._place(event.item))

    def _send(self, event: Input, tp: TopicPartition) -> None:
        self._land(tp, [keyed_record(event)])

    def _land(self, tp: TopicPartition, batch: list[ProducerRecord]) -> None:
        """A producer sends again what was not acknowledged: it can land twice, or late, or both."""
        chance = self._random.random()
        if chance < REPEATED + LATE:
            self._topics.in_flight.append(InFlight(tp, batch, self._random.randint(1, LATE_BY_MOST)))
        if chance >= LATE:
            self._topics.land(tp, batch)

    def _place(self, item: str) -> TopicPartition:
        return TopicPartition(self._orders_topic, item_partition(item, self._partitions))

    def _any_place(self) -> TopicPartition:
        return TopicPartition(self._orders_topic, self._random.randrange(self._partitions))

    def _new_id(self, kind: str) -> str:
        self._number += 1
        return f"{kind}-{self._number}"
