"""Every bound of the HTTP server in one place: the sizes, times and numbers that no client can exceed."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    body_bytes_max: int = 65_536
    larger_bodies: Mapping[str, int] = field(default_factory=dict)  # by exact path, instead of body_bytes_max
    bodies_bytes_max: int = 67_108_864  # of all request bodies in memory, received or waiting to be handled
    head_bytes_max: int = 16_384
    headers_max: int = 64
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    keep_alive_s: float = 15.0
    connections_max: int = 1000
    requests_per_s: float | None = None  # of one client address in the long run
    requests_burst: int = 100  # of one client address at once
    answer_timeout_s: float = 30.0  # for a deferred response
    drain_s: float = 5.0  # at a stop, for the responses to requests already received
