"""Which broker leads a partition, and the connection to it: kafka-python's, asked one step at a time.

Every step tries once and says what came of it; whoever called decides whether to try again. Nothing runs
in the background: kafka-python's own bootstrap and refresh loops are not started, since a bootstrap that
failed stays failed, and they go on connecting when nobody wants to write. All of it is on the net loop.
"""

import ipaddress
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

from campus.kafka.producer.batches import error_for
from campus.kafka.records import TopicPartition

NO_LEADER = -1
THROTTLE_LOOK_S = 0.01  # how often a connection that the broker throttles is looked at

NodeId = int | str


def left_s(deadline: float) -> float:
    """What is left of a deadline; raises when nothing is."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise kafka_errors.KafkaTimeoutError("no answer in time")
    return left


class Leaders:
    def __init__(self, net: NetworkSelector, *, connect_timeout_s: float, **settings: Any) -> None:
        self._net = net
        self._connect_timeout_s = connect_timeout_s
        connect_ms = round(connect_timeout_s * 1000)
        self._manager = KafkaConnectionManager(
            net,
            socket_connection_setup_timeout_ms=connect_ms,
            socket_connection_setup_timeout_max_ms=connect_ms,
            **settings,
        )
        self._topics: set[str] = set()
        self._topic_errors: dict[str, Exception] = {}
        self._doubtful = False

    def doubt(self) -> None:
        """A leader may have moved: ask again before the next use."""
        self._doubtful = True

    def are_complete(self) -> bool:
        """Whether each partition of the topics that were asked for had a leader, at the last answer."""
        known = self._manager.cluster.partitions_for_topic
        return not self._topic_errors and all(
            self._leader(TopicPartition(topic, partition)) is not None
            for topic in self._topics
            for partition in known(topic) or ()
        )

    async def of(
        self, tps: Iterable[TopicPartition], deadline: float
    ) -> tuple[dict[NodeId, list[TopicPartition]], dict[TopicPartition, Exception]]:
        """The places by the broker that leads them, and those that have none, with the reason.

        Raises a KafkaError when it has to ask and nobody answers.
        """
        tps = list(tps)
        if self._doubtful or any(self._leader(tp) is None for tp in tps):
            self._topics.update(tp.topic for tp in tps)
            await self.refresh(deadline)
        led: dict[NodeId, list[TopicPartition]] = defaultdict(list)
        leaderless: dict[TopicPartition, Exception] = {}
        for tp in tps:
            leader = self._leader(tp)
            if leader is None:
                leaderless[tp] = self._why_unled(tp)
            else:
                led[leader].append(tp)
        return led, leaderless

    async def ask(self, node_id: NodeId, request: Any, deadline: float) -> Any:
        """Send one request to one broker; the response, or a KafkaError."""
        conn = await self._connection(node_id, deadline)
        while conn.paused:  # throttled: to send now would be an error of kafka-python's, not of the broker's
            await self._net.sleep(min(left_s(deadline), THROTTLE_LOOK_S))
        # Its own timer closes a connection that gives no answer, so that a late one cannot be taken for
        # the next; but it does not run while SASL authenticates anew, hence then a second.
        answer = conn.send_request(request, request_timeout_ms=left_s(deadline) * 1000)
        if conn._request_buffer:
            return await self._within(deadline, answer)
        _send_at_once(conn)
        return await answer

    def close(self) -> None:
        """Break every connection; whoever waits for an answer gets an error now."""
        error = kafka_errors.Cancelled("the writer was closed")
        for conn in list(self._manager._conns.values()):
            conn.close(error)  # with an error it does not wait for what is still to be sent
        self._manager.close()

    def _leader(self, tp: TopicPartition) -> NodeId | None:
        leader: NodeId | None = self._manager.cluster.leader_for_partition(tp)
        return None if leader == NO_LEADER else leader

    def _why_unled(self, tp: TopicPartition) -> Exception:
        error: Exception = kafka_errors.UnknownTopicOrPartitionError(f"{tp} does not exist")
        if self._manager.cluster.leader_for_partition(tp) == NO_LEADER:
            error = kafka_errors.LeaderNotAvailableError(f"{tp} has no leader")
        return self._topic_errors.get(tp.topic, error)

    async def refresh(self, deadline: float) -> None:
        """Ask the brokers in turn, each once and for its share of the time, until one answers.

        Raises a KafkaError when none does.
        """
        candidates = self._candidates()
        error: Exception | None = None
        for position, node_id in enumerate(candidates):
            now = time.monotonic()
            share = now + (deadline - now) / (len(candidates) - position)
            try:
                response = await self.ask(node_id, self._metadata_request(), share)
            except kafka_errors.KafkaError as refused:
                error = refused
                continue
            if response.brokers:
                self._learn(response)
                if self._manager.cluster.is_bootstrap(node_id):
                    self._manager.close(node_id)  # from now on it is known by the number it has itself
                return
            error = kafka_errors.MetadataEmptyBrokerList("a broker that knows of no brokers")
        assert error is not None, "there is always a candidate"
        raise error

    def _candidates(self) -> list[NodeId]:
        """The brokers that we know, and the configured ones, unless it is too soon after a failure.

        When it is too soon for all, the one whose time comes first: to be waited for.
        """
        cluster = self._manager.cluster
        known = {(broker.host, broker.port): broker.node_id for broker in cluster.bootstrap_brokers()}
        known |= {(broker.host, broker.port): broker.node_id for broker in cluster.brokers()}
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

    def _learn(self, response: Any) -> None:
        self._manager.cluster.update_metadata(response)
        self._topic_errors = {
            topic.name: error_for(topic.error_code, None) for topic in response.topics if topic.error_code
        }
        self._doubtful = False

    async def _connection(self, node_id: NodeId, deadline: float) -> Any:
        """The connection to a broker, made if need be: one attempt, after the pause that is due."""
        if delay_s := self._manager.connection_delay(node_id):
            await self._net.sleep(min(left_s(deadline), delay_s))
        if node_id not in self._manager._conns:
            await self._name_is_known(node_id, deadline)
        conn = self._manager.get_connection(
            node_id, refresh_metadata_on_err=False, reset_backoff_on_connect=False
        )
        if not conn.connected:
            self._limit_connecting(conn)
            try:
                await self._within(deadline, conn.init_future)
            except kafka_errors.KafkaError:
                # kafka-python counts only connections that were refused, not those that were accepted
                # and then dropped, as a proxy in front of a broker that is away does.
                if conn.closed and not self._manager.connection_delay(node_id):
                    self._manager.update_backoff(node_id)
                raise
            self._manager.reset_backoff(node_id)
        return conn

    async def _name_is_known(self, node_id: NodeId, deadline: float) -> None:
        """kafka-python looks names up on its loop, where a resolver that is silent holds up all else for as
        long as it likes. So a thread asks first, and only when it was answered, the loop asks once more."""
        node = self._manager.cluster.broker_metadata(node_id)
        if node is None or is_ip(node.host):
            return
        told = Future()

        def ask() -> None:
            error: Exception | None = None
            try:
                socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)
            except OSError as unknown:
                error = kafka_errors.KafkaConnectionError(f"the name {node.host} is not known ({unknown})")
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                self._net.call_soon_threadsafe(lambda: told.failure(error) if error else told.success(None))

        threading.Thread(target=ask, name="name-lookup", daemon=True).start()
        try:
            await self._within(deadline, told)
        except kafka_errors.KafkaError:
            self._manager.update_backoff(node_id)
            raise

    def _limit_connecting(self, conn: Any) -> None:
        """kafka-python sets no limit to a TLS handshake, and while it hangs there is no other connection."""
        limit_s = self._connect_timeout_s

        def give_up() -> None:
            conn.close(kafka_errors.KafkaConnectionError(f"not connected within {limit_s:g} s"))

        timer = self._net.call_later(limit_s, give_up)
        conn.init_future.add_both(lambda _: self._net.cancel(timer))

    async def _within(self, deadline: float, future: Any) -> Any:
        return await self._manager.wait_for(future, left_s(deadline) * 1000)


def is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _send_at_once(conn: Any) -> None:
    """kafka-python waits for the socket to be writable first: two more turns of the loop for each request."""
    if conn.transport:
        _, error = conn.transport._sock_send()
        if error:
            conn.transport.abort(error)
