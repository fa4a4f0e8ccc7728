"""How long an order takes: to its 202, and end to end, until its outcome can be read on inventory-events.

The two are apart: the 202 says that Kafka has the order, the outcome that inventory has decided it. In an
open loop both count from when the order was due.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from campus.addresses import Address
from campus.bench.load import Generator, Load, Offered, offer
from campus.bench.load_process import BenchFailed, Tell, run_in_load_process
from campus.bench.orders import Wishes
from campus.bench.outcome_listener import Arrivals, arrivals_of
from campus.bench.statistics import Summary, percentile, summary
from campus.config.settings import KafkaConfig, TopicsConfig

EVENTS = 100  # one after the other, unless something else is asked for


@dataclass(frozen=True, slots=True)
class Point:
    """One order, in seconds since the load began; None: no outcome came."""

    at_s: float
    accepted_s: float
    decided_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """`refused`: how many, by the status that they were answered with; 0 is no answer at all."""

    load: Load
    requests: int
    took_s: float
    accepted: Summary | None
    decided: Summary | None
    refused: dict[int, int]
    undecided: int
    sent_late_p99_ms: float
    generator: Generator
    points: tuple[Point, ...]

    @property
    def is_right(self) -> bool:
        return self.accepted is not None and not self.refused and not self.undecided

    @property
    def rate_per_s(self) -> float:
        return self.requests / self.took_s if self.took_s else 0.0


def measured(
    load: Load,
    wishes: Wishes,
    endpoint: Address,
    kafka: KafkaConfig,
    topics: TopicsConfig,
    *,
    on_progress: Callable[[int], None],
    meanwhile: Callable[[], None],
) -> Latency:
    """Raises BenchFailed."""
    offered, decided_at_s = run_in_load_process(
        _work, load, wishes, endpoint, kafka, topics, on_progress=on_progress, meanwhile=meanwhile
    )
    return figures(load, offered, decided_at_s)


def figures(load: Load, offered: Offered, decided_at_s: dict[str, float]) -> Latency:
    samples = offered.samples
    accepted = [sample for sample in samples if sample.is_accepted]
    points = tuple(
        Point(
            at_s=sample.due_s - offered.began_s,
            accepted_s=sample.latency_s,
            decided_s=None if at_s is None else at_s - sample.due_s,
        )
        for sample in accepted
        for at_s in [decided_at_s.get(sample.answer.order_id or "")]
    )
    late_ms = sorted(1000 * (sample.sent_s - sample.due_s) for sample in samples)
    return Latency(
        load=load,
        requests=len(samples),
        took_s=offered.ended_s - offered.began_s,
        accepted=summary(point.accepted_s for point in points),
        decided=summary(point.decided_s for point in points if point.decided_s is not None),
        refused=dict(Counter(sample.answer.status for sample in samples if not sample.is_accepted)),
        undecided=sum(point.decided_s is None for point in points),
        sent_late_p99_ms=percentile(late_ms, 99) if late_ms else 0.0,
        generator=offered.generator,
        points=points,
    )


def _work(
    tell: Tell, load: Load, wishes: Wishes, endpoint: Address, kafka: KafkaConfig, topics: TopicsConfig
) -> tuple[Offered, dict[str, float]]:
    """In the process of the load."""
    with arrivals_of(wishes.run, kafka, topics) as arrivals:
        offered = offer(load, wishes, endpoint, tell=tell, warmed_up=lambda ids: _all_decided(arrivals, ids))
        arrivals.wait_for(offered.accepted)
    return offered, arrivals.at_s


def _all_decided(arrivals: Arrivals, order_ids: Sequence[str]) -> None:
    arrivals.wait_for(order_ids)
    if not arrivals.at_s:
        raise BenchFailed(
            "orders are accepted, but no outcome comes. Probably no inventory runs, or far behind. Look at "
            "`campuskafka.py lag`"
        )
