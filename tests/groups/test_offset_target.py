"""Where an offset shall be moved to, as a person says it."""

import pytest

from campus.groups.offset_target import Target, aimed_at, parse_target

MS = 1_763_837_495_123


def aim(text, *, start=10, end=50, committed=30, since=None):
    return aimed_at(parse_target(text), start=start, end=end, committed=committed, since=since)


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
def test_each_way_to_say_it_is_told_from_the_others(text, target):
    assert parse_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", "soon", "EARLIEST", "+5", "1.5", "--5", "-", "1_000", "٣", "2025-13-01", "9" * 19, "1960-01-01"],
)
def test_what_is_none_of_them_is_refused(text):
    with pytest.raises(ValueError):
        parse_target(text)


def test_a_target_says_what_it_was_taken_for():
    said = [str(parse_target(text)) for text in ("latest", "1500", str(MS), "-5")]
    assert said == [
        "latest",
        "offset 1,500",
        "the first record from 2025-11-22T18:51:35.123Z on",
        "5 back",
    ]


def test_each_target_is_an_offset_of_the_log():
    assert (aim("earliest"), aim("latest"), aim("20"), aim("-5")) == (10, 50, 20, 25)


def test_a_time_is_the_first_record_from_then_on_or_the_end():
    assert (aim(str(MS), since=17), aim(str(MS))) == (17, 50)


def test_back_of_a_group_that_never_committed_is_before_the_start():
    assert aim("-5", committed=None) == 5
