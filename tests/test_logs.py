"""Log lines as text and as JSON."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campus.errors import CampusError
from campus.logs import (
    ERROR_CHARS_MAX,
    LIBRARIES,
    JsonFormatter,
    TextFormatter,
    printable,
    set_up,
    summary,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored_loggers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    loggers = [logging.getLogger(name) for name in ("", "kafka", *LIBRARIES)]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def logged(level: str, format: str, stream: io.StringIO | None = None) -> io.StringIO:  # noqa: A002
    stream = stream or io.StringIO()
    set_up(level, format, stream)
    return stream


def crash(log: logging.Logger, message: str, text: str = "boom") -> None:
    try:
        raise ValueError(text)
    except ValueError:
        log.exception(message)


def a_record(message: str, *args: object) -> logging.LogRecord:
    return logging.LogRecord("inventory", logging.INFO, __file__, 1, message, args, None)


# Text


def test_a_line_has_time_role_level_and_message_in_columns():
    out = logged("INFO", "text")
    logging.getLogger("inventory").info("claimed partition %d", 0)
    logging.getLogger("supervisor").warning("analytics is slow")
    first, second = out.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d inventory   INFO     claimed partition 0", first)
    assert re.fullmatch(r"\d\d:\d\d:\d\d supervisor  WARNING  analytics is slow", second)


def test_user_text_cannot_forge_a_line_or_control_the_terminal():
    out = logged("INFO", "text")
    logging.getLogger("inventory").info("no such item: %s", "x\n12:00:00 inventory  INFO  ok\x1b[2J\r\x9b1m")
    assert len(out.getvalue().splitlines()) == 1
    assert r"no such item: x\n12:00:00 inventory  INFO  ok\x1b[2J\r\x9b1m" in out.getvalue()


def test_an_exception_is_one_line_unless_the_level_is_debug():
    out = logged("INFO", "text")
    crash(logging.getLogger("inventory"), "could not write")
    assert out.getvalue().endswith("inventory   ERROR    could not write (ValueError: boom)\n")
    assert len(out.getvalue().splitlines()) == 1


def test_at_debug_user_text_cannot_leave_the_margin_of_a_traceback():
    out = logged("DEBUG", "text")
    crash(logging.getLogger("inventory"), "could not write", "boom\n12:00:00 inventory  INFO  ok\x1b[2J")
    first, *rest = out.getvalue().splitlines()
    assert first.endswith("could not write")
    assert rest[0] == "    | Traceback (most recent call last):"
    assert rest[-1] == r"    | 12:00:00 inventory  INFO  ok\x1b[2J"
    assert all(line.startswith("    | ") for line in rest)


def test_exc_info_without_an_exception_adds_nothing():
    out = logged("DEBUG", "text")
    logging.getLogger("inventory").error("no exception here", exc_info=True)
    assert out.getvalue().endswith("no exception here\n")


def test_only_the_level_is_coloured_and_only_in_a_terminal(monkeypatch: pytest.MonkeyPatch):
    def line(stream: io.StringIO) -> str:
        logged("INFO", "text", stream)
        logging.getLogger("inventory").warning("careful")
        return stream.getvalue()[9:]

    assert line(Terminal()) == "inventory   \x1b[33mWARNING\x1b[0m  careful\n"
    assert line(io.StringIO()) == "inventory   WARNING  careful\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert line(Terminal()) == "inventory   WARNING  careful\n"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert line(Terminal()) == "inventory   WARNING  careful\n"


@given(st.text())
def test_any_text_becomes_one_line_that_can_be_encoded(text: str):
    line = TextFormatter(tracebacks=True, colour=False).format(a_record("%s", text))
    assert len(line.splitlines()) == 1
    assert not re.search("[\x00-\x1f\x7f-\x9f]", line)
    line.encode()


def test_lone_surrogates_and_bidirectional_overrides_are_escaped():
    assert printable("a\ud800b\u202ec\u2028d") == r"a\ud800b\u202ec\u2028d"
    assert printable("Käsekuchen 🍕 {}%s\\n") == "Käsekuchen 🍕 {}%s\\n"


# JSON


def test_a_json_line_has_time_level_role_and_message():
    out = logged("INFO", "json")
    logging.getLogger("inventory").info("claimed partition %d", 0)
    line = json.loads(out.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "INFO", "role": "inventory", "message": "claimed partition 0"}


def test_the_time_of_a_json_line_is_utc_to_the_millisecond():
    record = a_record("x")
    record.created = 1_700_000_000.0625
    assert json.loads(JsonFormatter().format(record))["time"] == "2023-11-14T22:13:20.062Z"


def test_a_json_line_contains_the_whole_traceback():
    out = logged("INFO", "json")
    crash(logging.getLogger("inventory"), "could not write")
    line = json.loads(out.getvalue())
    assert line["exception"].startswith("Traceback") and line["exception"].endswith("ValueError: boom")


@given(st.text())
def test_any_text_becomes_one_json_line_that_decodes_to_it(text: str):
    line = JsonFormatter().format(a_record("%s", text))
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029]", line)
    assert json.loads(line)["message"] == text


# set_up


def test_a_second_set_up_replaces_the_first():
    first, second = logged("INFO", "text"), logged("INFO", "json")
    logging.getLogger("inventory").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_set_up_keeps_the_handlers_of_others():
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    logged("INFO", "text")
    assert other in logging.getLogger().handlers


def test_below_the_level_nothing_is_logged():
    out = logged("WARNING", "text")
    logging.getLogger("inventory").info("claimed partition 0")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("level", "libraries", "kafka"),
    [
        ("DEBUG", "WARNING", "WARNING"),
        ("INFO", "WARNING", "CRITICAL"),
        ("ERROR", "ERROR", "CRITICAL"),
    ],
)
def test_libraries_log_only_warnings_and_kafka_less(level: str, libraries: str, kafka: str):
    logged(level, "text")
    for name in LIBRARIES:
        assert logging.getLevelName(logging.getLogger(f"{name}.part").getEffectiveLevel()) == libraries
    assert logging.getLevelName(logging.getLogger("kafka.net").getEffectiveLevel()) == kafka


def test_the_default_stream_is_stderr(capsys: pytest.CaptureFixture[str]):
    set_up("INFO", "text")
    logging.getLogger("inventory").info("hello")
    out, err = capsys.readouterr()
    assert (out, err.endswith("hello\n")) == ("", True)


# Exceptions in one line


def test_a_summary_names_the_class_except_for_campus_errors():
    assert summary(ValueError("boom")) == "ValueError: boom"
    assert summary(KeyError()) == "KeyError"
    assert summary(CampusError("no broker at 127.0.0.1:9092")) == "no broker at 127.0.0.1:9092"


@pytest.mark.parametrize("text", ["x" * 300, "\n" * 300, "\x1b" * 10_000_000])
def test_a_summary_of_any_text_is_bounded(text: str):
    text = summary(ValueError(text)).removeprefix("ValueError: ")
    assert len(text) == ERROR_CHARS_MAX and text.endswith("…") and "\n" not in text


def test_a_text_of_the_maximum_length_is_not_cut():
    assert summary(ValueError("x" * ERROR_CHARS_MAX)).endswith("x" * ERROR_CHARS_MAX)
