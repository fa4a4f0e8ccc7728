"""Which broker leads a partition, and the connection to it, on kafka-python's connection manager.

Every step is tried once; the caller decides whether to retry. Nothing runs in the background: kafka-python's
own bootstrap and metadata refresh are not started, since a failed bootstrap stays failed, and they connect
even when nobody wants to write. Everything here runs in the network loop.
"""

import random
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import MetadataRequest

from campus.config.settings import KafkaConfig
from campus.kafka.clients import kafka_settings
from campus.kafka.records import TopicPartition

NO_LEADER = -1
THROTTLE_CHECK_S = 0.01  # how often to check whether the broker still throttles a connection

NodeId = int | str


class Leaders:
    def __init__(self, net: NetworkSelector, kafka: KafkaConfig, *, client_id: str) -> None:
        self._net = net
        self._connect_timeout_s = kafka.connect_timeout_s
        connect_ms = round(kafka.connect_timeout_s * 1000)
        self._manager = KafkaConnectionManager(
            net,
            client_id=client_id,
            socket_connection_setup_timeout_ms=connect_ms,
            socket_connection_setup_timeout_max_ms=connect_ms,
            **kafka_settings(kafka),
        )
        self._topics: set[str] = set()
        self._topic_errors: dict[str, Exception] = {}
        self._is_stale = False

    def invalidate(self) -> None:
        """A leader may have moved: ask for metadata before the next use."""
        self._is_stale = True

    def are_complete(self) -> bool:
        """Whether every partition of the topics written to has a leader, by the last metadata."""
        cluster = self._manager.cluster
        return not self._topic_errors and all(
            cluster.available_partitions_for_topic(topic) == cluster.partitions_for_topic(topic)
            for topic in self._topics
        )

    async def group_by_leader(
        self, tps: Iterable[TopicPartition], deadline: float
    ) -> tuple[dict[NodeId, list[TopicPartition]], dict[TopicPartition, Exception]]:
        """The partitions by leader, and why others have none. Raises KafkaError if no broker answers."""
        tps = list(tps)
        if self._is_stale or any(self._leader(tp) is None for tp in tps):
            self._topics.update(tp.topic for tp in tps)
            await self.refresh(deadline)
        led: dict[NodeId, list[TopicPartition]] = defaultdict(list)
        leaderless: dict[TopicPartition, Exception] = {}
        for tp in tps:
            leader = self._leader(tp)
            if leader is None:
                leaderless[tp] = self._leaderless_error(tp)
            else:
                led[leader].append(tp)
        return led, leaderless

    async def refresh(self, deadline: float) -> None:
        """Ask the brokers for metadata, each once and for its share of the time. Raises KafkaError."""
        candidates = self._candidates()
        error: Exception | None = None
        for position, node_id in enumerate(candidates):
            now = time.monotonic()
            share = now + (deadline - now) / (len(candidates) - position)
            try:
                response = await self.send(node_id, self._metadata_request(), share)
            except kafka_errors.KafkaError as refused:
                error = refused
                continue
            if response.brokers:
                self._manager.cluster.update_metadata(response)
                failed = [topic for topic in response.topics if topic.error_code]
                self._topic_errors = {
                    topic.name: kafka_errors.for_code(topic.error_code)() for topic in failed
                }
                self._is_stale = False
                if self._manager.cluster.is_bootstrap(node_id):
                    self._manager.close(node_id)  # from now on this broker is known by its own id
                return
            error = kafka_errors.MetadataEmptyBrokerList("the broker knows of no brokers")
        assert error is not None, "there is always a candidate"
        raise error

    async def send(self, node_id: NodeId, request: Any, deadline: float) -> Any:
        """Send one request to one broker and return its response. Raises KafkaError."""
        conn = await self._connection(node_id, deadline)
        while conn.paused:  # throttled: kafka-python would refuse to send
            await self._net.sleep(min(_remaining_s(deadline), THROTTLE_CHECK_S))
        # kafka-python's timer closes a connection that does not answer, so that a late response is not taken
        # for the next one. It does not run while SASL authenticates again; then ours does.
        response = conn.send_request(request, request_timeout_ms=_remaining_s(deadline) * 1000)
        if conn._request_buffer:
            return await self._within(deadline, response)
        if conn.transport:  # kafka-python would wait until the socket is writable: two more turns of the loop
            _, error = conn.transport._sock_send()
            if error:
                conn.transport.abort(error)
        return await response

    def close(self) -> None:
        """Break every connection; requests in flight fail now."""
        error = kafka_errors.Cancelled("the writer was closed")
        for conn in list(self._manager._conns.values()):
            conn.close(error)  # with an error it does not wait for what is still to be sent
        self._manager.close()

    def _leader(self, tp: TopicPartition) -> NodeId | None:
        leader: NodeId | None = self._manager.cluster.leader_for_partition(tp)
        return None if leader == NO_LEADER else leader

    def _leaderless_error(self, tp: TopicPartition) -> Exception:
        error: Exception = kafka_errors.UnknownTopicOrPartitionError(f"{tp} does not exist")
        if self._manager.cluster.leader_for_partition(tp) == NO_LEADER:
            error = kafka_errors.LeaderNotAvailableError(f"{tp} has no leader")
        return self._topic_errors.get(tp.topic, error)

    def _candidates(self) -> list[NodeId]:
        """The known and the configured brokers that are not in backoff, or the first to be out of it."""
        cluster = self._manager.cluster
        brokers = [*cluster.bootstrap_brokers(), *cluster.brokers()]
        known = {(broker.host, broker.port): broker.node_id for broker in brokers}
        nodes = random.sample(list(known.values()), len(known))
        delay = self._manager.connection_delay
        return [node for node in nodes if not delay(node)] or [min(nodes, key=delay)]

    def _metadata_request(self) -> Any:
        return MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic) for topic in sorted(self._topics)],
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
        )

    async def _connection(self, node_id: NodeId, deadline: float) -> Any:
        """The connection to a broker; makes at most one attempt to connect, after the backoff that is due."""
        if delay_s := self._manager.connection_delay(node_id):
            await self._net.sleep(min(_remaining_s(deadline), delay_s))
        if node_id not in self._manager._conns:
            await self._look_up_host(node_id, deadline)
        conn = self._manager.get_connection(
            node_id, refresh_metadata_on_err=False, reset_backoff_on_connect=False
        )
        if not conn.connected:
            # kafka-python sets no timeout on a TLS handshake, and makes no other connection while one hangs.
            too_slow = kafka_errors.KafkaConnectionError(
                f"not connected within {self._connect_timeout_s:g} s"
            )
            timer = self._net.call_later(self._connect_timeout_s, lambda: conn.close(too_slow))
            conn.init_future.add_both(lambda _: self._net.cancel(timer))
            try:
                await self._within(deadline, conn.init_future)
            except kafka_errors.KafkaError:
                # kafka-python backs off after a refused connection, but not after one that is accepted and
                # then dropped, as a proxy in front of an absent broker does.
                if conn.closed and not self._manager.connection_delay(node_id):
                    self._manager.update_backoff(node_id)
                raise
            self._manager.reset_backoff(node_id)
        return conn

    async def _look_up_host(self, node_id: NodeId, deadline: float) -> None:
        """Resolve the broker's name in a thread first. kafka-python does it in the network loop, where a
        resolver that does not answer would block everything."""
        node = self._manager.cluster.broker_metadata(node_id)
        if node is None:
            return
        resolved = Future()

        def look_up() -> None:
            error: Exception | None = None
            try:
                socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
            except OSError as unknown:
                error = kafka_errors.KafkaConnectionError(f"the name {node.host} is not known ({unknown})")
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                self._net.call_soon_threadsafe(
                    lambda: resolved.failure(error) if error else resolved.success(None)
                )

        threading.Thread(target=look_up, name="name-lookup", daemon=True).start()
        try:
            await self._within(deadline, resolved)
        except kafka_errors.KafkaError:
            self._manager.update_backoff(node_id)
            raise

    async def _within(self, deadline: float, future: Any) -> Any:
        return await self._manager.wait_for(future, _remaining_s(deadline) * 1000)


def _remaining_s(deadline: float) -> float:
    """Raises KafkaTimeoutError if the deadline is over."""
    remaining_s = deadline - time.monotonic()
    if remaining_s <= 0:
        raise kafka_errors.KafkaTimeoutError("no answer in time")
    return remaining_s
