"""The HTTP client reads responses however they arrive, and reports those that do not arrive."""

import asyncio

import pytest

from campus.addresses import Address
from campus.bench.http_clients import HttpClient, OrderRequest, OrderResponse

ORDER = OrderRequest("bench-1", "pizza", 2)
BODY = b'{"order_id":"o-1","status":"accepted"}'
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Server:
    """Answers each request on a connection with the next of what it was given, then closes it."""

    def __init__(self, *answers: bytes, byte_by_byte: bool = False) -> None:
        self.answers, self.byte_by_byte = answers, byte_by_byte
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        for answer in self.answers:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            for part in (answer[n : n + 1] for n in range(len(answer))) if self.byte_by_byte else (answer,):
                writer.write(part)
                await writer.drain()
        writer.close()

    def responses_to(self, orders: int) -> list[OrderResponse]:
        return asyncio.run(self._responses_to(orders))

    async def _responses_to(self, orders: int) -> list[OrderResponse]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        client = HttpClient(Address("127.0.0.1", server.sockets[0].getsockname()[1]))
        try:
            return [await client.send(ORDER) for _ in range(orders)]
        finally:
            client.close()
            server.close()


def test_each_request_on_a_connection_gets_its_response():
    server = Server(ACCEPTED, ACCEPTED, ACCEPTED)
    assert server.responses_to(3) == [OrderResponse(202, "o-1")] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"POST /order HTTP/1.1\r\n")
    assert server.requests[0].endswith(b'{"user_id":"bench-1","item":"pizza","quantity":2}')


def test_a_response_may_arrive_byte_by_byte():
    assert Server(ACCEPTED, ACCEPTED, byte_by_byte=True).responses_to(2) == [OrderResponse(202, "o-1")] * 2


def test_a_refusal_keeps_its_status():
    refusal = b'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 17\r\n\r\n{"title":"later"}'
    assert Server(refusal).responses_to(1) == [OrderResponse(503, None)]


def test_after_connection_close_a_new_connection_is_made():
    closing = ACCEPTED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
    server = Server(closing)
    assert server.responses_to(2) == [OrderResponse(202, "o-1")] * 2
    assert server.connections == 2


@pytest.mark.parametrize(
    "broken",
    [b"", ACCEPTED[:-5], b"HTTP/1.1 202 Accepted\r\n\r\n"],
    ids=["nothing", "half a response", "no length"],
)
def test_a_broken_connection_is_no_response(broken):
    assert Server(broken).responses_to(1) == [OrderResponse(0, None)]


def test_a_closed_port_is_no_response():
    async def send() -> OrderResponse:
        server = await asyncio.start_server(Server().serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        return await HttpClient(Address("127.0.0.1", port)).send(ORDER)

    assert asyncio.run(send()) == OrderResponse(0, None)
