"""Servers under test, each in its own thread on a free port, and clients on plain sockets.

`a_producer` runs the role with a commit that the test controls, and checks every response against the API's
description (contract.py). `a_server` serves any app.
"""

import json
import re
import select
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from campus.addresses import Address, wait_until
from campus.book.order_book import OrderBook
from campus.config.settings import BrokerConfig, Config, SupervisorConfig, TopicsConfig
from campus.errors import CampusError
from campus.http.limits import Limits
from campus.http.server import HttpServer, listen
from campus.supervision.registry import Registry
from roles.producer import Producer, Settings
from tests.api import contract

SOON_S = 5.0  # only a failing test waits so long

AN_ORDER = {"user_id": "ana", "item": "pizza", "quantity": 2}
TOKEN = "the-token-of-these-tests"

_scratch = tempfile.TemporaryDirectory(prefix="campuskafka-")  # removed when the tests end


def soon(predicate) -> None:
    assert wait_until(predicate, threading.Event(), timeout_s=SOON_S, every_s=0.005), "it never came true"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Client:
    """One connection: sends requests as bytes and reads responses one by one.

    Not http.client: it reads ahead, and loses what it read when the next answer is asked for.
    """

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SOON_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def send_until_closed(self, data: bytes) -> None:
        deadline = time.monotonic() + SOON_S
        try:
            while time.monotonic() < deadline:
                self.socket.sendall(data)
        except ConnectionError:
            return
        raise AssertionError("nobody minds")

    def send_until_answered(self, data: bytes) -> Answer:
        """Send it repeatedly until there is a response."""
        deadline = time.monotonic() + SOON_S
        with suppress(ConnectionError):  # closed while data was on its way
            while not select.select([self.socket], [], [], 0.02)[0]:
                assert time.monotonic() < deadline, "nobody minds"
                self.socket.sendall(data)
        return self.answer()

    def answer(self, method: str = "POST") -> Answer:
        status_line = self._file.readline()
        assert status_line, "closed without an answer"
        version, status = status_line.split()[:2]
        assert version == b"HTTP/1.1"
        headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            assert name not in headers, f"{name} stands twice"
            headers[name] = value.strip()
        has_body = method != "HEAD" and status not in (b"100", b"204")
        text = self._file.read(int(headers["content-length"])) if has_body else b""
        return Answer(int(status), headers, text)

    def is_closed(self) -> bool:
        """Waits; whether the server closes the connection without sending anything more."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def has_nothing(self) -> bool:
        self.socket.setblocking(False)
        try:
            return self._file.peek(1) == b""
        finally:
            self.socket.settimeout(SOON_S)

    def close(self) -> None:
        self._file.close()
        self.socket.close()


class CheckedClient(Client):
    """Checks every response against the API's description."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._sent = bytearray()

    def send(self, data: bytes) -> "Client":
        self._sent += data
        return super().send(data)

    def answer(self, method: str = "POST") -> Answer:
        answer = super().answer(method)
        if answer.status != 100:  # which is not the final response
            asked, target = self._take_request()
            contract.check(asked, target, answer.status, answer.headers, answer.text)
        return answer

    def _take_request(self) -> tuple[str, str]:
        """Method and target of the next request that was sent; "?" if it is not a complete request."""
        head, end, rest = bytes(self._sent).partition(b"\r\n\r\n")
        line = re.fullmatch(rb"([A-Z]+) (\S+) HTTP/1.1", head.split(b"\r\n")[0])
        if not end or not line:
            return "?", "?"
        length = re.search(rb"(?mi)^content-length: *(\d+)", head)
        self._sent = bytearray(rest[int(length[1]) if length else 0 :])
        return line[1].decode(), line[2].decode("latin-1")


