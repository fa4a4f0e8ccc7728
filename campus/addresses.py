"""Addresses of servers, and whether one answers there. Ask before creating a Kafka client.

A Kafka client that is created before its broker listens backs off for many seconds. Every wait here ends with
the stop event or a deadline.
"""

import socket
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

API_VERSIONS_KEY = 18
PROBE_CORRELATION_ID = 0x43616D70


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_addresses(text: str, *, default_port: int = 9092) -> tuple[Address, ...]:
    """Parse `"a:9092,b"`; an IPv6 host is in brackets. Raises ValueError if a part is not host:port."""
    addresses = []
    for part in (part.strip() for part in text.split(",")):
        host, colon, port = part.rpartition(":")
        if not colon or part.endswith("]"):
            host, port = part, str(default_port)
        host = host.removeprefix("[").removesuffix("]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{part!r} is no host:port")
        addresses.append(Address(host, int(port)))
    return tuple(addresses)


def listens(address: Address, *, timeout_s: float = 1.0) -> bool:
    """Whether a program accepts TCP connections at the address."""
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_s):
            return True
    except OSError:
        return False


def speaks_kafka(address: Address, *, timeout_s: float = 2.0) -> bool:
    """Whether a Kafka (0.10 or newer) answers an ApiVersions v0 request, without TLS.

    Source: the Kafka protocol guide, ApiVersions and the request and response headers v1 and v0.
    """
    client_id = b"campuskafka-probe"
    body = struct.pack(">hhih", API_VERSIONS_KEY, 0, PROBE_CORRELATION_ID, len(client_id)) + client_id
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_s) as conn:
            conn.settimeout(timeout_s)
            conn.sendall(struct.pack(">i", len(body)) + body)
            answer = b""
            while len(answer) < 8:
                chunk = conn.recv(4096)
                if not chunk:
                    return False
                answer += chunk
    except OSError:
        return False
    return bool(struct.unpack_from(">ii", answer)[1] == PROBE_CORRELATION_ID)


def wait_until(
    predicate: Callable[[], bool], stop: Event, *, timeout_s: float | None, every_s: float = 0.05
) -> bool:
    """Call `predicate` until it is true, the timeout is over, or `stop` is set; whether it became true."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while not predicate():
        if deadline is not None and time.monotonic() >= deadline:
            return False
        if stop.wait(every_s):
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
