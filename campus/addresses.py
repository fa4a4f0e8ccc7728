"""Addresses of servers, and whether one answers there. Ask before creating a Kafka client.

A Kafka client that is created before its broker listens backs off for many seconds. Every wait here ends with
the stop event or a deadline.
"""

import math
import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

DEFAULT_PORT = "9092"
API_VERSIONS_KEY = 18
PROBE_CORRELATION_ID = 0x43616D70
CONNECT_TIMEOUT_S = 1.0
ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_addresses(text: str) -> tuple[Address, ...]:
    """Parse `"a:9092,b"`; an IPv6 host is in brackets. Raises ValueError if a part is not host:port."""
    addresses = []
    for part in (part.strip() for part in text.split(",")):
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            host, port = part, DEFAULT_PORT
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{part!r} is no host:port")
        addresses.append(Address(host, int(port)))
    return tuple(addresses)


def listens(address: Address) -> bool:
    """Whether a program accepts TCP connections at the address."""
    try:
        with socket.create_connection((address.host, address.port), CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def speaks_kafka(address: Address) -> bool:
    """Whether a Kafka (0.10 or newer) answers an ApiVersions v0 request, without TLS.

    Source: the Kafka protocol guide, ApiVersions and the request and response headers v1 and v0.
    """
    client_id = b"campuskafka-probe"
    body = struct.pack(">hhih", API_VERSIONS_KEY, 0, PROBE_CORRELATION_ID, len(client_id)) + client_id
    try:
        with socket.create_connection((address.host, address.port), ANSWER_TIMEOUT_S) as conn:
            conn.sendall(struct.pack(">i", len(body)) + body)
            answer = conn.makefile("rb").read(8)
    except OSError:
        return False
    return answer[4:] == struct.pack(">i", PROBE_CORRELATION_ID)


def wait_until(
    predicate: Callable[[], bool], stop: Event, *, timeout_s: float | None, every_s: float = 0.05
) -> bool:
    """Call `predicate` until it is true, the timeout is over, or `stop` is set; whether it became true."""
    deadline_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
    while not predicate():
        if time.monotonic() >= deadline_s or stop.wait(every_s):
            return False
    return True


def wait_for_listener(
    addresses: Sequence[Address],
    stop: Event,
    *,
    timeout_s: float | None = None,
    heartbeat: Callable[[], None] = lambda: None,
) -> bool:
    """Wait until one of the addresses accepts connections; False if `stop` or the timeout came first.

    `heartbeat` is called at each attempt, since waiting for a broker counts as progress.
    """

    def any_listens() -> bool:
        heartbeat()
        return any(map(listens, addresses))

    return wait_until(any_listens, stop, timeout_s=timeout_s, every_s=0.1)
