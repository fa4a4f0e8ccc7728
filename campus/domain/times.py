"""Times as the events carry them: ISO 8601, UTC, milliseconds; they sort as text."""

from datetime import datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1)
MS = timedelta(milliseconds=1)


# A batch of the log has one append time for all its records, hence the caches.
@lru_cache(maxsize=256)
def iso_utc(timestamp_ms: int) -> str:
    """1763837495123 as "2025-11-22T18:51:35.123Z"."""
    return (EPOCH + timestamp_ms * MS).isoformat(timespec="milliseconds") + "Z"


@lru_cache(maxsize=256)
def ms_of(iso: str) -> int:
    """The other way round. Raises ValueError."""
    return (datetime.fromisoformat(iso.removesuffix("Z")) - EPOCH) // MS
