"""Throughput without HTTP: events that a producer of our own appends to order-events.

They go in batches, one at a time: each is acknowledged by the broker before the next is sent. Nothing may be
lost: each event gets one outcome on inventory-events, and the audit must be clean.
"""

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from msgspec.structs import asdict

from campus.audit.findings import Findings
from campus.bench.environment import Environment
from campus.bench.http_clients import OrderRequest
from campus.bench.load import draw_orders
from campus.bench.load_process import Report
from campus.bench.outcome_listener import outcome_listener
from campus.domain.codec import keyed_record
from campus.domain.events import OrderPlaced
from campus.domain.order_ids import NOISE_BYTES, new_order_id
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition

EVENTS = 10_000
EVENTS_MAX = 1_000_000
BATCH_EVENTS = 500


class ProducedEvents(NamedTuple):
    """Times are of the monotonic clock. `acknowledged_at_s`: of every event; `decided_at_s`: by order id."""

    order_ids: Sequence[str]
    began_s: float
    acknowledged_at_s: Sequence[float]
    decided_at_s: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionResult:
    """Times count from the first event sent. `decided_s`, `counted_s`: until inventory, and analytics, had
    processed the last one; None if they have not. `acknowledged_at_s`, `decided_at_s`: of every event."""

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
    def has_passed(self) -> bool:
        drained = self.decided_s is not None and self.counted_s is not None
        return self.events > 0 and self.lost == 0 and self.audit == "clean" and drained

    @property
    def rate_per_s(self) -> float:
        return self.events / self.acknowledged_s if self.acknowledged_s else 0.0


def produce(report: Report, target: Environment, events: int) -> ProducedEvents:
    """Run in the load process. Returns when the events are decided, or when no more outcomes come.

    Raises AppendFailed, BenchFailed.
    """
    orders, kafka, topics = draw_orders(target), target.config.kafka, target.config.topics
    order_ids: list[str] = []
    acknowledged_at_s: list[float] = []
    with outcome_listener(target) as listener, closing(Writer(kafka, client_id="bench")) as writer:
        began_s = time.monotonic()
        while len(order_ids) < events:
            records: dict[TopicPartition, list[ProducerRecord]] = defaultdict(list)
            count = min(BATCH_EVENTS, events - len(order_ids))
            for order in map(_placed, islice(orders, count)):
                tp = TopicPartition(topics.orders_topic, item_partition(order.item, topics.partitions))
                records[tp].append(keyed_record(order))
                order_ids.append(order.order_id)
            writer.append(records)
            acknowledged_at_s += [time.monotonic()] * count
            report(len(order_ids))
        listener.wait_for(order_ids)
    return ProducedEvents(order_ids, began_s, acknowledged_at_s, listener.decided_at_s)


def _placed(order: OrderRequest) -> OrderPlaced:
    now_ms = time.time_ns() // 1_000_000
    return OrderPlaced(
        order_id=new_order_id(now_ms, os.urandom(NOISE_BYTES)), placed_at=iso_utc(now_ms), **asdict(order)
    )


def evaluate(produced: ProducedEvents, findings: Findings, *, counted_at_s: float | None) -> ProductionResult:
    began_s, outcomes = produced.began_s, produced.decided_at_s
    decided_at_s = sorted(
        outcomes[order_id] - began_s for order_id in produced.order_ids if order_id in outcomes
    )
    acknowledged_at_s = tuple(at_s - began_s for at_s in produced.acknowledged_at_s)
    lost = len(produced.order_ids) - len(decided_at_s)
    return ProductionResult(
        events=len(produced.order_ids),
        acknowledged_s=acknowledged_at_s[-1] if acknowledged_at_s else 0.0,
        decided_s=decided_at_s[-1] if decided_at_s and not lost else None,
        counted_s=None if counted_at_s is None else counted_at_s - began_s,
        lost=lost,
        audit=findings.verdict,
        violations=findings.violations,
        acknowledged_at_s=acknowledged_at_s,
        decided_at_s=tuple(decided_at_s),
    )
