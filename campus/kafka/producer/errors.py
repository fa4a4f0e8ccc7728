"""Why an append failed, and whether a retry can help."""

from collections.abc import Mapping

from kafka import errors as kafka_errors

from campus.errors import CampusError
from campus.kafka.records import AppendResult, TopicPartition


class WriterClosed(CampusError):
    def __init__(self) -> None:
        super().__init__(
            "this writer is closed and appends nothing. Probably its role is stopping: make a new one"
        )


# A retry may help after these; any other error refuses the records for good.
RETRIABLE: tuple[type[Exception], ...] = (
    kafka_errors.RetriableError,  # no leader, no connection, no answer in time, too few in-sync replicas, …
    kafka_errors.UnknownBrokerIdError,  # the metadata names a broker that is not there, or not yet
    kafka_errors.BrokerNotAvailableError,
    kafka_errors.CorruptRecordError,  # the checksum broke on the way: the bytes we have are right
    WriterClosed,  # a new writer can send them again
)


class AppendFailed(CampusError):
    """Records were not acknowledged; they may have landed, except the last batch of a `refused` partition.

    `errors`: by partition. `refused`: those of them that no retry can mend; `retriable`: there are none.
    `landed`: the partitions whose records have all landed. In neither: partitions that are written in part.
    """

    def __init__(
        self,
        errors: Mapping[TopicPartition, Exception],
        landed: Mapping[TopicPartition, AppendResult] | None = None,
    ) -> None:
        assert errors, "a failure without an error"
        self.errors = dict(errors)
        self.landed = dict(landed or {})
        self.refused = {tp: error for tp, error in errors.items() if not isinstance(error, RETRIABLE)}
        self.retriable = not self.refused
        tp, error = next(iter((self.refused or self.errors).items()))
        others = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        advice = (
            "Probably the broker is away, or its partitions are moving. What was sent may have landed."
            if self.retriable
            else "Sending the same again will not help."
        )
        super().__init__(f"{tp}{others} did not acknowledge: {text}. {advice}")
