"""Our Produce request and response equal kafka-python's, byte for byte; a response cut short is an error."""

import io
import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import errors as kafka_errors
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.producer import ProduceRequest as TheirRequest
from kafka.protocol.producer import ProduceResponse as TheirResponse

from campus.kafka.producer.batches import Batch
from campus.kafka.producer.produce_request import NEWEST, OLDEST, ProduceRequest
from campus.kafka.records import TopicPartition

VERSIONS = st.integers(OLDEST, NEWEST)
TOPICS = st.text("abcXYZ09._-", min_size=1, max_size=249)
BATCHES = st.dictionaries(
    TOPICS,
    st.dictionaries(st.integers(0, 2**31 - 1), st.binary(max_size=200), min_size=1, max_size=3),
    max_size=3,
)
CLIENT_IDS = st.text(max_size=20)
OFFSETS = st.integers(-1, 2**63 - 1)
MESSAGES = st.none() | st.text(max_size=30)
Topic = TheirResponse.TopicProduceResponse
Partition = Topic.PartitionProduceResponse


def sent(request, version, client_id):
    """The bytes that kafka-python sends for a request, and its protocol object, which awaits the response."""
    request.API_VERSION = version
    protocol = KafkaProtocol(client_id=client_id)
    protocol.send_request(request)
    return protocol.send_bytes(), protocol


def their_request(batches, timeout_s):
    data = TheirRequest.TopicProduceData
    topics = [
        data(
            name=name,
            partition_data=[
                data.PartitionProduceData(index=index, records=batch) for index, batch in parts.items()
            ],
        )
        for name, parts in batches.items()
    ]
    timeout_ms = max(1, round(timeout_s * 1000))
    return TheirRequest(transactional_id=None, acks=-1, timeout_ms=timeout_ms, topic_data=topics)


@given(BATCHES, st.floats(0, 100), VERSIONS, CLIENT_IDS)
def test_a_request_has_the_bytes_that_kafka_python_would_send(batches, timeout_s, version, client_id):
    by_tp = {
        TopicPartition(topic, index): Batch(bytearray(batch), count=1)
        for topic, parts in batches.items()
        for index, batch in parts.items()
    }
    ours, _ = sent(ProduceRequest(by_tp, timeout_s=timeout_s), version, client_id)
    theirs, _ = sent(their_request(batches, timeout_s), version, client_id)
    assert ours == theirs


def partition_answers(with_log_start, with_messages):
    return st.builds(
        Partition,
        index=st.integers(0, 2**31 - 1),
        error_code=st.just(0) | st.integers(-1, 120),
        base_offset=OFFSETS,
        log_append_time_ms=OFFSETS,
        log_start_offset=OFFSETS if with_log_start else st.just(-1),
        record_errors=st.lists(
            st.builds(
                Partition.BatchIndexAndErrorMessage,
                batch_index=st.integers(0, 1000),
                batch_index_error_message=MESSAGES,
            ),
            max_size=2 if with_messages else 0,
        ),
        error_message=MESSAGES if with_messages else st.none(),
    )


@st.composite
def answers(draw):
    """A response of kafka-python's own class in some version, and its bytes as a broker sends them."""
    version = draw(VERSIONS)
    topics = draw(
        st.lists(
            st.builds(
                Topic,
                name=TOPICS,
                partition_responses=st.lists(partition_answers(version >= 5, version >= 8), max_size=3),
            ),
            max_size=3,
        )
    )
    response = TheirResponse(responses=topics, throttle_time_ms=draw(st.integers(0, 2**31 - 1)))
    response.API_VERSION = version
    response.with_header(correlation_id=1)
    return response, bytes(response.encode(framed=True, header=True))


def answer_in(part):
    """The offset, or the error with its message."""
    if not part.error_code:
        return part.base_offset
    error = kafka_errors.for_code(part.error_code)
    return error(part.error_message) if part.error_message else error()


def shown(answer):
    """Errors have no equality of their own."""
    return (type(answer), str(answer)) if isinstance(answer, Exception) else answer


@given(answers(), st.lists(st.integers(0, 2000), max_size=3))
def test_a_response_is_read_as_kafka_python_reads_it_however_it_is_split(answer, cuts):
    theirs, data = answer
    _, protocol = sent(ProduceRequest({}, timeout_s=1), theirs.API_VERSION, "us")
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    [(correlation_id, ours)] = [answer for piece in pieces for answer in protocol.receive_bytes(piece)]
    assert correlation_id == 1
    assert ours.throttle_time_ms == theirs.throttle_time_ms
    assert {tp: shown(answer) for tp, answer in ours.answers.items()} == {
        TopicPartition(topic.name, part.index): shown(answer_in(part))
        for topic in theirs.responses
        for part in topic.partition_responses
    }


@given(answers(), st.data())
def test_a_response_cut_short_raises(answer, data):
    theirs, whole = answer
    body = whole[8:]
    half = body[: data.draw(st.integers(0, len(body) - 1))]
    request = ProduceRequest({}, timeout_s=1)
    sent(request, theirs.API_VERSION, "us")
    with pytest.raises((ValueError, struct.error)):
        request.header.get_response_class().decode(io.BytesIO(half))
