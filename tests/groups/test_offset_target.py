"""Targets for moving an offset: parsing, and the offset each one means."""

import pytest

from campus.groups.offset_target import Target, parse_target, target_offset
from campus.kafka.records import Bounds

MS = 1_763_837_495_123


def offset_of(text, *, start=10, end=50, committed=30, since=None):
    return target_offset(parse_target(text), Bounds(start, end), committed=committed, since=since)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("earliest", Target("earliest")),
        ("latest", Target("latest")),
        ("0", Target("offset", 0)),
        ("99999999999", Target("offset", 99_999_999_999)),
        ("100000000000", Target("time", 100_000_000_000)),
        (str(MS), Target("time", MS)),
        ("-5", Target("back", 5)),
        ("2025-11-22T18:51:35.123Z", Target("time", MS)),
        ("2025-11-22T18:51:35.123", Target("time", MS)),
        ("2025-11-22T19:51:35.123+01:00", Target("time", MS)),
        ("2025-11-22", Target("time", MS // 86_400_000 * 86_400_000)),
    ],
)
def test_each_form_of_a_target_is_recognised(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", "soon", "EARLIEST", "+5", "1.5", "--5", "-", "1_000", "٣", "2025-13-01", "9" * 19, "1960-01-01"],
)
def test_any_other_text_is_refused(text):
    with pytest.raises(ValueError):
        parse_target(text)


def test_a_target_prints_how_it_was_understood():
    texts = [str(parse_target(text)) for text in ("latest", "1500", str(MS), "-5")]
    assert texts == [
        "latest",
        "offset 1,500",
        "the first record from 2025-11-22T18:51:35.123Z on",
        "5 back",
    ]


def test_each_target_means_an_offset():
    assert (offset_of("earliest"), offset_of("latest"), offset_of("20"), offset_of("-5")) == (10, 50, 20, 25)


def test_a_time_means_the_first_record_from_then_on_or_the_end_of_the_log():
    assert (offset_of(str(MS), since=17), offset_of(str(MS))) == (17, 50)


def test_going_back_without_a_commit_counts_from_the_start_of_the_log():
    assert offset_of("-5", committed=None) == 5
