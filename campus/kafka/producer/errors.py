"""Why an append failed, and whether trying again can help."""

from collections.abc import Mapping

from kafka import errors as kafka_errors

from campus.errors import CampusError
from campus.kafka.records import AppendResult, TopicPartition


class WriterClosed(CampusError):
    def __init__(self) -> None:
        super().__init__(
            "this writer is closed and appends nothing. Probably its role is stopping: make a new one"
        )


# A round that failed so may be sent again; anything else is refused for good.
RETRIABLE: tuple[type[Exception], ...] = (
    # The leader moved, is not elected, or cannot be reached; the topic is not made yet.
    kafka_errors.InvalidMetadataError,
    kafka_errors.UnknownBrokerIdError,
    kafka_errors.BrokerNotAvailableError,
    # Nobody answered in time: the broker hangs, or its followers do.
    kafka_errors.KafkaTimeoutError,
    kafka_errors.RequestTimedOutError,
    # Between two attempts to connect; a broker that has just started; a connection that idled too long.
    kafka_errors.NodeNotReadyError,
    kafka_errors.MetadataEmptyBrokerList,
    kafka_errors.Cancelled,
    # Too few followers are there: they come back.
    kafka_errors.NotEnoughReplicasError,
    kafka_errors.NotEnoughReplicasAfterAppendError,
    # Nobody's refusal: what was in flight then may have landed, and a new writer can try again.
    WriterClosed,
    # The checksum broke on the way: the bytes that we have are right.
    kafka_errors.CorruptRecordError,
)


class AppendFailed(CampusError):
    """What was written is unknown, but for the places that `landed`, and the `refused` ones' last batch.

    `errors`: what went wrong, per place. `refused`: those of them that trying again cannot mend.
    `retriable`: trying again can mend all. A place in neither `errors` nor `landed` is written in part.
    """

    def __init__(
        self,
        errors: Mapping[TopicPartition, Exception],
        landed: Mapping[TopicPartition, AppendResult] | None = None,
    ) -> None:
        assert errors, "a failure without an error"
        self.errors = dict(errors)
        self.landed = dict(landed or {})
        self.refused = {p: e for p, e in errors.items() if not isinstance(e, RETRIABLE)}
        self.retriable = not self.refused
        tp, error = next(iter((self.refused or self.errors).items()))
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{tp}{others} did not acknowledge: {_one_line(error)}. {self._advice()}")

    def _advice(self) -> str:
        if self.retriable:
            return "Probably the broker is away, or its partitions are moving. What was sent may have landed."
        return "Sending the same again will not help."


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
