"""A fake Kafka cluster on local sockets: it speaks ApiVersions, Metadata and Produce, and misbehaves on
demand.

For what a real broker cannot be made to do in a test: several leaders, one partition refused, an answer that
never comes. Its log is a list of records by partition, so a test sees what a broker was given. kafka-python's
own protocol classes read and write the frames, from the broker's side.
"""

import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kafka.protocol.metadata import (
    ApiVersionsRequest,
    ApiVersionsResponse,
    MetadataRequest,
    MetadataResponse,
)
from kafka.protocol.producer import ProduceRequest, ProduceResponse
from kafka.record.memory_records import MemoryRecords

from campus.config.settings import KafkaConfig
from campus.kafka.records import TopicPartition

SERVED = {  # by API key: the request, the versions offered
    18: (ApiVersionsRequest, (0, 4)),
    3: (MetadataRequest, (1, 9)),
    0: (ProduceRequest, (3, 9)),
}
NOT_LEADER, UNKNOWN_TOPIC, TOO_LARGE, NO_ERROR = 6, 3, 10, 0


class Cut(Exception):
    """Close the connection instead of answering."""


@dataclass
class Produced:
    node: int
    counts: dict[TopicPartition, int]
    sizes: dict[TopicPartition, int]


@dataclass
class Node:
    number: int
    port: int = 0
    listener: socket.socket | None = None
    open_connections: list[socket.socket] = field(default_factory=list)
    accepted: int = 0
    hangs: bool = False  # like `silent`, for this broker alone


Fault = Callable[[Produced], Mapping[TopicPartition, int] | None]


def held_by(event: threading.Event) -> Fault:
    """Hold the response back until the event is set."""

    def hold(_: Produced) -> None:
        event.wait(5)

    return hold


