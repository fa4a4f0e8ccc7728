"""List or show the records that could not be read as an event, or redrive them: send them again.

A record is redriven only if the codec can read it, as it is or corrected, so it does not come back as a dead
letter. It is redriven once, because a note in the dead letters says so; and it carries a header that says
where it came from. Exits with 1 if a letter does not exist or must not be sent.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.domain.codec import Unfit, decode_input, encode
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.errors import CampusError
from campus.inventory.ledger import ORIGIN_HEADER
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.writer import Writer
from campus.kafka.records import Bounds, ProducerRecord, TopicPartition
from campus.logs import printable

HELP = "list, show or send again the records that could not be read as an event"

REDRIVEN_FROM_HEADER = "redriven-from"  # on the record that is sent again
REDRIVEN_HEADER = "redriven"  # on the note in the dead letters
EXCERPT_CHARS = 60
LETTERS_MAX = 2_000  # read per partition; each may have 64 KiB
LIST_ROW = "{:<10} {:<25} {:<13} {:<10} {:>7}  {}"


class NoSuchLetter(CampusError):
    exit_code = 1


class NotSentOn(CampusError):
    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter. `position`: its own partition and offset in the dead letters, as "partition:offset"."""

    position: str
    died_at: str
    reason: str
    detail: str
    origin: str
    original_bytes: int
    value: bytes
    is_redriven: bool

    @property
    def is_cut(self) -> bool:
        return self.original_bytes > len(self.value)


@dataclass(frozen=True, slots=True)
class Redrive:
    """What to send for a letter."""

    letter: Letter
    value: bytes
    item: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "list: the newest; show: all of some; redrive: send again (with --yes; without, only say what)"
    names = "which letters (default for redrive: all that can be read)"
    parser.add_argument("action", choices=["list", "show", "redrive"], help=actions)
    parser.add_argument("letters", nargs="*", metavar="PARTITION:OFFSET", help=names)
    parser.add_argument("--reason", help="list: only those with this reason")
    parser.add_argument("--value", metavar="JSON", help="redrive: send this instead, for one letter")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most N letters (default: 20)")
    parser.add_argument("--yes", action="store_true", help="redrive: do it")


def run(args: argparse.Namespace, context: Context) -> int:
    config = context.config
    with a_broker(config):
        letters = read_letters(config)
        if args.action == "list":
            list_letters(letters, args.reason, args.limit)
        elif args.action == "show":
            show_letters([_letter_at(letters, position) for position in args.letters])
        else:
            redrive(config, _planned(letters, args), args)
    return 0


def read_letters(config: Config) -> list[Letter]:
    """The last LETTERS_MAX of each partition, in order of partition and offset."""
    topics = config.topics
    tps = [TopicPartition(topics.dead_letters_topic, partition) for partition in range(topics.partitions)]
    records: list[tuple[tuple[int, int], Any, dict[str, str]]] = []
    with closing(LogReader(config.kafka, client_id="dead-letters")) as history:
        spans = {
            tp: Bounds(max(log.start, log.end - LETTERS_MAX), log.end)
            for tp, log in history.bounds(tps).items()
        }
        for tp, batch in history.read(spans):
            records += [((tp.partition, record.offset), record, _headers_of(record)) for record in batch]
    redriven = {headers.get(REDRIVEN_HEADER) for _, _, headers in records}
    return [
        Letter(
            position=f"{partition}:{offset}",
            died_at=iso_utc(record.timestamp),
            reason=headers.get("reason", "?"),
            detail=headers.get("detail", ""),
            origin=headers.get(ORIGIN_HEADER, "?"),
            original_bytes=_number(headers.get("original-bytes", "")),
            value=record.value or b"",
            is_redriven=f"{partition}:{offset}" in redriven,
        )
        for (partition, offset), record, headers in sorted(records, key=lambda entry: entry[0])
        if REDRIVEN_HEADER not in headers
    ]


def _headers_of(record: Any) -> dict[str, str]:
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}


def _number(text: str) -> int:
    """0 if it is none: any client can write to the dead letters."""
    return int(text) if text.isdecimal() and len(text) < 12 else 0


def _letter_at(letters: Sequence[Letter], position: str) -> Letter:
    for letter in letters:
        if letter.position == position:
            return letter
    raise NoSuchLetter(f"there is no dead letter {position}; `dead-letters list` shows which exist")


