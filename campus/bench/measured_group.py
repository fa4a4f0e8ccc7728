"""One consumer group on one topic: its lag, how it catches up, and the reset of its offsets."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event

from campus.addresses import wait_until
from campus.config.settings import KafkaConfig
from campus.groups.lag import LagMonitor
from campus.groups.lag_verdict import Observation
from campus.groups.offset_target import Target, plan_moves
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import describe_group, move_offsets, partitions_of

CATCH_UP_TIMEOUT_S = 120.0
INACTIVE_TIMEOUT_S = 15.0  # until its members have left, or their sessions have timed out
POLL_S = 0.1

Observe = Callable[[], Mapping[int, Observation]]  # every partition as Kafka reports it at that moment


class MeasuredGroup:
    def __init__(self, kafka: KafkaConfig, group: str, topic: str) -> None:
        self.name = group
        self._kafka, self._topic = kafka, topic

    @contextmanager
    def observer(self) -> Iterator[Observe]:
        """A function that observes the group, for as long as the block lasts."""
        monitor = LagMonitor({self.name: self._topic}, only=self.name, samples_max=1)
        with admin(self._kafka) as client:

            def observe() -> dict[int, Observation]:
                rows, at_s = monitor.sample(client), time.monotonic()
                return {
                    row.partition: Observation(
                        at_s, row.start, row.committed, row.end, row.client_id is not None
                    )
                    for row in rows
                    if row.topic == self._topic
                }

            yield observe

    def wait_until_caught_up(self) -> float | None:
        """The time at which it had committed all that the topic holds now; None after CATCH_UP_TIMEOUT_S."""
        with self.observer() as observe:
            ends = {partition: seen.end for partition, seen in observe().items()}

            def has_caught_up() -> bool:
                return all(seen.position >= ends[partition] for partition, seen in observe().items())

            caught_up = wait_until(has_caught_up, Event(), timeout_s=CATCH_UP_TIMEOUT_S, every_s=POLL_S)
            return time.monotonic() if caught_up else None

    def reset_to_earliest(self) -> None:
        """Once its members have left. Raises GroupActive, OffsetsNotMoved."""
        with admin(self._kafka) as client:
            wait_until(
                lambda: not describe_group(client, self.name).is_active, Event(), timeout_s=INACTIVE_TIMEOUT_S
            )
            group = describe_group(client, self.name)
            tps = partitions_of(client, self._topic)
            move_offsets(client, group, plan_moves(client, group, tps, Target("earliest")))