class FakeCluster:
    """`topics`: of each, the leader of each partition. `faults`: one for each produce request to come.

    A fault gets the request and returns error codes by partition (the others are written), or raises Cut.
    """

    def __init__(self, nodes: int = 1, **topics: list[int]) -> None:
        self.topics = {name.replace("_", "-"): leaders for name, leaders in topics.items()}
        self.log: dict[TopicPartition, list[tuple[Any, ...]]] = defaultdict(list)
        self.faults: deque[Fault] = deque()
        self.produced: list[Produced] = []
        self.asked: Counter[str] = Counter()
        self.throttle_ms = 0
        self.drops_connections = False  # accepts and closes, as a proxy without its broker does
        self.silent = threading.Event()  # while set, nothing is answered
        self._let_go = threading.Event()  # ends the silence when the cluster closes
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.nodes = {number: Node(number) for number in range(1, nodes + 1)}
        for number in self.nodes:
            self.start(number)

    def __enter__(self) -> "FakeCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        for number in self.nodes:
            self.stop(number)
        for thread in self._threads:
            thread.join(5)

    @property
    def kafka(self) -> KafkaConfig:
        return KafkaConfig(bootstrap_servers=f"127.0.0.1:{self.nodes[1].port}", request_timeout_s=5.0)

    def start(self, number: int) -> None:
        node = self.nodes[number]
        node.listener = socket.create_server(("127.0.0.1", node.port))
        node.port = node.listener.getsockname()[1]
        self._spawn(self._accept, node, node.listener)

    def stop(self, number: int) -> None:
        """Like kill -9: the port refuses connections, and every connection breaks."""
        node = self.nodes[number]
        if node.listener is not None:
            node.listener.shutdown(socket.SHUT_RDWR)
            node.listener.close()
            node.listener = None
        with self._lock:
            connections, node.open_connections = node.open_connections, []
        for conn in connections:
            _break(conn)

    def _spawn(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, node: Node, listener: socket.socket) -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:  # stopped
                return
            with self._lock:
                node.accepted += 1
                node.open_connections.append(conn)
            if self.drops_connections:
                _break(conn)
                continue
            self._spawn(self._serve, node, conn)

    def _serve(self, node: Node, conn: socket.socket) -> None:
        try:
            with conn, conn.makefile("rb") as stream:
                while head := stream.read(4):
                    size = struct.unpack(">i", head)[0]
                    frame = stream.read(size)
                    if len(frame) < size:  # cut off, or not Kafka's protocol at all
                        return
                    while (node.hangs or self.silent.is_set()) and not self._let_go.wait(0.01):
                        pass
                    conn.sendall(self._answer(node, frame))
        except (OSError, Cut):
            _break(conn)

    def _answer(self, node: Node, frame: bytes) -> bytes:
        api_key, version, correlation_id = struct.unpack_from(">hhi", frame)
        request = SERVED[api_key][0].decode(frame, version=version, header=True)
        with self._lock:
            self.asked[request.name] += 1
        answer = {18: self._versions, 3: self._metadata, 0: self._produce}[api_key]
        response = answer(node, request)
        response.API_VERSION = version
        response.with_header(correlation_id=correlation_id)
        return bytes(response.encode(header=True, framed=True))

    def _versions(self, node: Node, request: Any) -> Any:
        offered = [
            ApiVersionsResponse.ApiVersion(api_key=key, min_version=low, max_version=high)
            for key, (_, (low, high)) in SERVED.items()
        ]
        return ApiVersionsResponse(error_code=NO_ERROR, api_keys=offered, throttle_time_ms=0)

    def _metadata(self, node: Node, request: Any) -> Any:
        topic_type = MetadataResponse.MetadataResponseTopic
        topics = []
        for asked in request.topics:
            leaders = self.topics.get(asked.name)
            partitions = [
                topic_type.MetadataResponsePartition(
                    error_code=5 if leader == -1 else 0,
                    partition_index=index,
                    leader_id=leader,
                    leader_epoch=1,
                    replica_nodes=[1],
                    isr_nodes=[1],
                    offline_replicas=[],
                )
                for index, leader in enumerate(leaders or ())
            ]
            code = UNKNOWN_TOPIC if leaders is None else NO_ERROR
            topics.append(
                topic_type(error_code=code, name=asked.name, is_internal=False, partitions=partitions)
            )
        brokers = [
            MetadataResponse.MetadataResponseBroker(
                node_id=node.number, host="127.0.0.1", port=node.port, rack=None
            )
            for node in self.nodes.values()
        ]
        return MetadataResponse(
            throttle_time_ms=0, brokers=brokers, cluster_id="fake", controller_id=1, topics=topics
        )

    def _produce(self, node: Node, request: Any) -> Any:
        assert request.acks == -1, "acks is not all"
        batches = {
            TopicPartition(topic.name, part.index): (bytes(part.records), _records_in(part.records))
            for topic in request.topic_data
            for part in topic.partition_data
        }
        produced = Produced(
            node.number,
            {tp: len(records) for tp, (_, records) in batches.items()},
            {tp: len(data) for tp, (data, _) in batches.items()},
        )
        self.produced.append(produced)
        fault = self.faults.popleft() if self.faults else None
        codes = dict((fault(produced) if fault else None) or {})
        for tp in batches:
            leaders = self.topics.get(tp.topic, [])
            if tp.partition >= len(leaders):
                codes[tp] = UNKNOWN_TOPIC
            elif leaders[tp.partition] != node.number:
                codes[tp] = NOT_LEADER
        return self._write(batches, codes)

    def _write(
        self, batches: Mapping[TopicPartition, tuple[bytes, list[Any]]], codes: Mapping[TopicPartition, int]
    ) -> Any:
        topic_type = ProduceResponse.TopicProduceResponse
        by_topic: dict[str, list[Any]] = defaultdict(list)
        for tp, (_, records) in batches.items():
            code = codes.get(tp, NO_ERROR)
            base = -1 if code else len(self.log[tp])
            if not code:
                self.log[tp].extend(records)  # only the leader's thread writes a partition
            by_topic[tp.topic].append(
                topic_type.PartitionProduceResponse(
                    index=tp.partition,
                    error_code=code,
                    base_offset=base,
                    log_append_time_ms=int(time.time() * 1000),
                    log_start_offset=0,
                    record_errors=[],
                    error_message=None,
                )
            )
        answers = [topic_type(name=name, partition_responses=parts) for name, parts in by_topic.items()]
        return ProduceResponse(responses=answers, throttle_time_ms=self.throttle_ms)


def _records_in(data: Any) -> list[tuple[Any, ...]]:
    records = []
    for batch in MemoryRecords(bytes(data)):
        assert batch.validate_crc(), "a batch with a wrong checksum"
        records += [(record.key, record.value, record.headers) for record in batch]
    return records


def _break(conn: socket.socket) -> None:
    with suppress(OSError):  # it was broken before
        conn.shutdown(socket.SHUT_RDWR)
    conn.close()
