"""A customer who orders by HTTP: one connection, kept from order to order, one order at a time.

No more HTTP than is needed to read our own server's answers, so that little of a measured latency, and of
the processor, is the customer's.
"""

import asyncio
import re
from dataclasses import dataclass

import msgspec

from campus.addresses import Address
from campus.bench.orders import Wish

ANSWER_TIMEOUT_S = 30.0
ANSWER_BYTES_MAX = 1024 * 1024
NO_ANSWER = 0  # in place of a status

_HEAD_END = b"\r\n\r\n"
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,9})\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    order_id: str | None


class _Accepted(msgspec.Struct):
    order_id: str


_accepted = msgspec.json.Decoder(_Accepted)


class Customer(asyncio.Protocol):
    def __init__(self, endpoint: Address) -> None:
        self._endpoint = endpoint
        self._head = (
            f"POST /order HTTP/1.1\r\nHost: {endpoint}\r\nContent-Type: application/json\r\n".encode()
        )
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    async def order(self, wish: Wish) -> Answer:
        """NO_ANSWER if the connection cannot be made, breaks, or nothing comes in time."""
        body = msgspec.json.encode(wish)
        loop = asyncio.get_running_loop()
        try:
            transport = self._transport or await self._connected(loop)
        except OSError:
            return Answer(NO_ANSWER, None)
        self._answer = loop.create_future()
        # Not wait_for: it makes a task of each order, which costs as much as all the rest here.
        patience = loop.call_later(ANSWER_TIMEOUT_S, self.close)
        transport.write(b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(body), body))
        try:
            return await self._answer
        finally:
            patience.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self.connection_lost(None)

    async def _connected(self, loop: asyncio.AbstractEventLoop) -> asyncio.Transport:
        self._transport, _ = await loop.create_connection(
            lambda: self, self._endpoint.host, self._endpoint.port
        )
        return self._transport

    # What the event loop calls

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_end = self._received.find(_HEAD_END)
        if head_end < 0:
            return
        head = bytes(self._received[: head_end + 2])
        length = _CONTENT_LENGTH.search(head)
        body_starts = head_end + len(_HEAD_END)
        body_ends = body_starts + (int(length[1]) if length else 0)
        if length is None or body_ends > ANSWER_BYTES_MAX:
            self.close()  # not an answer of this program's server
        elif len(self._received) >= body_ends:
            body = bytes(self._received[body_starts:body_ends])
            del self._received[:body_ends]
            self._resolve(_answer_of(head, body))
            if _CLOSES.search(head):
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._received.clear()
        self._resolve(Answer(NO_ANSWER, None))

    def _resolve(self, answer: Answer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


def _answer_of(head: bytes, body: bytes) -> Answer:
    try:
        return Answer(int(head[9:12]), _accepted.decode(body).order_id)
    except (ValueError, msgspec.MsgspecError):
        return Answer(int(head[9:12]) if head[9:12].isdigit() else NO_ANSWER, None)
