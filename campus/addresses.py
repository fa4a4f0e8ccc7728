"""Where a server listens, and whether one answers there: asked before any client is made.

A Kafka client that is built before its broker listens backs off for many seconds, so everything
here that waits does it on the stop event and within one deadline.
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
    """`"a:9092,b"` as addresses; an IPv6 host stands in brackets. Raises ValueError."""
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
    """Whether something accepts a connection there."""
    try:
        with socket.create_connection((address.host, address.port), timeout=timeout_s):
            return True
    except OSError:
        return False


def speaks_kafka(address: Address, *, timeout_s: float = 2.0) -> bool:
    """Whether what listens there answers ApiVersions v0, as any Kafka since 0.10 does, in plain
    text.

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
    """Ask until it is true, the time is over, or `stop` is set; says whether it became true."""
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
    """Wait until one of the addresses accepts connections; False if `stop` or the time came first.

    `heartbeat` is called at each look: to wait for a broker is progress.
    """

    def one_listens() -> bool:
        heartbeat()
        return any(map(listens, addresses))

    return wait_until(one_listens, stop, timeout_s=timeout_s, every_s=0.1)
