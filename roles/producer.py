"""The producer: opens the door for orders, carries them to the broker, and tells the API what landed.

What the API takes and answers is its own affair (campus/api/). Here are its threads, its writer and its
bounds. Nothing is answered as accepted that no broker has (unless `ack` is none): what is not acknowledged
is 503, at once if too much waits already, else when its time is over, and then says that it may still come.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from threading import Event
from typing import Annotated, Any, Literal, Protocol, TypeAlias

from pydantic import AfterValidator, SecretStr

from campus.addresses import Address
from campus.api.app import BATCH_PATH, make_app
from campus.api.failures import Failures
from campus.api.problems import starting_anew, too_many_waiting
from campus.api.publisher import ApiSettings, Timer, Waiting
from campus.api.token import checked_token, kept_token
from campus.config.settings import Config, RoleSettings
from campus.config.stanza import setting
from campus.errors import CampusError
from campus.http.limits import Limits
from campus.http.problems import Refused
from campus.http.rate import RateLimit
from campus.http.server import HttpServer, listen
from campus.kafka.producer.errors import WriterClosed
from campus.kafka.producer.event_loops import beside_asyncio
from campus.kafka.producer.group_commit import AckTimeout, Backpressure, GroupClosed, GroupCommit, Report
from campus.kafka.producer.writer import Writer
from campus.kafka.records import ProducerRecord, TopicPartition
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat

NAME = "producer"
ORDER_PATH = "/order"

ASK_EVERY_S = 1.0  # whether the broker is back, when nobody orders; and for so long it may answer
BACKSTOP_S = 1.0  # after ack_timeout_s, in case the one who should say so is stuck himself
DRAIN_SHARE = 0.3  # of the process's shutdown time, for answering what was taken
CLOSE_SHARE = 0.1  # and for what nobody waits for any more

START_ORDER = 90  # the door opens last, and is closed first
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


class Commit(Protocol):
    """What of the GroupCommit is used here."""

    def submit(self, tp: TopicPartition, record: ProducerRecord, token: Waiting) -> None: ...
    def ask(self, answered: Callable[[], None], *, timeout_s: float) -> None: ...


OpenCommit: TypeAlias = Callable[["Report[Waiting]"], AbstractContextManager[Commit]]


def build(settings: Settings, config: Config, registry: Registry) -> "Producer":
    return Producer(settings, config, registry, partial(kafka_commit, settings, config))


@contextmanager
def kafka_commit(
    settings: Settings, config: Config, report: "Report[Waiting]"
) -> Iterator[GroupCommit[Waiting]]:
    with closing(Writer(config.kafka, client_id=NAME, driver=beside_asyncio)) as writer:
        commit = GroupCommit(
            writer,
            report,
            waiting_max=settings.waiting_orders_max,
            waiting_bytes_max=settings.waiting_bytes_max,
            deadline_s=settings.ack_timeout_s,
            soon=_at_the_end_of_the_turn,
        )
        try:
            yield commit
        finally:
            commit.close(timeout_s=config.supervisor.shutdown_s * CLOSE_SHARE)


def _at_the_end_of_the_turn(callback: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(callback)


class Producer:
    """The role's own thread has the event loop, and the writer in it, where that can be; others ask.

    For the API it is the `Publisher` (campus/api/publisher.py).
    """

    _commit: Commit
    _token: SecretStr

    def __init__(
        self, settings: Settings, config: Config, registry: Registry, open_commit: OpenCommit
    ) -> None:
        self._settings, self._config = settings, config
        self._open_commit = open_commit
        self._server = HttpServer(
            make_app(self._api_settings(), self, registry), self._limits(), each_tick=self._tick
        )
        self._failures = Failures("orders", log)
        self._overruns = Failures("orders beyond waiting_orders_max", log)
        self._is_through = True
        self._ask_due_s = self._answered_at_s = 0.0
        self._dead: GroupClosed | None = None
        self._heartbeat = Heartbeat()
        self._where = "not listening yet"
        self._port: int | None = None

    def health(self) -> Health:
        return self._heartbeat.health()

    @property
    def port(self) -> int | None:
        """Where it listens, once it does; of interest if the config says 0."""
        return self._port

    def run(self, stop: Event) -> None:
        host = self._settings.host
        address = Address(host, self._settings.port)
        with listen(address, next_step="Set roles.producer.host and port.") as listener:
            self._token = self._settings.token or kept_token(self._config.broker.data_dir)
            with self._open_commit(self._round_ended) as self._commit:
                self._port = listener.getsockname()[1]
                self._where = f"orders: POST http://{Address(host, self._port)}{ORDER_PATH}"
                log.info(self._where)
                self._heartbeat.now(self._where, ready=True)
                self._server.run(listener, stop)
            self._failures.close()
            self._overruns.close()

    def _api_settings(self) -> ApiSettings:
        settings = self._settings
        return ApiSettings(
            topics=self._config.topics,
            acknowledged=settings.ack == "broker",
            answer_timeout_s=settings.ack_timeout_s + BACKSTOP_S,
            batch_orders_max=settings.batch_orders_max,
            wait_max_s=settings.wait_max_s,
            waits_max=settings.waits_max,
            token=lambda: self._token,
        )

    def _limits(self) -> Limits:
        settings = self._settings
        per_s = settings.client_requests_per_s
        return Limits(
            body_bytes_max=settings.body_bytes_max,
            larger_bodies={BATCH_PATH: max(settings.batch_bytes_max, settings.body_bytes_max)},
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            connections_max=settings.connections_max,
            rate=None if per_s is None else RateLimit(per_s=per_s, burst=settings.client_burst),
            answer_timeout_s=settings.ack_timeout_s + BACKSTOP_S,
            drain_s=self._config.supervisor.shutdown_s * DRAIN_SHARE,
        )

    # In the event loop.

    def submit(self, tp: TopicPartition, record: ProducerRecord, waiting: Waiting) -> None:
        """Hand it over. Raises Refused, and then nothing was."""
        try:
            self._commit.submit(tp, record, waiting)
        except Backpressure as overrun:
            self._overruns.note(1, overrun)
            raise Refused(too_many_waiting()) from overrun
        except GroupClosed as closed:
            self._dead = closed
            raise Refused(starting_anew()) from closed

    def is_through(self) -> bool:
        return self._is_through

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> Timer:
        return self._server.call_later(delay_s, callback, *args)

    def _resolve(self, landed: Sequence[Waiting], failed: Sequence[tuple[Waiting, CampusError]]) -> None:
        for waiting in landed:
            waiting.landed()
        for waiting, _ in failed:
            waiting.failed()

    def _tick(self) -> None:
        if self._dead:  # the writer has ended under us; the supervisor makes everything anew
            raise self._dead
        self._overruns.tell()
        # After a failure the broker's word that it is there is worth another try, by whoever looks at health.
        self._is_through = not self._failures.tell() or self._answered_at_s > self._failures.last_s
        if not self._is_through and time.monotonic() >= self._ask_due_s:
            self._ask_due_s = time.monotonic() + ASK_EVERY_S
            self._ask()
        self._heartbeat.now(
            self._where if self._is_through else "orders fail: the broker does not acknowledge them"
        )

    def _ask(self) -> None:
        def answered() -> None:
            self._answered_at_s = time.monotonic()

        try:
            self._commit.ask(answered, timeout_s=ASK_EVERY_S)
        except WriterClosed:
            self._dead = GroupClosed()

    # In the writer's loop, or on other threads.

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        self._server.call_soon(callback, *args)

    def _round_ended(self, landed: Sequence[Waiting], failed: Sequence[tuple[Waiting, CampusError]]) -> None:
        if failed:
            why = failed[0][1]
            self._failures.note(len(failed), why.last or why if isinstance(why, AckTimeout) else why)
        if landed:
            self._failures.note_through()
            self._overruns.note_through()
        # One wake-up of the event loop for the whole round.
        self._server.call_soon(self._resolve, landed, failed)
