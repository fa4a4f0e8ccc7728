"""Builds requests for attacks: good ones, each with an order of its own, and parts of bad ones.

The user of an order identifies its attack. A user `hidden-…` marks an order in a place where no reader should
find a request, unless the attack came out harmless: the strict reader decides. CANARY marks all other text of
a client; it must not appear in any response header or log line.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import Any, TypeAlias

from tests.attack.strict import Reading

CANARY = "Quagmire7"
HIDDEN = "hidden-"
ITEMS = ("pizza", "burger", "salad", "sandwich")
JSON_TYPE = ("Content-Type", "application/json")
HOST = ("Host", "here")

Fields: TypeAlias = Sequence[tuple[str, str]]


class AfterSend(Enum):
    """What the client does after it has sent everything."""

    READ = "read until the server closes"
    HALF_CLOSE = "close its side, and read until the server closes"
    LEAVE = "close"
    RESET = "reset the connection"
    STALL = "read nothing for a while, then reset"


@dataclass(frozen=True, slots=True)
class Attack:
    name: str
    seed: int
    index: int
    pieces: tuple[bytes, ...]
    after_send: AfterSend
    reading: Reading  # the requests that a strict reader finds

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


class RequestBuilder:
    """Everything it builds follows from the seed and the attack's index."""

    def __init__(self, seed: int, index: int) -> None:
        self.random = Random(f"{seed}:{index}")
        self._index = index
        self._orders = 0

    def fields_of_order(self, **more: Any) -> dict[str, Any]:
        self._orders += 1
        user_id = f"u{self._index}-{self._orders}"
        item, quantity = self.random.choice(ITEMS), self.random.randint(1, 3)
        return {"user_id": user_id, "item": item, "quantity": quantity, **more}

    def order(self, *fields: tuple[str, str], method: str = "POST", path: str = "/order") -> bytes:
        return self.post(json.dumps(self.fields_of_order()).encode(), *fields, method=method, path=path)

    def goodbye(self) -> bytes:
        """A good order that ends the connection, so that the client can read until it is closed."""
        return self.order(("Connection", "close"))

    def hidden(self, *, ends: bool = False) -> bytes:
        """A smuggled request: a server that handles it was deceived."""
        self._orders += 1
        order = {"user_id": f"{HIDDEN}{self._index}-{self._orders}", "item": "pizza", "quantity": 1}
        return self.post(json.dumps(order).encode(), *([("Connection", "close")] if ends else []))

    def post(
        self,
        body: bytes,
        *fields: tuple[str, str],
        method: str = "POST",
        path: str = "/order",
        typed: bool = True,
    ) -> bytes:
        head = [HOST, *([JSON_TYPE] if typed else []), *fields]
        return request(f"{method} {path} HTTP/1.1", [*head, ("Content-Length", str(len(body)))], body)

    def get(self, path: str, *fields: tuple[str, str], method: str = "GET") -> bytes:
        return request(f"{method} {path} HTTP/1.1", [HOST, *fields])

    def pick(self, words: Sequence[str]) -> str:
        return self.random.choice(words)

    def pieces(self, data: bytes, at_most: int = 6) -> tuple[bytes, ...]:
        cuts = sorted(self.random.randrange(len(data) + 1) for _ in range(self.random.randint(1, at_most)))
        return tuple(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b)


Kind: TypeAlias = Callable[[RequestBuilder], bytes]


def request(line: str, fields: Fields, body: bytes = b"") -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + b"0\r\n" + trailer + b"\r\n"
