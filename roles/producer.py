"""The producer role: serves the orders API, writes to the broker in batches, and reports results to the API.

What the API accepts and answers is in campus/api/; here are its event loop, its writer and its limits. No
order is answered as accepted before the broker has acknowledged it (unless `ack` is none). An order that is
not acknowledged is answered 503: at once if too many wait already, else at its deadline, and then it may
still land.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from threading import Event
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, SecretStr

from campus.addresses import Address
from campus.api.address_file import address_published
from campus.api.app import BATCH_PATH, make_app
from campus.api.failures import FailureLog
from campus.api.problems import STARTING_ANEW, TOO_MANY_WAITING, not_written
from campus.api.publisher import ApiSettings, OnDelivery
from campus.api.token import checked_token, kept_token
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import setting
from campus.errors import CampusError
from campus.http.limits import Limits
from campus.http.problems import Refused
from campus.http.server import HttpServer, listen
from campus.kafka.producer.errors import WriterClosed
from campus.kafka.producer.event_loops import asyncio_runner
from campus.kafka.producer.group_commit import (
    AckTimeout,
    Backpressure,
    GroupCommit,
    GroupCommitClosed,
    Report,
)
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition
from campus.supervision.registry import Registry
from campus.supervision.role import Heartbeat

NAME = "producer"
ORDER_PATH = "/order"

PROBE_EVERY_S = 1.0  # after a failure: asks whether the broker is back; also the timeout of the question
BACKSTOP_S = 1.0  # after ack_timeout_s, in case the group commit itself is stuck
DRAIN_SHARE = 0.3  # of the process's shutdown time, to answer the requests that were taken
CLOSE_SHARE = 0.1  # of the same, for orders that no client waits for any more

START_ORDER = 90  # last, so that every other role is ready for the first order; stopped first
log = logging.getLogger(NAME)


class Settings(RoleSettings):
    """Takes orders by HTTP."""

    host: str = setting("127.0.0.1", "0.0.0.0 lets other machines order")
    port: int = setting(8000, "0 takes any free port and prints it", ge=0, le=65_535)
    ack: Literal["broker", "none"] = setting("broker", "broker: answer when Kafka has it | none: at once")
    ack_timeout_s: float = setting(10.0, "no acknowledgement within this time: answer 503", ge=0.1, le=300)
    token: Annotated[SecretStr, AfterValidator(checked_token)] | None = setting(
        None, "who has it may restock; null: in data_dir/token"
    )
    wait_max_s: int = setting(30, "longest wait of a client for the outcome (Prefer: wait=5)", ge=0, le=300)
    waits_max: int = setting(1000, "clients that may wait at once; more are answered 202", ge=0, le=10_000)
    batch_orders_max: int = setting(1000, "orders in one POST /orders", ge=1, le=10_000)
    batch_bytes_max: int = setting(1_048_576, "bytes in one POST /orders", ge=1024, le=16_777_216)
    body_bytes_max: int = setting(
        65_536, "bytes in any other request; more is answered 413", ge=1024, le=16_777_216
    )
    waiting_orders_max: int = setting(20_000, "orders waiting for Kafka; more are answered 503 at once", ge=1)
    waiting_bytes_max: int = setting(16_777_216, "bytes waiting for Kafka: this bounds the memory", ge=65_536)
    head_timeout_s: float = setting(
        10.0, "time to send the headers; a slower client is cut off", ge=0.1, le=300
    )
    body_timeout_s: float = setting(20.0, "time to send the body; a slower client is cut off", ge=0.1, le=300)
    connections_max: int = setting(1000, "open connections; one more is refused", ge=1)
    client_requests_per_s: float | None = setting(
        None, "more from one address is answered 429; null: no limit", ge=0.1, le=1_000_000
    )
    client_burst: int = setting(
        100, "requests at once that client_requests_per_s lets through", ge=1, le=1_000_000
    )


Commit: TypeAlias = GroupCommit[OnDelivery]
OpenCommit: TypeAlias = Callable[[Report[OnDelivery]], AbstractContextManager[Commit]]


def build(settings: Settings, config: Config, registry: Registry) -> "Producer":
    return Producer(settings, config, registry, partial(kafka_commit, settings, config))


@contextmanager
def kafka_commit(settings: Settings, config: Config, report: Report[OnDelivery]) -> Iterator[Commit]:
    with closing(Writer(config.kafka, client_id=NAME, runner=asyncio_runner)) as writer:
        commit = GroupCommit(
            writer,
            report,
            waiting_max=settings.waiting_orders_max,
            waiting_bytes_max=settings.waiting_bytes_max,
            deadline_s=settings.ack_timeout_s,
            schedule=lambda send: asyncio.get_running_loop().call_soon(send),
        )
        try:
            yield commit
        finally:
            commit.close(timeout_s=config.supervisor.shutdown_s * CLOSE_SHARE)


class Producer:
    """The role, and the API's `Publisher` (campus/api/publisher.py).

    The role's thread runs the event loop, with the writer in it where asyncio allows that.
    """

    _commit: Commit
    _token: SecretStr

    def __init__(
        self, settings: Settings, config: Config, registry: Registry, open_commit: OpenCommit
    ) -> None:
        self._settings, self._config = settings, config
        self._open_commit = open_commit
        api = ApiSettings(
            topics=config.topics,
            acknowledged=settings.ack == "broker",
            batch_orders_max=settings.batch_orders_max,
            wait_max_s=settings.wait_max_s,
            waits_max=settings.waits_max,
            token=lambda: self._token,
        )
        limits = Limits(
            body_bytes_max=settings.body_bytes_max,
            larger_bodies={BATCH_PATH: max(settings.batch_bytes_max, settings.body_bytes_max)},
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            connections_max=settings.connections_max,
            requests_per_s=settings.client_requests_per_s,
            requests_burst=settings.client_burst,
            answer_timeout_s=settings.ack_timeout_s + BACKSTOP_S,
            drain_s=config.supervisor.shutdown_s * DRAIN_SHARE,
        )
        self._server = HttpServer(make_app(api, self, registry), limits, on_tick=self._on_tick)
        self.call_soon = self._server.call_soon
        self._failures = FailureLog("orders", log)
        self._overruns = FailureLog("orders beyond waiting_orders_max", log)
        self._is_acknowledging = True
        self._probe_due_at_s = self._broker_answered_at_s = 0.0
        self._fatal: GroupCommitClosed | None = None
        self._heartbeat = Heartbeat()
        self.health = self._heartbeat.health
        self._serving = "not listening yet"
        self.port: int | None = None  # the one it listens on, once it does; the settings may say 0

    def run(self, stop: Event) -> None:
        host = self._settings.host
        address = Address(host, self._settings.port)
        with listen(address, next_step="Set roles.producer.host and port.") as listener:
            self._token = self._settings.token or kept_token(self._config.broker.data_dir)
            with self._open_commit(self._on_batch_end) as self._commit:
                self.port = listener.getsockname()[1]
                address = Address(host, self.port)
                self._serving = f"orders: POST http://{address}{ORDER_PATH}"
                log.info(self._serving)
                with address_published(self._config, address):  # before `ready`: others then look for it
                    self._heartbeat.report(self._serving, ready=True)
                    self._server.run(listener, stop)
            self._failures.close()
            self._overruns.close()

    # In the event loop.

    def submit(self, tp: TopicPartition, record: ProducerRecord, on_delivery: OnDelivery) -> None:
        try:
            self._commit.submit(tp, record, on_delivery)
        except Backpressure as overrun:
            self._overruns.record_failure(1, overrun)
            raise Refused(not_written(TOO_MANY_WAITING)) from overrun
        except GroupCommitClosed as closed:
            self._fatal = closed
            raise Refused(not_written(STARTING_ANEW)) from closed

    def is_acknowledging(self) -> bool:
        return self._is_acknowledging

    def _answer(self, landed: Sequence[OnDelivery], failed: Sequence[tuple[OnDelivery, CampusError]]) -> None:
        for on_delivery in landed:
            on_delivery(True)
        for on_delivery, _ in failed:
            on_delivery(False)

    def _on_tick(self) -> None:
        if self._fatal:  # the writer has closed: the supervisor builds the role anew
            raise self._fatal
        self._overruns.report()
        # An answer of the broker after the last failure makes the role healthy again: health checks then send
        # orders here, which show whether the outage is over.
        self._is_acknowledging = (
            not self._failures.report() or self._broker_answered_at_s > self._failures.last_failure_s
        )
        if not self._is_acknowledging and time.monotonic() >= self._probe_due_at_s:
            self._probe_due_at_s = time.monotonic() + PROBE_EVERY_S
            self._probe_broker()
        self._heartbeat.report(
            self._serving if self._is_acknowledging else "orders fail: the broker does not acknowledge them"
        )

    def _probe_broker(self) -> None:
        def on_answer() -> None:
            self._broker_answered_at_s = time.monotonic()

        try:
            self._commit.probe(on_answer, timeout_s=PROBE_EVERY_S)
        except WriterClosed:
            self._fatal = GroupCommitClosed()

    # In the writer's loop.

    def _on_batch_end(
        self, landed: Sequence[OnDelivery], failed: Sequence[tuple[OnDelivery, CampusError]]
    ) -> None:
        if failed:
            error = failed[0][1]
            self._failures.record_failure(
                len(failed), error.last or error if isinstance(error, AckTimeout) else error
            )
        if landed:
            self._failures.record_success()
            self._overruns.record_success()
        # One wake-up of the event loop for the whole batch.
        self.call_soon(self._answer, landed, failed)
