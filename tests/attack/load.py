"""A closed-loop load of orders over many connections; after a refusal a client tries again at once.

Every response is kept with its latency. A client that loses its connection opens another.
"""

import asyncio
import json
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from campus.addresses import Address

REOPEN_S = 0.02
HEAD = b"POST /order HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ITEMS = ("pizza", "burger", "salad", "sandwich")


class LoadResponse(NamedTuple):
    at_s: float
    took_s: float
    status: int
    kind: str  # of a problem: the last part of its type
    order_id: str  # if the response has one
    retry_after: bool


class Load:
    """Runs in the background. `responses` only grows, and can be read at any time."""

    def __init__(self, endpoint: Address, *, connections: int) -> None:
        self._endpoint = endpoint
        self._connections = connections
        self.responses: list[LoadResponse] = []
        self.unanswered = 0  # requests whose connection broke
        self.is_stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._order()), daemon=True)
        self._thread.start()

    @property
    def accepted(self) -> list[str]:
        return [one.order_id for one in self.responses if one.status == 202]

    @property
    def refused(self) -> list[LoadResponse]:
        return [one for one in self.responses if one.status != 202]

    def close(self, *, within_s: float) -> None:
        """Send no more orders, and wait for the responses to those sent."""
        self.is_stopping = True
        self._thread.join(within_s)
        assert not self._thread.is_alive(), "an order is never answered"

    async def _order(self) -> None:
        await asyncio.gather(*(self._client(n) for n in range(self._connections)))

    async def _client(self, number: int) -> None:
        body = json.dumps(
            {"user_id": f"c{number}", "item": ITEMS[number % len(ITEMS)], "quantity": 1}
        ).encode()
        request = HEAD % len(body) + body
        while not self.is_stopping:
            try:
                reader, writer = await asyncio.open_connection(self._endpoint.host, self._endpoint.port)
            except OSError:
                await asyncio.sleep(REOPEN_S)
                continue
            try:
                while not self.is_stopping and await self._ask(reader, writer, request):
                    pass
            except (OSError, EOFError):
                self.unanswered += 1
            finally:
                writer.close()
            await asyncio.sleep(REOPEN_S)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bool:
        """Returns whether the connection can be used again."""
        began_s = time.monotonic()
        with suppress(OSError):  # refused before the request, as by connections_max: read why
            writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = json.loads(await reader.readexactly(length))
        now_s = time.monotonic()
        kind, order_id = answer.get("type", "").rpartition("/")[2], answer.get("order_id", "")
        retry_after = b"retry-after: " in head
        self.responses.append(
            LoadResponse(now_s, now_s - began_s, int(head[9:12]), kind, order_id, retry_after)
        )
        return b"connection: close" not in head
