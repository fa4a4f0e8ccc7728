"""Times as text and back."""

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.domain.times import iso_utc, ms_of

YEAR_9999_MS = 253_370_764_800_000


def test_a_time_is_iso_8601_in_utc_with_milliseconds():
    assert iso_utc(1_763_837_495_123) == "2025-11-22T18:51:35.123Z"
    assert iso_utc(0) == "1970-01-01T00:00:00.000Z"


@given(st.integers(0, YEAR_9999_MS))
def test_a_time_can_be_read_back_from_its_text(timestamp_ms):
    assert ms_of(iso_utc(timestamp_ms)) == timestamp_ms


@given(st.integers(0, YEAR_9999_MS))
def test_a_time_is_the_same_as_the_standard_librarys(timestamp_ms):
    moment = datetime.fromtimestamp(timestamp_ms // 1000, timezone.utc)
    assert iso_utc(timestamp_ms)[:19] == moment.strftime("%Y-%m-%dT%H:%M:%S")


@given(st.integers(0, YEAR_9999_MS), st.integers(0, YEAR_9999_MS))
def test_times_sort_as_text(one, other):
    assert (iso_utc(one) < iso_utc(other)) == (one < other)


def test_a_text_that_is_no_time_raises_value_error():
    with pytest.raises(ValueError):
        ms_of("soon")
