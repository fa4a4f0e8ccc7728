"""Many attacks at a time on one endpoint, with well-behaved clients beside them.

The bytes sent follow from the seed and the attack's index alone; the interleaving in the server does not. At
the end the log, the output and the footprint of the process are checked against what was sent.
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
from tests.attack.builder import AfterSend, Attack, RequestBuilder
from tests.attack.judge import Conversation, Tally, faults_of_log, faults_of_output, judge
from tests.attack.monitor import Footprint, footprint
from tests.attack.report import Report
from tests.attack.strict import OrderFields, Tail, read_requests

AT_ONCE = 32
CLOSED_S = 15.0  # the server closes every idle or stalled connection within this time
GOOD_ANSWER_S = 5.0  # a good request is answered within this time, whatever else happens
GOOD_EVERY_S = 0.02
STALL_S = 0.2
BYTES_SHOWN = 2000
WARM_SHARE = 0.3  # of the attacks run before the footprint is first measured
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
    builder = RequestBuilder(seed, index)
    kind = builder.random.choice(KINDS)
    data = kind(builder)
    delivery = builder.random.random()
    if delivery < CUT_SHARE:
        data = data[: builder.random.randrange(len(data) + 1)]
    reading = read_requests(data)
    after_send = AfterSend.READ
    if reading.tail is Tail.INCOMPLETE or delivery < CUT_SHARE + OTHER_END_SHARE:
        after_send = builder.random.choice(tuple(AfterSend))
    if after_send is AfterSend.READ and reading.tail is Tail.NOTHING and not reading.ends:
        data += builder.goodbye()
        reading = read_requests(data)
    return Attack(kind.__name__, seed, index, _pieces(builder, data), after_send, reading)


def _pieces(builder: RequestBuilder, data: bytes) -> tuple[bytes, ...]:
    """How the bytes are written: all at once, one by one, or split anywhere."""
    how = builder.random.random()
    if how < BYTE_BY_BYTE_SHARE and len(data) < BYTE_BY_BYTE_MOST:
        return tuple(bytes([byte]) for byte in data)
    return builder.pieces(data) if how < IN_PIECES_SHARE else (data,)


class Campaign:
    def __init__(self, target: Target, *, log: Callable[[str], None] = lambda _: None) -> None:
        self._target = target
        self._log = log
        self._tally = Tally()
        self._is_over = False
        self.report = Report()

    def run(self, seed: int, indexes: range) -> Report:
        began_s = time.monotonic()
        warm = indexes[: max(1, int(len(indexes) * WARM_SHARE))]
        asyncio.run(self._attack_beside_good_ones(seed, warm))
        self.report.before = self._settled(None)
        asyncio.run(self._attack_beside_good_ones(seed, indexes[len(warm) :]))
        self.report.after = self._settled(self.report.before)
        log, output = self._target.log(), self._target.output()
        for fault in (*self._leaks(), *faults_of_log(log, self._tally), *faults_of_output(output)):
            self.report.faults.add(fault)
        self.report.accepted = len(self._tally.accepted)
        self.report.took_s = time.monotonic() - began_s
        return self.report

    # At the end.

    def _settled(self, least: Footprint | None) -> Footprint:
        """The footprint after left-over connections are closed: few descriptors again, or a stable number."""
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
        self._is_over = False
        good = [
            asyncio.create_task(self._good_client(seed, f"{indexes.start}-{n}", keeps=n == 0)) for n in (0, 1)
        ]
        try:
            await asyncio.gather(*(self._attacker(seed, waiting) for _ in range(AT_ONCE)))
        finally:
            self._is_over = True
            await asyncio.gather(*good)

    async def _attacker(self, seed: int, waiting: Iterator[int]) -> None:
        for index in waiting:
            attack = attack_of(seed, index)
            conversation = await converse(attack, self._target.port)
            if not self._target.runs:
                raise AssertionError(f"the server is dead; the last attack was\n{describe(attack, b'')}")
            self._record(conversation)
            done = sum(self.report.attacks.values())
            if done % 1000 == 0:
                self._log(
                    f"{done:,} attacks, {len(self.report.faults)} faults, {footprint(self._target.pid)}"
                )

    def _record(self, conversation: Conversation) -> None:
        attack, verdict = conversation.attack, judge(conversation)
        self.report.attacks[attack.name] += 1
        self.report.requests += attack.reading.answers_most
        self.report.statuses.update(verdict.statuses)
        self.report.resets += conversation.was_reset
        self._tally.record(verdict)
        for fault in sorted(set(verdict.faults)):
            self.report.faults.add(fault, describe(attack, conversation.received))

    # Well-behaved clients.

    async def _good_client(self, seed: int, name: str, *, keeps: bool) -> None:
        """Orders on one connection, or on a new one for each order."""
        count = 0
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._is_over:
            count += 1
            order = OrderFields(f"good-{seed}-{name}-{count}", "pizza", 1)
            self._tally.allowed.add(order)
            began_s = time.monotonic()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", self._target.port)
                order_id = await asyncio.wait_for(_placed(streams, order), GOOD_ANSWER_S)
            except (OSError, EOFError, asyncio.TimeoutError, AssertionError) as error:
                self.report.faults.add(f"a good request beside the attacks: {error!r}")
                _close(streams)
                streams = None
                await asyncio.sleep(1.0)
                continue
            self.report.good_s.append(time.monotonic() - began_s)
            self._tally.accepted[order_id] = order
            if not keeps:
                _close(streams)
                streams = None
            await asyncio.sleep(GOOD_EVERY_S)
        _close(streams)


async def converse(attack: Attack, port: int) -> Conversation:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    if attack.after_send in (AfterSend.RESET, AfterSend.STALL):
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    received, was_reset, was_closed = bytearray(), False, False
    sending = asyncio.create_task(_send(writer, attack))
    try:
        if attack.after_send in (AfterSend.READ, AfterSend.HALF_CLOSE):
            was_closed, was_reset = await _read_all(reader, received)
        else:
            await asyncio.wait([sending], timeout=STALL_S)
            await asyncio.sleep(STALL_S if attack.after_send is AfterSend.STALL else 0)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.transport.abort() if attack.after_send is not AfterSend.LEAVE else writer.close()
    return Conversation(attack, bytes(received), was_reset, was_closed)


async def _send(writer: asyncio.StreamWriter, attack: Attack) -> None:
    try:
        for piece in attack.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if attack.after_send is AfterSend.HALF_CLOSE:
            writer.write_eof()
    except OSError:  # the server has closed it; its response is being read
        return


async def _read_all(reader: asyncio.StreamReader, received: bytearray) -> tuple[bool, bool]:
    """Returns whether it was closed in time, and whether by a reset."""
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


def describe(attack: Attack, received: bytes) -> str:
    sent = attack.sent
    return (
        f"{attack.name}, {attack.after_send.value}, {len(attack.pieces)} pieces: "
        f"again with --seed {attack.seed} --only {attack.index}\n"
        f"  sent {len(sent)} bytes: {sent[:BYTES_SHOWN]!r}\n"
        f"  received: {received[:BYTES_SHOWN]!r}"
    )
