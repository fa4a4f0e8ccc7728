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
def test_a_time_survives_being_text(timestamp_ms):
    assert ms_of(iso_utc(timestamp_ms)) == timestamp_ms


@given(st.integers(0, YEAR_9999_MS))
def test_it_is_the_time_that_the_standard_library_knows(timestamp_ms):
    moment = datetime.fromtimestamp(timestamp_ms // 1000, timezone.utc)
    assert iso_utc(timestamp_ms)[:19] == moment.strftime("%Y-%m-%dT%H:%M:%S")


@given(st.integers(0, YEAR_9999_MS), st.integers(0, YEAR_9999_MS))
def test_times_sort_as_text(one, other):
    assert (iso_utc(one) < iso_utc(other)) == (one < other)


def test_what_is_no_time_is_an_error():
    with pytest.raises(ValueError):
        ms_of("soon")