def a_request(
    body: bytes | str | dict[str, Any] | list[Any] = AN_ORDER,
    *,
    method: str = "POST",
    path: str = "/order",
    headers: Sequence[str] = ("Content-Type: application/json",),
) -> bytes:
    content = json.dumps(body).encode() if isinstance(body, dict | list) else body
    content = content.encode() if isinstance(content, str) else content
    lines = [f"{method} {path} HTTP/1.1", "Host: here", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class FakeCommit:
    """A group commit that the test controls: it keeps records until it acknowledges or fails them."""

    report: Any = None
    at_once: bool = True  # acknowledge each record when it is submitted
    is_there: bool = False  # when asked whether the broker answers
    refuses: Exception | None = None
    taken: list[tuple[Any, Any]] = field(default_factory=list)
    tokens: list[Any] = field(default_factory=list)
    closed: bool = False

    def submit(self, tp, record, token) -> None:
        if self.refuses:
            raise self.refuses
        self.taken.append((tp, record))
        self.tokens.append(token)
        if self.at_once:
            self.acknowledge()

    def probe(self, on_answer, *, timeout_s) -> None:
        if self.is_there:
            on_answer()

    def acknowledge(self) -> None:
        tokens, self.tokens = self.tokens, []
        self.report(tokens, [])

    def fail(self, why: CampusError) -> None:
        tokens, self.tokens = self.tokens, []
        self.report([], [(token, why) for token in tokens])

    @contextmanager
    def opened(self, report) -> Iterator["FakeCommit"]:
        self.report = report
        try:
            yield self
        finally:
            self.closed = True


class Running:
    """Runs a function in a thread until `stop` is set."""

    def __init__(self, run, *args) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._clients: list[Client] = []
        self._thread = threading.Thread(target=self._run, args=(run, *args), daemon=True)
        self.port = 0

    makes_client: type[Client] = Client

    def client(self) -> Client:
        client = self.makes_client(self.port)
        self._clients.append(client)
        return client

    def ask(self, request: bytes, method: str = "POST") -> Answer:
        return self.client().send(request).answer(method)

    def order(self, body: Any = AN_ORDER, **options: Any) -> Answer:
        return self.ask(a_request(body, **options))

    def start(self) -> None:
        self._thread.start()

    def is_running(self) -> bool:
        return self._thread.is_alive()

    def ends(self) -> None:
        self._thread.join(SOON_S)
        assert not self._thread.is_alive(), "it does not stop"

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.stop.set()
        self.ends()

    def _run(self, run, *args) -> None:
        try:
            run(*args, self.stop)
        except BaseException as error:
            self.error = error


class RunningProducer(Running):
    makes_client = CheckedClient

    def __init__(self, commit: FakeCommit, config: Config, settings: Settings, book: Any = None) -> None:
        self.commit = commit
        self.registry = Registry()
        self.book = book
        self.role = Producer(settings, config, self.registry, commit.opened)
        super().__init__(self._run_role)

    def _run_role(self, stop: threading.Event) -> None:
        with self.registry.showing(OrderBook, self.book) if self.book else nullcontext():
            self.role.run(stop)

    def get(self, path: str, *, headers: Sequence[str] = (), method: str = "GET") -> Answer:
        return self.ask(a_request(b"", method=method, path=path, headers=headers), method)

    def start(self) -> None:
        super().start()
        soon(lambda: self.role.health().ready or not self.is_running())
        self.port = self.role.port or 0


def a_config(*, shutdown_s: float = 10.0, prefix: str = "", data_dir: Path = Path(_scratch.name)) -> Config:
    return Config(
        supervisor=SupervisorConfig(shutdown_s=shutdown_s),
        topics=TopicsConfig(prefix=prefix),
        broker=BrokerConfig(data_dir=data_dir),
    )


@contextmanager
def a_producer(
    *,
    commit: FakeCommit | None = None,
    config: Config | None = None,
    book: OrderBook | None = None,
    **settings: Any,
) -> Iterator[RunningProducer]:
    with_defaults = Settings(**{"port": 0, "token": SecretStr(TOKEN), **settings})
    running = RunningProducer(commit or FakeCommit(), config or a_config(), with_defaults, book)
    running.start()
    try:
        yield running
    finally:
        running.close()


@contextmanager
def a_server(app, **limits: Any) -> Iterator[Running]:
    listener = listen(Address("127.0.0.1", 0), next_step="")
    running = Running(HttpServer(app, Limits(**limits)).run, listener)
    running.port = listener.getsockname()[1]
    running.start()
    try:
        yield running
    finally:
        running.close()
        listener.close()
