"""The producer: takes orders by HTTP, and says 202 when the broker has them.

`POST /order` becomes one OrderPlaced on `order-events`, keyed by its item. Whether the item exists or is
in stock is not known here. An order that no broker has is never answered 202 (unless `ack` is none): it is
503, at once if too much waits already, else when its time is over, and then says that it may still come.
"""

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import bottle
from msgspec import Struct

from campus.domain.codec import encode
from campus.domain.events import OrderPlaced, Quantity, Text
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.runtime.addresses import Address
from campus.runtime.board import Board
from campus.runtime.config import AtLeast, Between, Config
from campus.runtime.errors import CampusError
from campus.runtime.failures import Failures
from campus.runtime.http.adapter import DEFERRED, Deferred
from campus.runtime.http.forms import Form, require_json
from campus.runtime.http.guard import Limits
from campus.runtime.http.problems import (
    Refused,
    Response,
    json_response,
    plain_problem,
    problem,
)
from campus.runtime.http.server import HttpServer, listen
from campus.runtime.role import Health, Pulse
from campus.stream.group_commit import GroupClosed, GroupCommit, Late, Overrun, Report
from campus.stream.writer import Outgoing, Place, Writer

NAME = "producer"
ORDER_PATH = "/order"
RETRY_AFTER = (("retry-after", "2"),)

BACKSTOP_S = 1.0  # after ack_timeout_s, in case the one who should say so is stuck himself
DRAIN_SHARE = 0.3  # of the process's shutdown time, for answering what was taken
CLOSE_SHARE = 0.1  # and for what nobody waits for any more

