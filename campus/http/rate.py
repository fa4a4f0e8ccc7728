"""Rate limit per client: a token bucket for each address, in a table of bounded size.

When the table is full, the client that was silent longest is dropped and starts again with a full bucket. So
a very large number of addresses weakens the limit, but never costs memory.
"""

from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv6Address

NETWORK_BITS = 64  # an IPv6 client usually has all addresses of such a network
ROUNDING = 1e-3  # of a token: monotonic clocks have large values, where floats are coarse


class TokenBuckets:
    """Each client may send `burst` requests at once, and `per_s` in the long run."""

    def __init__(self, per_s: float, burst: int, *, clients_max: int = 10_000) -> None:
        self._per_s, self._burst, self._clients_max = per_s, burst, clients_max
        # When each bucket will be full again, which implies its tokens at any time. The least
        # recently used one is first.
        self._full_at_s: OrderedDict[str, float] = OrderedDict()

    def take(self, address: str, now_s: float) -> float:
        """0 if a token was taken, else the seconds until there is one."""
        client = client_of(address)
        missing = max(self._full_at_s.get(client, now_s) - now_s, 0.0) * self._per_s
        excess = missing + 1 - self._burst
        if excess > ROUNDING:
            self._full_at_s.move_to_end(client)
            return round(excess, 6) / self._per_s  # else Retry-After is 1 s too long now and then
        self._full_at_s[client] = now_s + (missing + 1) / self._per_s
        self._full_at_s.move_to_end(client)
        if len(self._full_at_s) > self._clients_max:
            self._full_at_s.popitem(last=False)
        return 0.0


@lru_cache(maxsize=1024)
def client_of(address: str) -> str:
    """The key of an address's bucket: for IPv6, its network."""
    if ":" not in address:
        return address
    ipv6 = IPv6Address(address)
    if ipv6.ipv4_mapped:
        return str(ipv6.ipv4_mapped)
    return f"{int(ipv6) >> (128 - NETWORK_BITS):016x}"
