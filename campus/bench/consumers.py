"""One consumer group on one topic: how far it has committed, and moving it back to the beginning."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event

from campus.addresses import wait_until
from campus.config.settings import Config
from campus.groups.lag import LagMonitor, PartitionLag
from campus.groups.lag_verdict import Observation
from campus.groups.offset_target import Target, plan_moves
from campus.kafka.clients import admin
from campus.kafka.consumer_groups import Group, describe_group, move_offsets, partitions_of

CATCH_UP_TIMEOUT_S = 120.0
LEFT_TIMEOUT_S = 15.0  # for the members to have left, or to have been silent for their session's time
LOOK_EVERY_S = 0.1


class Consumers:
    def __init__(self, config: Config, group: str, topic: str) -> None:
        self.group, self.topic = group, topic
        self._kafka = config.kafka

    @contextmanager
    def seen(self) -> Iterator[Callable[[], Mapping[int, Observation]]]:
        """A look, for as long as the block lasts: each partition as Kafka tells it at that moment."""
        watch = LagMonitor({self.group: self.topic}, only=self.group, samples_max=1)
        with admin(self._kafka) as client:

            def look() -> dict[int, Observation]:
                told, at_s = watch.sample(client), time.monotonic()
                return {row.partition: _observed(row, at_s) for row in told if row.topic == self.topic}

            yield look

    def caught_up_at_s(self) -> float | None:
        """When it was first seen to have committed all that stands there now; None if it does not in time."""
        with self.seen() as look:
            ends = {partition: at.end for partition, at in look().items()}

            def has_caught_up() -> bool:
                return all(at.position >= ends[partition] for partition, at in look().items())

            caught_up = wait_until(has_caught_up, Event(), timeout_s=CATCH_UP_TIMEOUT_S, every_s=LOOK_EVERY_S)
            return time.monotonic() if caught_up else None

    def reset_to_earliest(self) -> None:
        """Raises GroupActive, OffsetsNotMoved."""
        with admin(self._kafka) as client:

            def group() -> Group:
                return describe_group(client, self.group)

            wait_until(lambda: not group().is_active, Event(), timeout_s=LEFT_TIMEOUT_S)
            left = group()
            move_offsets(
                client, left, plan_moves(client, left, partitions_of(client, self.topic), Target("earliest"))
            )


def _observed(row: PartitionLag, at_s: float) -> Observation:
    return Observation(at_s, row.start, row.committed, row.end, row.client_id is not None)