START_ORDER = 90  # the door opens last, and is closed first
log = logging.getLogger(NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    enabled: bool = True
    host: str = "127.0.0.1"
    port: Annotated[int, Between(0, 65_535)] = 8000
    ack: Literal["broker", "none"] = "broker"
    ack_timeout_s: Annotated[float, Between(0.1, 300)] = 10.0
    body_bytes_max: Annotated[int, Between(1024, 16_777_216)] = 65_536
    waiting_orders_max: Annotated[int, AtLeast(1)] = 20_000
    waiting_bytes_max: Annotated[int, AtLeast(65_536)] = 16_777_216
    head_timeout_s: Annotated[float, Between(0.1, 300)] = 10.0
    body_timeout_s: Annotated[float, Between(0.1, 300)] = 20.0
    connections_max: Annotated[int, AtLeast(1)] = 1000


class OrderForm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    user_id: Text
    item: Text
    quantity: Quantity


class Accepted(Struct, frozen=True, kw_only=True):
    order_id: str
    status: Literal["accepted"] = "accepted"
    user_id: str
    item: str
    quantity: int
    placed_at: str | None


# What the group commit gives back in its report: the order's id, and the response that waits for it.
Token: TypeAlias = tuple[str, Deferred | None]


class Commit(Protocol):
    """What of the GroupCommit is used here."""

    def submit(self, place: Place, record: Outgoing, token: Token) -> None: ...


OpenCommit: TypeAlias = Callable[["Report[Token]"], AbstractContextManager[Commit]]


def build(settings: Settings, config: Config, _board: Board) -> "Producer":
    return Producer(settings, config, partial(kafka_commit, settings, config))


@contextmanager
def kafka_commit(settings: Settings, config: Config, report: "Report[Token]") -> Iterator[GroupCommit[Token]]:
    with closing(Writer(config.kafka, client_id=NAME)) as writer:
        commit = GroupCommit(
            writer,
            report,
            waiting_max=settings.waiting_orders_max,
            waiting_bytes_max=settings.waiting_bytes_max,
            deadline_s=settings.ack_timeout_s,
        )
        try:
            yield commit
        finally:
            commit.close(timeout_s=config.supervisor.shutdown_s * CLOSE_SHARE)


class Producer:
    """Three threads meet here: the role's own has the event loop, the writer's reports, others ask."""

    _commit: Commit

    def __init__(self, settings: Settings, config: Config, open_commit: OpenCommit) -> None:
        self._settings, self._config = settings, config
        self._open_commit = open_commit
        self._form = Form(OrderForm, thing="order")
        self._server = HttpServer(self._app(), self._limits(), each_tick=self._tick)
        self._failures = Failures("orders", log)
        self._dead: GroupClosed | None = None
        self._pulse = Pulse()
        self._where = "not listening yet"
        self._port: int | None = None

    def health(self) -> Health:
        return self._pulse.health()

    @property
    def port(self) -> int | None:
        """Where it listens, once it does; of interest if the config says 0."""
        return self._port

    def run(self, stop: Event) -> None:
        host = self._settings.host
        address = Address(host, self._settings.port)
        with listen(address, next_step="Set roles.producer.host and port.") as listener:
            with self._open_commit(self._round_ended) as self._commit:
                self._port = listener.getsockname()[1]
                self._where = f"orders: POST http://{Address(host, self._port)}{ORDER_PATH}"
                log.info(self._where)
                self._pulse.now(self._where, ready=True)
                self._server.run(listener, stop)
            self._failures.close()

    def _limits(self) -> Limits:
        settings = self._settings
        return Limits(
            body_bytes_max=settings.body_bytes_max,
            head_timeout_s=settings.head_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            connections_max=settings.connections_max,
            answer_timeout_s=settings.ack_timeout_s + BACKSTOP_S,
            drain_s=self._config.supervisor.shutdown_s * DRAIN_SHARE,
        )

    def _app(self) -> Any:
        app = bottle.Bottle()
        app.catchall = False  # what the app raises is logged and answered by the server, not by bottle
        app.default_error_handler = _problem_of
        app.route(ORDER_PATH, "POST", self._place_order, skip=True)
        return app

    # In the event loop.

    def _place_order(self) -> bytes:
        environ = bottle.request.environ
        try:
            require_json(environ.get("CONTENT_TYPE", ""), environ.get("HTTP_CONTENT_ENCODING", ""))
            order = _order(self._form.read(environ["wsgi.input"].read()), now_ms=time.time_ns() // 1_000_000)
            environ[DEFERRED] = self._submit(order)
        except Refused as refused:
            return _reply(refused.response)
        return _reply(_accepted(order))

    def _submit(self, order: OrderPlaced) -> Deferred | None:
        """Hand the order over; what its response must wait for. Raises Refused, and then nothing was."""
        topics = self._config.topics
        place = Place(topics.orders_topic, item_partition(order.item, topics.partitions))
        waits = self._settings.ack == "broker"
        deferred = Deferred(partial(_not_acknowledged, order.order_id)) if waits else None
        try:
            self._commit.submit(place, (order.item.encode(), encode(order), ()), (order.order_id, deferred))
        except Overrun as overrun:
            self._failures.note(1, overrun)
            raise Refused(TOO_MANY_WAITING) from overrun
        except GroupClosed as closed:
            self._dead = closed
            raise Refused(STARTING_ANEW) from closed
        return deferred

    def _settle(self, landed: Sequence[Token], failed: Sequence[tuple[Token, CampusError]]) -> None:
        for _, deferred in landed:
            if deferred:
                deferred.release()
        for (order_id, deferred), _ in failed:
            if deferred:
                deferred.replace(_not_acknowledged(order_id))

    def _tick(self) -> None:
        if self._dead:  # the writer has ended under us; the supervisor makes everything anew
            raise self._dead
        failing = self._failures.tell()
        self._pulse.now("orders fail: the broker does not acknowledge them" if failing else self._where)

    # On the writer's thread.

    def _round_ended(self, landed: Sequence[Token], failed: Sequence[tuple[Token, CampusError]]) -> None:
        if failed:
            why = failed[0][1]
            self._failures.note(len(failed), why.last or why if isinstance(why, Late) else why)
        if landed:
            self._failures.note_through()
        # One wake-up of the event loop for the whole round.
        self._server.call_soon(self._settle, landed, failed)


def _order(form: OrderForm, *, now_ms: int) -> OrderPlaced:
    return OrderPlaced(
        order_id=new_order_id(now_ms),
        user_id=form.user_id,
        item=form.item,
        quantity=form.quantity,
        placed_at=iso_utc(now_ms),
    )


def new_order_id(now_ms: int) -> str:
    """A UUID of version 7 (RFC 9562): ids of later milliseconds sort after those of earlier ones."""
    noise = int.from_bytes(os.urandom(10), "big")
    value = (now_ms << 80 | noise) & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _accepted(order: OrderPlaced) -> Response:
    return json_response(
        202,
        Accepted(
            order_id=order.order_id,
            user_id=order.user_id,
            item=order.item,
            quantity=order.quantity,
            placed_at=order.placed_at,
        ),
    )


def _not_acknowledged(order_id: str) -> Response:
    return problem(
        503,
        "not-acknowledged",
        "The order is not acknowledged",
        "The broker did not acknowledge this order in time. It may still be carried out: "
        "look for its order_id before you place it again",
        headers=RETRY_AFTER,
        more={"order_id": order_id},
    )


TOO_MANY_WAITING = problem(
    503,
    "too-many-waiting",
    "Too many orders are waiting",
    "The broker is away, or slower than what comes in. This order was not placed: try again in a moment",
    headers=RETRY_AFTER,
)
STARTING_ANEW = problem(
    503,
    "starting-anew",
    "No orders are taken right now",
    "The service is starting anew. This order was not placed: try again in a moment",
    headers=RETRY_AFTER,
)


def _reply(response: Response) -> bytes:
    bottle.response.status = response.status
    for name, value in response.headers:
        bottle.response.set_header(name, value)
    return response.body


def _problem_of(error: Any) -> bytes:
    """What bottle itself refuses: a path or a method that is not there."""
    if error.status_code == 405:
        detail = f"{bottle.request.path} takes {error.get_header('Allow')}"
    else:
        detail = f"Orders go to POST {ORDER_PATH}"
    return _reply(plain_problem(error.status_code, detail))
