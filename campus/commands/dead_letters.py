"""Look at the records that fit no event, and send those on again that do fit, as they are or corrected.

A letter is sent on only if the codec takes what is sent, so it cannot come back as a dead letter; it is
sent on once, for that is noted in the dead letters' own log; and what is sent says where it came from.
"""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import closing
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

HELP = "list, show or send on again the records that fit no event"

REDRIVEN_FROM_HEADER = "redriven-from"  # on what is sent on
REDRIVEN_HEADER = "redriven"  # on the note, in the dead letters, that it was
EXCERPT_CHARS = 60
LETTERS_MAX = 2_000  # of a partition; each may have 64 KiB


class NoSuchLetter(CampusError):
    exit_code = 1


class NotSentOn(CampusError):
    exit_code = 1


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; `at` is its own place in the dead letters, as "partition:offset"."""

    at: str
    died_at: str
    reason: str
    detail: str
    origin: str
    original_bytes: int
    value: bytes
    was_redriven: bool

    @property
    def is_cut(self) -> bool:
        return self.original_bytes > len(self.value)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=["list", "show", "redrive"],
        help="list the newest; show some whole; send on again (shows what it would do, unless --yes)",
    )
    parser.add_argument(
        "letters", nargs="*", metavar="PARTITION:OFFSET", help="which letters; redrive without: all that fit"
    )
    parser.add_argument("--reason", help="list: only those that died of it")
    parser.add_argument(
        "--value", metavar="JSON", help="redrive: what to send in place of the one letter named"
    )
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: 20)")
    parser.add_argument("--yes", action="store_true", help="redrive: do it")


def run(args: argparse.Namespace, context: Context) -> int:
    config = context.config
    with a_broker(config):
        letters = list(read_letters(config))
        if args.action == "list":
            return list_letters(letters, args.reason, args.limit)
        if args.action == "show":
            return show_letters([_letter(letters, at) for at in args.letters])
        return redrive(config, _to_redrive(letters, args), args)


def read_letters(config: Config) -> Iterator[Letter]:
    """The last LETTERS_MAX of each partition, by age; minding the notes of what was sent on."""
    topics = config.topics
    tps = [TopicPartition(topics.dead_letters_topic, partition) for partition in range(topics.partitions)]
    records: list[tuple[str, Any]] = []
    with closing(LogReader(config.kafka, client_id="dead-letters")) as history:
        spans = {
            tp: Bounds(max(at.start, at.end - LETTERS_MAX), at.end) for tp, at in history.bounds(tps).items()
        }
        for tp, batch in history.read(spans):
            records += [(f"{tp.partition}:{record.offset}", record) for record in batch]
    redriven = {
        value.decode("utf-8", "replace")
        for _, record in records
        for name, value in record.headers
        if name == REDRIVEN_HEADER and value
    }
    for at, record in sorted(records, key=lambda one: tuple(map(int, one[0].split(":")))):
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        if REDRIVEN_HEADER not in headers:
            yield Letter(
                at=at,
                died_at=iso_utc(record.timestamp),
                reason=headers.get("reason", "?"),
                detail=headers.get("detail", ""),
                origin=headers.get(ORIGIN_HEADER, "?"),
                original_bytes=_number(headers.get("original-bytes", "")),
                value=record.value or b"",
                was_redriven=at in redriven,
            )


def _number(text: str) -> int:
    """Anyone may write into the dead letters, too."""
    return int(text) if text.isdecimal() and len(text) < 12 else 0


# Looking


def list_letters(letters: Sequence[Letter], reason: str | None, limit: int) -> int:
    chosen = [letter for letter in letters if reason in (None, letter.reason)]
    newest = sorted(chosen, key=lambda letter: letter.died_at, reverse=True)[:limit]
    if newest:
        print(f"{'letter':<10} {'died at':<25} {'reason':<13} {'origin':<10} {'bytes':>7}  begins")
    for letter in newest:
        begins = printable(letter.value[:EXCERPT_CHARS].decode("utf-8", "replace"))
        sent_on = "  (sent on)" if letter.was_redriven else ""
        print(
            f"{letter.at:<10} {letter.died_at:<25} {letter.reason:<13} {letter.origin:<10} "
            f"{letter.original_bytes:>7}  {begins}{sent_on}"
        )
    print(f"{len(newest)} of {len(chosen)} dead letters")
    return 0


def show_letters(letters: Sequence[Letter]) -> int:
    for letter in letters:
        cut = f", of which the first {len(letter.value)} were kept" if letter.is_cut else ""
        print(f"letter   {letter.at}{' (sent on)' if letter.was_redriven else ''}")
        print(f"died at  {letter.died_at}, of {letter.reason}: {printable(letter.detail)}")
        print(f"origin   order-events {letter.origin}, {letter.original_bytes} bytes{cut}")
        print(printable(letter.value.decode("utf-8", "backslashreplace")))
    return 0


# Sending on


@dataclass(frozen=True, slots=True)
class Sending:
    letter: Letter
    value: bytes
    item: str


def _to_redrive(letters: Sequence[Letter], args: argparse.Namespace) -> list[Sending]:
    """What to send. Of letters that were named each must fit, or NotSentOn says which does not, and why."""
    if args.value is not None:
        if len(args.letters) != 1:
            raise NotSentOn("--value is for one letter: name it, as PARTITION:OFFSET")
        return [_sending(_letter(letters, args.letters[0]), args.value.encode())]
    if args.letters:
        named = [_letter(letters, at) for at in args.letters]
        return [_sending(letter, letter.value) for letter in named]
    return [
        _sending(letter, letter.value)
        for letter in letters
        if not letter.was_redriven and not letter.is_cut and _fits(letter.value)
    ]


def _sending(letter: Letter, value: bytes) -> Sending:
    if letter.was_redriven:
        raise NotSentOn(f"{letter.at} was sent on before; to send it twice could decide it twice")
    if letter.is_cut and value == letter.value:
        raise NotSentOn(f"{letter.at} was cut, the rest of it is lost; give what to send by --value")
    try:
        event = decode_input(value)
    except Undecodable as fault:
        raise NotSentOn(f"{letter.at} would die again ({fault}); give what to send by --value") from fault
    return Sending(letter, encode(event), event.item)


def _fits(value: bytes) -> bool:
    try:
        decode_input(value)
    except Undecodable:
        return False
    return True


def redrive(config: Config, sendings: Sequence[Sending], args: argparse.Namespace) -> int:
    chosen = sendings[: args.limit]
    for sending in chosen:
        print(f"{sending.letter.at:<10} {printable(sending.value.decode())}")
    left = f", {len(sendings) - len(chosen)} more are left by --limit" if len(sendings) > len(chosen) else ""
    if not args.yes:
        print(f"{len(chosen)} would be sent on{left}; do it with --yes")
        return 0
    with closing(Writer(config.kafka, client_id="dead-letters")) as writer:
        for sending in chosen:
            writer.append(_sent_on(config, sending))
            writer.append(_noted(config, sending))
    print(f"{len(chosen)} sent on{left}")
    return 0


def _sent_on(config: Config, sending: Sending) -> dict[TopicPartition, list[ProducerRecord]]:
    topics = config.topics
    tp = TopicPartition(topics.orders_topic, item_partition(sending.item, topics.partitions))
    header = (REDRIVEN_FROM_HEADER, f"{topics.dead_letters_topic} {sending.letter.at}".encode())
    return {tp: [(sending.item.encode(), sending.value, (header,))]}


def _noted(config: Config, sending: Sending) -> dict[TopicPartition, list[ProducerRecord]]:
    """After it was sent: a crash between sends it again at most, and an order's id is decided once."""
    partition = int(sending.letter.at.split(":")[0])
    header = (REDRIVEN_HEADER, sending.letter.at.encode())
    return {TopicPartition(config.topics.dead_letters_topic, partition): [(None, b"", (header,))]}


def _letter(letters: Sequence[Letter], at: str) -> Letter:
    for letter in letters:
        if letter.at == at:
            return letter
    raise NoSuchLetter(f"there is no dead letter {at}; `dead-letters list` shows which there are")