def list_letters(letters: Sequence[Letter], reason: str | None, limit: int) -> None:
    chosen = [letter for letter in letters if reason in (None, letter.reason)]
    newest = sorted(chosen, key=lambda letter: letter.died_at, reverse=True)[:limit]
    if newest:
        print(LIST_ROW.format("letter", "died at", "reason", "origin", "bytes", "begins"))
    for letter in newest:
        begins = printable(letter.value[:EXCERPT_CHARS].decode("utf-8", "replace")) + _sent_on_mark(letter)
        cells = (letter.position, letter.died_at, letter.reason, letter.origin, letter.original_bytes)
        print(LIST_ROW.format(*cells, begins))
    print(f"{len(newest)} of {len(chosen)} dead letters")


def show_letters(letters: Sequence[Letter]) -> None:
    for letter in letters:
        cut = f", of which the first {len(letter.value)} were kept" if letter.is_cut else ""
        print(f"letter   {letter.position}{_sent_on_mark(letter)}")
        print(f"died at  {letter.died_at}, of {letter.reason}: {printable(letter.detail)}")
        print(f"origin   order-events {letter.origin}, {letter.original_bytes} bytes{cut}")
        print(printable(letter.value.decode("utf-8", "backslashreplace")))


def _sent_on_mark(letter: Letter) -> str:
    return "  (sent on)" if letter.is_redriven else ""


def _planned(letters: Sequence[Letter], args: argparse.Namespace) -> list[Redrive]:
    """The letters that are named, or all that can be sent. Raises NotSentOn if a named one cannot."""
    if args.value is not None:
        if len(args.letters) != 1:
            raise NotSentOn("--value is for one letter: name it, as PARTITION:OFFSET")
        return [_redrive_of(_letter_at(letters, args.letters[0]), args.value.encode())]
    if args.letters:
        named = [_letter_at(letters, position) for position in args.letters]
        return [_redrive_of(letter, letter.value) for letter in named]
    redrives = []
    for letter in letters:
        with suppress(NotSentOn):
            redrives.append(_redrive_of(letter, letter.value))
    return redrives


def _redrive_of(letter: Letter, value: bytes) -> Redrive:
    """Raises NotSentOn."""
    if letter.is_redriven:
        raise NotSentOn(f"{letter.position} was sent on before; to send it twice could decide it twice")
    if letter.is_cut and value == letter.value:
        raise NotSentOn(f"{letter.position} was cut and the rest is lost; give what to send with --value")
    try:
        event = decode_input(value)
    except Unfit as unfit:
        raise NotSentOn(
            f"{letter.position} would die again ({unfit}); give what to send with --value"
        ) from unfit
    return Redrive(letter, encode(event), event.item)


def redrive(config: Config, planned: Sequence[Redrive], args: argparse.Namespace) -> None:
    """Print what is planned, up to --limit; with --yes, also send it."""
    chosen = planned[: args.limit]
    for sending in chosen:
        print(f"{sending.letter.position:<10} {printable(sending.value.decode())}")
    left = f", {len(planned) - len(chosen)} more are left by --limit" if len(planned) > len(chosen) else ""
    if not args.yes:
        print(f"{len(chosen)} would be sent on{left}; do it with --yes")
        return
    with closing(Writer(config.kafka, client_id="dead-letters")) as writer:
        for sending in chosen:
            writer.append(_record(config, sending))
            # Last: after a crash in between it can be sent again, and an order id is decided once.
            writer.append(_note(config, sending))
    print(f"{len(chosen)} sent on{left}")


def _record(config: Config, sending: Redrive) -> dict[TopicPartition, list[ProducerRecord]]:
    topics = config.topics
    tp = TopicPartition(topics.orders_topic, item_partition(sending.item, topics.partitions))
    header = (REDRIVEN_FROM_HEADER, f"{topics.dead_letters_topic} {sending.letter.position}".encode())
    return {tp: [(sending.item.encode(), sending.value, (header,))]}


def _note(config: Config, sending: Redrive) -> dict[TopicPartition, list[ProducerRecord]]:
    position = sending.letter.position
    tp = TopicPartition(config.topics.dead_letters_topic, int(position.split(":")[0]))
    return {tp: [(None, b"", ((REDRIVEN_HEADER, position.encode()),))]}
