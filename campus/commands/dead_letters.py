"""List or show the dead letters, the records that could not be read as an event, or redrive them.

To redrive is to send again, unchanged or corrected. It is done only if the codec can read what is sent, so it
cannot become a dead letter again, and only once: a note among the dead letters records it. The record that is
sent has a header with its origin. Exits with 1 if a letter does not exist or cannot be redriven.
"""

import argparse
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from campus.commands import Context, a_broker
from campus.config.settings import Config
from campus.domain.codec import Undecodable, decode_input, encode
from campus.domain.partitions import item_partition
from campus.domain.times import iso_utc
from campus.errors import CampusError
from campus.inventory.ledger import ORIGIN_HEADER
from campus.kafka.log_reader import LogReader
from campus.kafka.producer.writer import Writer
from campus.kafka.records import Bounds, ProducerRecord, TopicPartition
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


@dataclass(frozen=True, slots=True)
class Redrive:
    """What to send for a letter."""

    letter: Letter
    value: bytes
    item: str


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
            rejected_at=iso_utc(record.timestamp),
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
    if args.value is not None:
        if len(args.letters) != 1:
            raise CannotRedrive("--value is for one letter: name it as PARTITION:OFFSET")
        return [_redrive_of(_letter_at(letters, args.letters[0]), args.value.encode())]
    if args.letters:
        named = [_letter_at(letters, position) for position in args.letters]
        return [_redrive_of(letter, letter.value) for letter in named]
    redrives = []
    for letter in letters:
        with suppress(CannotRedrive):
            redrives.append(_redrive_of(letter, letter.value))
    return redrives


def _redrive_of(letter: Letter, value: bytes) -> Redrive:
    """Raises CannotRedrive."""
    if letter.is_redriven:
        raise CannotRedrive(f"{letter.position} was redriven before; sending it twice could decide it twice")
    if letter.is_cut and value == letter.value:
        raise CannotRedrive(f"{letter.position} was cut and the rest is lost; say what to send with --value")
    try:
        event = decode_input(value)
    except Undecodable as fault:
        raise CannotRedrive(
            f"{letter.position} still cannot be read ({fault}); say what to send with --value"
        ) from fault
    return Redrive(letter, encode(event), event.item)


def redrive(config: Config, planned: Sequence[Redrive], args: argparse.Namespace) -> None:
    """Print what is planned, up to --limit; with --yes, also send it."""
    chosen = planned[: args.limit]
    for sending in chosen:
        print(f"{sending.letter.position:<10} {printable(sending.value.decode())}")
    left = f", {len(planned) - len(chosen)} more are beyond --limit" if len(planned) > len(chosen) else ""
    if not args.yes:
        print(f"{len(chosen)} would be redriven{left}; do it with --yes")
        return
    with closing(Writer(config.kafka, client_id="dead-letters")) as writer:
        for sending in chosen:
            writer.append(_record(config, sending))
            # Last: after a crash in between it can be sent again, and an order id is decided once.
            writer.append(_note(config, sending))
    print(f"{len(chosen)} redriven{left}")


def _record(config: Config, sending: Redrive) -> dict[TopicPartition, list[ProducerRecord]]:
    topics = config.topics
    tp = TopicPartition(topics.orders_topic, item_partition(sending.item, topics.partitions))
    header = (REDRIVEN_FROM_HEADER, f"{topics.dead_letters_topic} {sending.letter.position}".encode())
    return {tp: [(sending.item.encode(), sending.value, (header,))]}


def _note(config: Config, sending: Redrive) -> dict[TopicPartition, list[ProducerRecord]]:
    position = sending.letter.position
    tp = TopicPartition(config.topics.dead_letters_topic, int(position.split(":")[0]))
    return {tp: [(None, b"", ((REDRIVEN_HEADER, position.encode()),))]}
