"""Many attacks at a time on one door, with good customers beside them all the while.

Which bytes are sent follows from the seed and the attack's index alone; how the server's work interleaves
does not. Ends with the log, the printed lines and the footprint of the process held against what was sent.
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from threading import Event
from typing import Protocol

from campus.addresses import wait_until
from tests.attack import content, framing
from tests.attack.judge import Books, Conversation, faults_of_log, faults_of_output, judged
from tests.attack.monitor import Footprint, footprint
from tests.attack.pen import Attack, ExitResult, Pen
from tests.attack.report import Report
from tests.attack.strict import OrderFields, Tail, read_requests

AT_ONCE = 32
CLOSED_S = 15.0  # the server closes every connection that it owes nothing to within it
GOOD_ANSWER_S = 5.0  # a good request is answered within it, whatever goes on beside it
GOOD_EVERY_S = 0.02
DEAF_S = 0.2
BYTES_SHOWN = 2000
WARM_SHARE = 0.3  # of the attacks come before the footprint is first taken
SETTLED_S = 20.0
DESCRIPTORS_MORE = 3
RSS_MORE_MB = 12.0
CUT_SHARE, OTHER_END_SHARE = 0.1, 0.05
BYTE_BY_BYTE_SHARE, BYTE_BY_BYTE_MOST, IN_PIECES_SHARE = 0.05, 1000, 0.25
KINDS = (*framing.KINDS, *content.KINDS, *[framing.mutated] * 6)


class Target(Protocol):
    port: int

    @property
    def pid(self) -> int: ...
    @property
    def runs(self) -> bool: ...
    def output(self) -> list[str]: ...
    def log(self) -> dict[str, OrderFields]: ...


def attack_of(seed: int, index: int) -> Attack:
    pen = Pen(seed, index)
    kind = pen.random.choice(KINDS)
    data = kind(pen)
    delivery = pen.random.random()
    if delivery < CUT_SHARE:
        data = data[: pen.random.randrange(len(data) + 1)]
    reading = read_requests(data)
    ending = ExitResult.READ
    if reading.tail is Tail.INCOMPLETE or delivery < CUT_SHARE + OTHER_END_SHARE:
        ending = pen.random.choice(tuple(ExitResult))
    if ending is ExitResult.READ and reading.tail is Tail.NOTHING and not reading.ends:
        data += pen.goodbye()
        reading = read_requests(data)
    return Attack(kind.__name__, seed, index, _pieces(pen, data), ending, reading)


def _pieces(pen: Pen, data: bytes) -> tuple[bytes, ...]:
    """As they are written one by one: all at once, byte by byte, or cut anywhere."""
    how = pen.random.random()
    if how < BYTE_BY_BYTE_SHARE and len(data) < BYTE_BY_BYTE_MOST:
        return tuple(bytes([byte]) for byte in data)
    return pen.pieces(data) if how < IN_PIECES_SHARE else (data,)


class Campaign:
    def __init__(self, target: Target, *, log: Callable[[str], None] = lambda _: None) -> None:
        self._target = target
        self._log = log
        self._books = Books()
        self._all_good_go_home = False
        self.report = Report()

    def run(self, seed: int, indexes: range) -> Report:
        began_s = time.monotonic()
        warm = indexes[: max(1, int(len(indexes) * WARM_SHARE))]
        asyncio.run(self._attack_beside_good_ones(seed, warm))
        self.report.before = self._settled(None)
        asyncio.run(self._attack_beside_good_ones(seed, indexes[len(warm) :]))
        self.report.after = self._settled(self.report.before)
        log, output = self._target.log(), self._target.output()
        for fault in (*self._leaks(), *faults_of_log(log, self._books), *faults_of_output(output)):
            self.report.faults.note(fault)
        self.report.accepted = len(self._books.accepted)
        self.report.took_s = time.monotonic() - began_s
        return self.report

    # At the end.

    def _settled(self, least: Footprint | None) -> Footprint:
        """When what was left open has been closed: as few descriptors as before, or no fewer for a while."""
        most = least.descriptors + DESCRIPTORS_MORE if least else 0
        seen: list[int] = []

        def is_settled() -> bool:
            seen.append(footprint(self._target.pid).descriptors)
            return seen[-1] <= most or (len(seen) > 15 and len(set(seen[-15:])) == 1)

        wait_until(is_settled, Event(), timeout_s=SETTLED_S, every_s=0.1)
        return footprint(self._target.pid)

    def _leaks(self) -> Iterator[str]:
        before, after = self.report.before, self.report.after
        assert before and after
        if after.descriptors > before.descriptors + DESCRIPTORS_MORE or after.threads > before.threads:
            yield f"a leak: {before} before, {after} after"
        if after.rss_mb > before.rss_mb + RSS_MORE_MB:
            yield f"memory grew: {before} before, {after} after"

    # Attacks.

    async def _attack_beside_good_ones(self, seed: int, indexes: range) -> None:
        waiting = iter(indexes)
        self._all_good_go_home = False
        good = [
            asyncio.create_task(self._good_customer(seed, f"{indexes.start}-{n}", keeps=n == 0))
            for n in (0, 1)
        ]
        try:
            await asyncio.gather(*(self._attacker(seed, waiting) for _ in range(AT_ONCE)))
        finally:
            self._all_good_go_home = True
            await asyncio.gather(*good)

    async def _attacker(self, seed: int, waiting: Iterator[int]) -> None:
        for index in waiting:
            attack = attack_of(seed, index)
            conversation = await converse(attack, self._target.port)
            if not self._target.runs:
                raise AssertionError(f"the server is dead; the last attack was\n{shown(attack, b'')}")
            self._enter(conversation)
            done = sum(self.report.attacks.values())
            if done % 1000 == 0:
                self._log(
                    f"{done:,} attacks, {len(self.report.faults)} faults, {footprint(self._target.pid)}"
                )

    def _enter(self, conversation: Conversation) -> None:
        attack, verdict = conversation.attack, judged(conversation)
        self.report.attacks[attack.name] += 1
        self.report.requests += attack.reading.answers_most
        self.report.statuses.update(verdict.statuses)
        self.report.resets += conversation.was_reset
        self._books.enter(verdict)
        for fault in sorted(set(verdict.faults)):
            self.report.faults.note(fault, shown(attack, conversation.received))

    # Good customers.

    async def _good_customer(self, seed: int, name: str, *, keeps: bool) -> None:
        """On one connection, or on a new one for each order."""
        count = 0
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._all_good_go_home:
            count += 1
            order = OrderFields(f"good-{seed}-{name}-{count}", "pizza", 1)
            self._books.allowed.add(order)
            began_s = time.monotonic()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._target.port)
                order_id = await asyncio.wait_for(_placed(streams, order), GOOD_ANSWER_S)
            except (OSError, EOFError, asyncio.TimeoutError, AssertionError) as error:
                self.report.faults.note(f"a good request beside the attacks: {error!r}")
                _close(streams)
                streams = None
                await asyncio.sleep(1.0)
                continue
            self.report.good_s.append(time.monotonic() - began_s)
            self._books.accepted[order_id] = order
            if not keeps:
                _close(streams)
                streams = None
            await asyncio.sleep(GOOD_EVERY_S)
        _close(streams)


async def converse(attack: Attack, port: int) -> Conversation:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    if attack.ending in (ExitResult.RESET, ExitResult.DEAF):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    received, was_reset, was_closed = bytearray(), False, False
    sending = asyncio.create_task(_send(writer, attack))
    try:
        if attack.ending in (ExitResult.READ, ExitResult.HALF_CLOSE):
            was_closed, was_reset = await _read_all(reader, received)
        else:
            await asyncio.wait([sending], timeout=DEAF_S)
            await asyncio.sleep(DEAF_S if attack.ending is ExitResult.DEAF else 0)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort() if attack.ending is not ExitResult.LEAVE else writer.close()
    return Conversation(attack, bytes(received), was_reset, was_closed)


async def _send(writer: asyncio.StreamWriter, attack: Attack) -> None:
    try:
        for piece in attack.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if attack.ending is ExitResult.HALF_CLOSE:
            writer.write_eof()
    except OSError:  # the server has had enough: what it said about it is being read
        return


async def _read_all(reader: asyncio.StreamReader, received: bytearray) -> tuple[bool, bool]:
    """Whether it was closed in time, and whether by a reset."""
    deadline_s = time.monotonic() + CLOSED_S
    try:
        while data := await asyncio.wait_for(reader.read(65_536), deadline_s - time.monotonic()):
            received += data
    except asyncio.TimeoutError:
        return False, False
    except OSError:
        return True, True
    return True, False


async def _placed(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], order: OrderFields) -> str:
    reader, writer = streams
    body = json.dumps(order._asdict()).encode()
    writer.write(b"POST /order HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    answer = await reader.readexactly(length)
    assert head.startswith(b"http/1.1 202 "), head + answer
    order_id: str = json.loads(answer)["order_id"]
    return order_id


def _close(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
    if streams:
        streams[1].close()


def shown(attack: Attack, received: bytes) -> str:
    sent = attack.sent
    return (
        f"{attack.name}, {attack.ending.value}, {len(attack.pieces)} pieces: "
        f"again with --seed {attack.seed} --only {attack.index}\n"
        f"  sent {len(sent)} bytes: {sent[:BYTES_SHOWN]!r}\n"
        f"  received: {received[:BYTES_SHOWN]!r}"
    )
