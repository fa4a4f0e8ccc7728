"""Times as the events carry them: ISO 8601, UTC, milliseconds; they sort as text."""

from datetime import datetime, timezone
from functools import lru_cache


# A batch of the log has one append time for all its records, hence the caches.
@lru_cache(maxsize=256)
def iso_utc(timestamp_ms: int) -> str:
    """1763837495123 as "2025-11-22T18:51:35.123Z"."""
    seconds, ms = divmod(timestamp_ms, 1000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


@lru_cache(maxsize=256)
def ms_of(iso: str) -> int:
    """The other way round. Raises ValueError."""
    moment = datetime.strptime(iso[:19] + "+0000", "%Y-%m-%dT%H:%M:%S%z")
    return int(moment.timestamp()) * 1000 + int(iso[20:23])
