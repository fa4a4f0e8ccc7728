"""Times as the events carry them: ISO 8601 in UTC with milliseconds. They sort as text."""

from datetime import datetime, timedelta
from functools import lru_cache

EPOCH = datetime(1970, 1, 1)
MS = timedelta(milliseconds=1)


# Cached because all records of a batch have the same append time.
@lru_cache(maxsize=256)
def iso_utc(timestamp_ms: int) -> str:
    """1763837495123 as "2025-11-22T18:51:35.123Z"."""
    return (EPOCH + timestamp_ms * MS).isoformat(timespec="milliseconds") + "Z"


@lru_cache(maxsize=256)
def ms_of(iso: str) -> int:
    """The inverse of iso_utc. Raises ValueError if the text is no such time."""
    return (datetime.fromisoformat(iso.removesuffix("Z")) - EPOCH) // MS
