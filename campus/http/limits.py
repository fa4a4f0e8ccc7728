"""Every bound of the HTTP server in one place: sizes, times and numbers that no client can exceed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campus.http.rate import RateLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`answer_timeout_s`: of what a view waits for. `drain_s`: of the answers that are owed at a stop."""

    body_bytes_max: int = 65_536
    larger_bodies: Mapping[str, int] = field(default_factory=dict)  # by exact path: what it takes instead
    bodies_bytes_max: int = 67_108_864  # of all bodies at one time: being received, or waiting to be read
    head_bytes_max: int = 16_384
    headers_max: int = 64
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    keep_alive_s: float = 15.0
    connections_max: int = 1000
    rate: RateLimit | None = None
    answer_timeout_s: float = 30.0
    drain_s: float = 5.0

    def body_bytes_max_of(self, path: str) -> int:
        return self.larger_bodies.get(path, self.body_bytes_max)
