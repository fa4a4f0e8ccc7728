"""One consumer group on one topic: its lag, how it catches up, and the reset of its offsets."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event

from campus.addresses import wait_until
from campus.config.settings import KafkaConfig
from campus.groups.lag import observed
from campus.groups.lag_verdict import Observation
from campus.groups.offset_target import Target, plan_moves
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import describe_group, log_bounds, move_offsets, partitions_of

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
        with admin(self._kafka) as client:

            def observe() -> dict[int, Observation]:
                group = describe_group(client, self.name)
                # After the commits, so that what was committed is in the log and no lag is negative.
                bounds = log_bounds(client, partitions_of(client, self._topic))
                at_s = time.monotonic()
                return {tp.partition: observed(group, tp, log, at_s) for tp, log in bounds.items()}

            yield observe

    def wait_until_caught_up(self) -> float | None:
        """The time at which it had committed all that the topic holds now; None after CATCH_UP_TIMEOUT_S."""
        with self.observer() as observe:
            ends = {partition: seen.end for partition, seen in observe().items()}

            def has_caught_up() -> bool:
                return all(seen.position >= ends[partition] for partition, seen in observe().items())

            is_done = wait_until(has_caught_up, Event(), timeout_s=CATCH_UP_TIMEOUT_S, every_s=POLL_S)
            return time.monotonic() if is_done else None

    def reset_to_earliest(self) -> None:
        """Once its members have left. Raises GroupActive, OffsetsNotMoved."""
        with admin(self._kafka) as client:
            wait_until(
                lambda: not describe_group(client, self.name).is_active, Event(), timeout_s=INACTIVE_TIMEOUT_S
            )
            group = describe_group(client, self.name)
            tps = partitions_of(client, self._topic)
            move_offsets(client, group, plan_moves(client, group, tps, Target("earliest")))
