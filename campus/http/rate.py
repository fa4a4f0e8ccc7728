"""How often one client may ask: a token bucket for each address, in a table that cannot grow.

When the table is full, whoever was silent longest is forgotten, and has a full bucket when it asks again.
So very many addresses cost the limit its teeth, never memory.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

NETWORK_BITS = 64  # of an IPv6 address: whoever has one of a network has all of them
ROUNDING = 1e-3  # of a token: clocks count from long ago, and floats get coarse


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """`burst` requests at once, and `per_s` in the long run."""

    per_s: float
    burst: int
    clients_max: int = 10_000

    def __post_init__(self) -> None:
        assert min(self.per_s, self.burst, self.clients_max) > 0, self


class Buckets:
    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        # When each will be full again, which says what it lacks at any time; the one not asked for longest
        # is first.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at_s)

    def wait_s(self, address: str, now_s: float) -> float:
        """Take a token, and 0; or how long until there is one, and then none is taken."""
        limit, client = self._limit, client_of(address)
        lacking = max(self._full_at_s.get(client, now_s) - now_s, 0.0) * limit.per_s
        too_many = lacking + 1 - limit.burst
        if too_many > ROUNDING:
            self._full_at_s.move_to_end(client)
            return too_many / limit.per_s
        self._full_at_s[client] = now_s + (lacking + 1) / limit.per_s
        self._full_at_s.move_to_end(client)
        if len(self._full_at_s) > limit.clients_max:
            self._full_at_s.popitem(last=False)
        return 0.0


@lru_cache(maxsize=1024)
def client_of(address: str) -> str:
    """Who is behind an address, as far as can be told: for IPv6, its network."""
    if ":" not in address:
        return address
    whole = IPv6Address(address)
    if whole.ipv4_mapped:
        return str(whole.ipv4_mapped)
    network = int(whole) >> (128 - NETWORK_BITS)
    return f"{network:016x}"
