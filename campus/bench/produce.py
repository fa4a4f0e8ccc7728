"""Events by a direct producer, past HTTP: until Kafka has them all, and until the roles have drained them.

They are written in rounds, one at a time, each acknowledged by the broker before the next is sent. Then
nothing may be lost: each event has one outcome on inventory-events, and the audit finds nothing wrong.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from campus.bench.load_process import Tell, run_in_load_process
from campus.bench.orders import Wish, Wishes
from campus.bench.outcome_listener import arrivals_of
from campus.config.settings import KafkaConfig, TopicsConfig
from campus.domain.codec import keyed_record
from campus.domain.events import OrderPlaced
from campus.domain.order_ids import NOISE_BYTES, new_order_id
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition

EVENTS = 10_000
EVENTS_MOST = 1_000_000
ROUND_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Produced:
    """Times are of the monotonic clock; `rounds`: when each was acknowledged, and its events."""

    order_ids: tuple[str, ...]
    began_s: float
    rounds: tuple[tuple[float, int], ...]
    decided_at_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Production:
    """Times from the first event sent. `decided_s`, `counted_s`: until inventory, and analytics, had drained
    the last one; None if they have not. `acknowledged_at_s`, `decided_at_s`: of each event, in order."""

    events: int
    acknowledged_s: float
    decided_s: float | None
    counted_s: float | None
    lost: int
    audit: str
    violations: int
    acknowledged_at_s: tuple[float, ...]
    decided_at_s: tuple[float, ...]

    @property
    def is_right(self) -> bool:
        drained = self.decided_s is not None and self.counted_s is not None
        return self.events > 0 and self.lost == 0 and self.audit == "clean" and drained

    @property
    def rate_per_s(self) -> float:
        return self.events / self.acknowledged_s if self.acknowledged_s else 0.0


def produced(
    events: int,
    wishes: Wishes,
    kafka: KafkaConfig,
    topics: TopicsConfig,
    *,
    on_progress: Callable[[int], None],
    meanwhile: Callable[[], None],
) -> Produced:
    """All acknowledged, and as many decided as will be. Raises BenchFailed."""
    return run_in_load_process(
        _work, events, wishes, kafka, topics, on_progress=on_progress, meanwhile=meanwhile
    )


def figures(produced: Produced, *, counted_at_s: float | None, audit: str, violations: int) -> Production:
    decided_at_s = [produced.decided_at_s[i] for i in produced.order_ids if i in produced.decided_at_s]
    lost = len(produced.order_ids) - len(decided_at_s)
    began_s = produced.began_s
    return Production(
        events=len(produced.order_ids),
        acknowledged_s=produced.rounds[-1][0] - began_s if produced.rounds else 0.0,
        decided_s=max(decided_at_s) - began_s if decided_at_s and not lost else None,
        counted_s=None if counted_at_s is None else counted_at_s - began_s,
        lost=lost,
        audit=audit,
        violations=violations,
        acknowledged_at_s=tuple(at_s - began_s for at_s, count in produced.rounds for _ in range(count)),
        decided_at_s=tuple(sorted(at_s - began_s for at_s in decided_at_s)),
    )


def _work(tell: Tell, events: int, wishes: Wishes, kafka: KafkaConfig, topics: TopicsConfig) -> Produced:
    """In the process of the load."""
    order_ids: list[str] = []
    rounds: list[tuple[float, int]] = []
    with (
        arrivals_of(wishes.run, kafka, topics) as arrivals,
        closing(Writer(kafka, client_id="bench")) as writer,
    ):
        drawn = iter(wishes)
        began_s = time.monotonic()
        while len(order_ids) < events:
            count = min(ROUND_EVENTS, events - len(order_ids))
            writer.append(_round(drawn, count, topics, order_ids))
            rounds.append((time.monotonic(), count))
            tell(len(order_ids))
        arrivals.wait_for(order_ids)
    return Produced(tuple(order_ids), began_s, tuple(rounds), arrivals.at_s)


def _round(
    wishes: Iterator[Wish], count: int, topics: TopicsConfig, order_ids: list[str]
) -> dict[TopicPartition, list[ProducerRecord]]:
    """The next events, by the partition of their item; their ids are added to the list."""
    records: dict[TopicPartition, list[ProducerRecord]] = {}
    for wish in islice(wishes, count):
        now_ms = time.time_ns() // 1_000_000
        order = OrderPlaced(
            order_id=new_order_id(now_ms, os.urandom(NOISE_BYTES)),
            user_id=wish.user_id,
            item=wish.item,
            quantity=wish.quantity,
            placed_at=iso_utc(now_ms),
        )
        order_ids.append(order.order_id)
        tp = TopicPartition(topics.orders_topic, item_partition(wish.item, topics.partitions))
        records.setdefault(tp, []).append(keyed_record(order))
    return records
