"""List or show the dead letters, the records that could not be read as an event, or redrive them.

To redrive is to send again, unchanged or corrected. It is done only if the codec can read what is sent, so it
cannot become a dead letter again, and only once: a note among the dead letters records it. The record that is
sent has a header with its origin. Exits with 1 if a letter does not exist or cannot be redriven.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.domain.codec import Undecodable, decode_input, encode, keyed_record
from campus.domain.events import Input
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.errors import CampusError
from campus.inventory.ledger import ORIGIN_HEADER
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.writer import Writer
from campus.kafka.records import Bounds, TopicPartition
from campus.logs import printable

HELP = "list, show or redrive (send again) the records that could not be read as an event"

REDRIVEN_FROM_HEADER = "redriven-from"  # on the record that is sent again
REDRIVEN_HEADER = "redriven"  # on the note in the dead letters
EXCERPT_CHARS = 60
LETTERS_MAX = 2_000  # read per partition; each may have 64 KiB
LIST_ROW = "{:<10} {:<25} {:<13} {:<10} {:>7}  {}"


class NoSuchLetter(CampusError):
    exit_code = 1


class CannotRedrive(CampusError):
    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter. `position`: its own partition and offset in the dead letters, as "partition:offset"."""

    position: str
    rejected_at: str
    reason: str
    detail: str
    origin: str
    original_bytes: int
    value: bytes
    is_redriven: bool

    @property
    def is_cut(self) -> bool:
        return self.original_bytes > len(self.value)


Redrive = tuple[Letter, Input]  # a letter, and the event to send for it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "list the newest; show some in full; redrive: send again, or without --yes only say what"
    names = "which letters (default for redrive: all that can be read)"
    parser.add_argument("action", choices=["list", "show", "redrive"], help=actions)
    parser.add_argument("letters", nargs="*", metavar="PARTITION:OFFSET", help=names)
    parser.add_argument("--reason", help="list: only letters with this reason")
    parser.add_argument("--value", metavar="JSON", help="redrive: send this instead of the one named letter")
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
    with closing(LogReader(config.kafka, client_id="dead-letters")) as history:
        bounds = history.bounds(tps)
        spans = {tp: Bounds(max(log.start, log.end - LETTERS_MAX), log.end) for tp, log in bounds.items()}
        records = [record for _, batch in history.read(spans) for record in batch]
    records.sort(key=attrgetter("partition", "offset"))
    headers_of = [_headers(record) for record in records]
    redriven = {headers.get(REDRIVEN_HEADER) for headers in headers_of}
    return [
        Letter(
            position=f"{record.partition}:{record.offset}",
            rejected_at=iso_utc(record.timestamp),
            reason=headers.get("reason", "?"),
            detail=headers.get("detail", ""),
            origin=headers.get(ORIGIN_HEADER, "?"),
            original_bytes=_number(headers.get("original-bytes", "")),
            value=record.value or b"",
            is_redriven=f"{record.partition}:{record.offset}" in redriven,
        )
        for record, headers in zip(records, headers_of, strict=True)
        if REDRIVEN_HEADER not in headers
    ]


def _headers(record: Any) -> dict[str, str]:
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
    newest = sorted(chosen, key=lambda letter: letter.rejected_at, reverse=True)[:limit]
    if newest:
        print(LIST_ROW.format("letter", "rejected at", "reason", "origin", "bytes", "begins"))
    for letter in newest:
        begins = printable(letter.value[:EXCERPT_CHARS].decode("utf-8", "replace")) + _redriven_mark(letter)
        cells = (letter.position, letter.rejected_at, letter.reason, letter.origin, letter.original_bytes)
        print(LIST_ROW.format(*cells, begins))
    print(f"{len(newest)} of {len(chosen)} dead letters")


def show_letters(letters: Sequence[Letter]) -> None:
    for letter in letters:
        cut = f", of which the first {len(letter.value)} were kept" if letter.is_cut else ""
        print(f"letter   {letter.position}{_redriven_mark(letter)}")
        print(f"rejected {letter.rejected_at}, {letter.reason}: {printable(letter.detail)}")
        print(f"origin   order-events {letter.origin}, {letter.original_bytes} bytes{cut}")
        print(printable(letter.value.decode("utf-8", "backslashreplace")))


def _redriven_mark(letter: Letter) -> str:
    return "  (redriven)" if letter.is_redriven else ""


def _planned(letters: Sequence[Letter], args: argparse.Namespace) -> list[Redrive]:
    """The letters that are named, or all that can be sent. Raises CannotRedrive if a named one cannot."""
    if args.value is not None and len(args.letters) != 1:
        raise CannotRedrive("--value is for one letter: name it as PARTITION:OFFSET")
    if args.letters:
        return [_redrive_of(_letter_at(letters, position), args.value) for position in args.letters]
    redrives = []
    for letter in letters:
        with suppress(CannotRedrive):
            redrives.append(_redrive_of(letter))
    return redrives


def _redrive_of(letter: Letter, corrected: str | None = None) -> Redrive:
    """Raises CannotRedrive."""
    value = letter.value if corrected is None else corrected.encode()
    if letter.is_redriven:
        raise CannotRedrive(f"{letter.position} was redriven before; sending it twice could decide it twice")
    if letter.is_cut and value == letter.value:
        raise CannotRedrive(f"{letter.position} was cut and the rest is lost; say what to send with --value")
    try:
        return letter, decode_input(value)
    except Undecodable as fault:
        raise CannotRedrive(
            f"{letter.position} still cannot be read ({fault}); say what to send with --value"
        ) from fault


def redrive(config: Config, planned: Sequence[Redrive], args: argparse.Namespace) -> None:
    """Print what is planned, up to --limit; with --yes, also send it."""
    topics, chosen = config.topics, planned[: args.limit]
    for letter, event in chosen:
        print(f"{letter.position:<10} {printable(encode(event).decode())}")
    left = f", {len(planned) - len(chosen)} more are beyond --limit" if len(planned) > len(chosen) else ""
    if not args.yes:
        print(f"{len(chosen)} would be redriven{left}; do it with --yes")
        return
    with closing(Writer(config.kafka, client_id="dead-letters")) as writer:
        for letter, event in chosen:
            key, value, _ = keyed_record(event)
            origin = (REDRIVEN_FROM_HEADER, f"{topics.dead_letters_topic} {letter.position}".encode())
            orders = TopicPartition(topics.orders_topic, item_partition(event.item, topics.partitions))
            writer.append({orders: [(key, value, (origin,))]})
            # Last: after a crash in between it can be sent again, and an order id is decided once.
            note = (REDRIVEN_HEADER, letter.position.encode())
            letters = TopicPartition(topics.dead_letters_topic, int(letter.position.partition(":")[0]))
            writer.append({letters: [(None, b"", (note,))]})
    print(f"{len(chosen)} redriven{left}")
