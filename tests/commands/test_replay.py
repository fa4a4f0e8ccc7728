"""The arguments of `replay`, and how it shows its findings."""

import json
import math
from argparse import ArgumentParser, ArgumentTypeError

import pytest

from campus.commands.replay import a_speed, a_time_ms, add_arguments, as_json, as_text
from campus.inventory.rules import RULES_VERSION
from tests.builders import an_opening, an_order
from tests.replay.replayed_log import PIZZA, ALog

AT_MS = 1_763_837_495_123


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        (str(AT_MS), AT_MS),
        ("2025-11-22T18:51:35.123Z", AT_MS),
        ("2025-11-22T18:51:35.123", AT_MS),
        ("2025-11-22T19:51:35.123+01:00", AT_MS),
        ("2025-11-22", 1_763_769_600_000),
    ],
)
def test_a_time_is_utc_unless_it_says_otherwise(text, ms):
    assert a_time_ms(text) == ms


@pytest.mark.parametrize("text", ["yesterday", "", "-10", "latest", "17", "2025-13-01"])
def test_an_invalid_time_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="is no time; write 2026-01-31T12:00:00Z"):
        a_time_ms(text)


@pytest.mark.parametrize(("text", "speed"), [("10x", 10), ("10", 10), ("0.5x", 0.5), ("max", math.inf)])
def test_a_speed_is_a_factor(text, speed):
    assert a_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "-1x", "nan", "inf", "fast", "x"])
def test_an_invalid_speed_is_refused(text):
    with pytest.raises(ArgumentTypeError, match=r"is no speed; write 10x, 0\.5x or max"):
        a_speed(text)


def test_json_and_speed_exclude_each_other():
    parser = ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--json", "--speed", "max"])


def a_log():
    return ALog(an_opening(quantity=2), *map(an_order, "ABC"))


def text_of(found, as_of_ms=None):
    return as_text(found, as_of_ms, took_s=0.5)


def json_of(found, as_of_ms=None):
    return json.loads(as_json(found, as_of_ms))


def test_the_text_of_an_identical_replay():
    found = a_log().ordered(an_order("D")).replayed()
    assert text_of(found).splitlines() == [
        "records                 5   1 of them not decided yet",
        "decisions               4   by 1 claims",
        "compared                4   0 of them different",
        "orders                  3   2 reserved · 1 insufficient_stock",
        "in stock                0   pizza 0",
        "ignored                 0",
        "metrics        the same as analytics counts",
        f"digest         {found.digest}",
        "identical: every decision again, byte for byte  (0.5 s, 10 records/s)",
    ]


def test_the_first_difference_is_shown_with_both_entries_and_the_record():
    log = a_log().changed(3, remaining=7)
    found = log.replayed()
    assert text_of(found).splitlines()[-5:] == [
        f"first difference, journal partition {PIZZA} seq 3 offset 2: "
        "remaining: 7 in the journal, 0 decided again",
        f"  journal        {log.journal[3].value.decode()}",
        f"  decided again  {log.journal[3].value.decode().replace('7', '0', 1)}",
        f"  order-events   {log.orders[2].value.decode()}",
        "different  (0.5 s, 8 records/s)",
    ]
    printed = json_of(found)
    assert printed["first_difference"] == {
        "where": "journal",
        "partition": PIZZA,
        "what": "7 in the journal, 0 decided again",
        "field": "remaining",
        "seq": 3,
        "journal_offset": 3,
        "source_offset": 2,
        "journal": log.journal[3].value.decode(),
        "decided": log.journal[3].value.decode().replace("7", "0", 1),
        "record": log.orders[2].value.decode(),
    }


def test_different_counts_of_analytics_are_shown():
    log = a_log()
    log.analytics.failed = 9
    lines = text_of(log.replayed()).splitlines()
    assert "metrics        analytics counts otherwise in 1 of 1 partitions" in lines
    assert lines[-2] == (
        f"first difference, analytics partition {PIZZA} seq 4: "
        "failed: analytics has counted 9, what was decided again gives 1"
    )


def test_decisions_of_other_rules_are_shown_separately():
    found = ALog().claimed("old", rules=1).took(an_opening(), an_order()).replayed()
    lines = text_of(found).splitlines()
    assert f"not compared            2   decided by rules 1, this program has {RULES_VERSION}" in lines
    assert lines[-1] == "nothing to replay: no decision could be compared, and that proves nothing"
    assert json_of(found)["other_rules"] == {"1": 2}


def test_the_metrics_as_of_a_time_are_a_report():
    text = text_of(a_log().replayed(), as_of_ms=AT_MS)
    assert text.startswith("── as of 2025-11-22T18:51:35.123Z ─")
    assert "Successful                         2" in text
    assert json_of(a_log().replayed(), as_of_ms=AT_MS)["as_of"] == "2025-11-22T18:51:35.123Z"


def test_with_item_its_last_decisions_are_shown():
    found = a_log().replayed(item="pizza")
    lines = text_of(found).splitlines()
    assert lines[2:5] == [
        "2025-11-22T18:51:35.125Z  seq 3        reserved 1 × pizza for ana (B); 0 left",
        "2025-11-22T18:51:35.126Z  seq 4        failed 1 × pizza: insufficient_stock (C); 0 left",
        "records                 4   about pizza · 0 of them not decided yet",
    ]
    printed = json_of(found)
    assert [entry.get("order_id") for entry in printed["history"]] == [None, "A", "B", "C"]
    assert printed["metrics_of_analytics"] == {
        "items": {"pizza": {"reserved": 2, "failed": 1, "cancelled": 0, "portions": 2}}
    }


def test_texts_from_strangers_cannot_control_the_terminal():
    found = a_log().took(b"\x1b[2J").changed(-1, reason="empty").replayed()
    assert "\x1b" not in text_of(found)
    assert "\\x1b[2J" in text_of(found)


def test_only_the_first_of_many_items_are_shown():
    found = a_log().replayed()
    found.stock = {f"dish-{number:02}": number for number in range(12)}
    assert "dish-00 0 · dish-01 1" in text_of(found)
    assert "dish-07 7 · … 4 more" in text_of(found)
    assert len(json_of(found)["stock"]) == 12
