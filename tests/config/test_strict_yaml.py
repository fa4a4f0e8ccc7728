"""YAML is read as it looks, and what is no plain YAML is refused with its line."""

import pytest

from campus.config.strict_yaml import parse


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("topics:\n  partitions: 4: 5", "line 2: mapping values are not allowed here"),
        (
            "topics:\n\tpartitions: 4",
            "line 2: while scanning for the next token, found character '\\t' "
            "that cannot start any token; indent with spaces, not with a tab",
        ),
        (
            "topics: {prefix: a",
            "line 1: while parsing a flow mapping, expected ',' or '}', but got '<stream end>'",
        ),
        (
            "a: 1\n---\nb: 2",
            "line 2: expected a single document in the stream, but found another document",
        ),
        ("a: \x07", "line 1: the character U+0007 is not allowed"),
        ("? [a]\n: 1", "line 1: a key must be a text"),
        ("[" * 100_000, "line 1: nested more than 16 deep"),
        (
            "a: &many [x, x]\nb: [*many, *many]",
            'line 1: an anchor ("&") is not allowed; put a text that begins with & in quotes',
        ),
        (
            "a: *many",
            'line 1: an alias ("*") is not allowed; put a text that begins with * in quotes',
        ),
        (
            "a: !!python/object:os.system x",
            'line 1: a tag ("!") is not allowed; put a text that begins with ! in quotes',
        ),
        (
            "%TAG ! x\n---\na: 1",
            'line 1: a directive ("%") is not allowed; put a text that begins with % in quotes',
        ),
        ("just words", "the file must be keys with values, such as topics: {…}"),
        ("- a", "the file must be keys with values, such as topics: {…}"),
    ],
)
def test_what_is_no_plain_yaml_is_told_with_its_line(faults, text, says):
    assert faults(text) == [f"config.yaml: {says}"]


def test_each_key_that_stands_twice_is_a_fault(faults):
    text = "topics:\n  prefix: a\n  prefix: b\nlogging: {level: INFO, level: INFO}\n"
    assert faults(text) == [
        "config.yaml: topics.prefix: twice, on line 2 and on line 3; keep one",
        "config.yaml: logging.level: twice, on line 4 and on line 4; keep one",
    ]


def test_words_that_yaml_takes_for_something_else_stay_words():
    text = "[on, yes, 1:30, 1_000, 010, 0x1F, 2024-01-01, .inf, .nan, ., -, <<]".replace("-,", "'-',")
    assert parse(text) == [
        *("on", "yes", "1:30", "1_000", "010", "0x1F", "2024-01-01", ".inf", ".nan", ".", "-", "<<")
    ]


def test_numbers_booleans_and_null_are_what_they_look_like():
    assert parse("[0, -1, +2, 1.5, .5, 2., 1e3, -1E-2, true, false, null, ~]") == [
        *(0, -1, 2, 1.5, 0.5, 2.0, 1000.0, -0.01, True, False, None, None)
    ]


def test_a_number_of_very_many_digits_is_refused(faults):
    (fault,) = faults("topics: {partitions: " + "9" * 10_000 + "}")
    assert fault.endswith("is not allowed: a whole number from 1 to 1000")
    assert len(fault) < 200
