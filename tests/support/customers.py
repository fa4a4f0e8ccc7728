"""HTTP clients that place orders: one order at a time, or a crowd that repeats an order until it is accepted.

The clients of a crowd keep their connections. A client that gets no 202 (a refusal, no answer, no connection)
sends the same order again. So each order is accepted exactly once, whatever happens to the system; an order
without an answer may have been placed all the same.
"""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from campus.addresses import Address

ITEMS = ("pizza", "burger", "salad", "sandwich")
CONNECTIONS = 32
ANSWER_S = 30.0
PAUSE_S = 0.05  # after an attempt without a 202
HEAD = b"POST /order HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    at_s: float
    status: int
    headers: dict[str, str]
    body: Any


def order(endpoint: Address, item: str = "pizza", quantity: int = 1, user_id: str = "ana") -> Answer:
    with closing(http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=ANSWER_S)) as connection:
        body = json.dumps({"user_id": user_id, "item": item, "quantity": quantity})
        connection.request("POST", "/order", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(time.monotonic(), response.status, headers, json.loads(response.read()))


def one_each(count: int) -> list[str]:
    """`count` items, one portion each, the four in turn."""
    return [ITEMS[n % len(ITEMS)] for n in range(count)]


@dataclass
class Crowd:
    """Orders one portion of each item, in the background. Its results so far can be read at any time."""

    endpoint: Address
    items: Sequence[str]
    accepted: list[str] = field(default_factory=list)
    accepted_at_s: list[float] = field(default_factory=list)
    refused: list[Answer] = field(default_factory=list)
    unanswered: int = 0  # the connection broke before the answer

    def __post_init__(self) -> None:
        self._is_stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._order_all()), daemon=True)
        self._thread.start()

    def wait(self, *, within_s: float) -> "Crowd":
        """Wait until every order was accepted; after `stop`, until every sent order was answered."""
        self._thread.join(within_s)
        assert not self._thread.is_alive(), f"only {len(self.accepted)} of {len(self.items)} were accepted"
        return self

    def stop(self, *, within_s: float) -> None:
        """Send no more orders, and wait for the answers to those that were sent."""
        self._is_stopping = True
        self.wait(within_s=within_s)

    async def _order_all(self) -> None:
        items = iter(self.items)
        await asyncio.gather(*(self._customer(items) for _ in range(CONNECTIONS)))

    async def _customer(self, items: Iterable[str]) -> None:
        connection = _Connection(self.endpoint)
        try:
            for item in items:
                while not self._is_stopping and not await self._is_accepted(connection, item):
                    await asyncio.sleep(PAUSE_S)
        finally:
            connection.close()

    async def _is_accepted(self, connection: "_Connection", item: str) -> bool:
        try:
            await connection.open()
        except OSError:
            return False
        try:
            answer = await asyncio.wait_for(connection.order(item), ANSWER_S)
        except (OSError, EOFError, asyncio.TimeoutError):
            self.unanswered += 1
            connection.close()
            return False
        if answer.status != http.client.ACCEPTED:
            self.refused.append(answer)
            return False
        self.accepted.append(answer.body["order_id"])
        self.accepted_at_s.append(answer.at_s)
        return True


class _Connection:
    """A keep-alive connection."""

    def __init__(self, endpoint: Address) -> None:
        self._endpoint = endpoint
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._endpoint.host, self._endpoint.port)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def order(self, item: str) -> Answer:
        assert self._streams is not None
        reader, writer = self._streams
        body = json.dumps({"user_id": "ana", "item": item, "quantity": 1}).encode()
        writer.write(HEAD % len(body) + body)
        status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        answer = json.loads(await reader.readexactly(int(headers["content-length"])))
        if headers.get("connection") == "close":
            self.close()
        return Answer(time.monotonic(), int(status_line.split()[1]), headers, answer)
