"""Log lines as text or JSON: one line per event, with the time, the role and the level.

A logger is named after its role. Text from users, records or broken clients cannot leave its line: control
characters, line ends and bidirectional overrides are escaped, so nobody can forge a line or move the cursor
of a terminal. Not here: output that is a product, such as the report of analytics.
"""

import json
import logging
import os
import re
import sys
import time
from datetime import datetime, timezone
from typing import TextIO

from campus.errors import CampusError

ERROR_CHARS_MAX = 256  # of an exception's text in `summary`

HANDLER = "campuskafka"  # its name, by which `set_up` replaces it and no other
NAME_CHARS = 10  # "supervisor", the longest of our names
LEVEL_CHARS = 7  # "WARNING"
TRACEBACK_MARGIN = "    | "  # so that no line of a traceback looks like a log line

COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}

# Below WARNING they log nothing that an operator of this program could act on.
LIBRARIES = ("asyncio", "concurrent", "filelock", "jgo", "requests", "urllib3")

# C0, DEL and C1; line and paragraph separators; bidirectional overrides; lone surrogates, which no stream can
# encode.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def set_up(level: str, format: str, stream: TextIO | None = None) -> None:  # noqa: A002 (its name in config.yaml)
    """Log to `stream` (stderr if not given) as "text" or "json". Replaces an earlier set-up."""
    stream = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(stream)
    handler.name = HANDLER
    colour = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = TextFormatter(tracebacks=level == "DEBUG", colour=colour)
    handler.setFormatter(JsonFormatter() if format == "json" else text)
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.name == HANDLER]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(max(root.level, logging.WARNING))
    # kafka-python logs an outage several times a second at ERROR; our roles log it once.
    logging.getLogger("kafka").setLevel(logging.WARNING if root.level <= logging.DEBUG else logging.CRITICAL)


def printable(text: str) -> str:
    """The text on one line, with every control character escaped."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def summary(error: BaseException) -> str:
    """An exception in one line of bounded length: `ValueError: boom`, or the text of a CampusError."""
    try:
        text = str(error)
    except Exception as str_error:  # noqa: BLE001 (an exception's own __str__ may be broken)
        text = f"<its text raised {type(str_error).__name__}>"
    text = printable(text[: ERROR_CHARS_MAX + 1])  # cut first: the text may be megabytes
    if len(text) > ERROR_CHARS_MAX:
        text = text[: ERROR_CHARS_MAX - 1] + "…"
    if text and isinstance(error, CampusError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class TextFormatter(logging.Formatter):
    """`18:51:35 inventory   INFO     claimed partition 0`; an exception as its summary or its traceback."""

    def __init__(self, *, tracebacks: bool, colour: bool) -> None:
        super().__init__()
        self._tracebacks, self._colour = tracebacks, colour

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = f"{record.levelname:<{LEVEL_CHARS}}"
        if self._colour and record.levelname in COLOURS:
            level = f"\x1b[{COLOURS[record.levelname]}m{level}\x1b[0m"
        name = printable(record.name)
        line = f"{clock} {name:<{NAME_CHARS}}  {level}  {printable(record.getMessage())}"
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return line
        if not self._tracebacks:
            return f"{line} ({summary(error)})"
        lines = self.formatException((type(error), error, error.__traceback__)).split("\n")
        return "\n".join([line, *(TRACEBACK_MARGIN + printable(each) for each in lines)])


class JsonFormatter(logging.Formatter):
    """One object per line: time (ISO 8601, UTC, ms), level, role, message, and exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        time_utc = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        fields = {
            "time": time_utc.replace("+00:00", "Z"),
            "level": record.levelname,
            "role": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[1] is not None:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields).replace("\x7f", "\\u007f")  # json does not escape DEL
