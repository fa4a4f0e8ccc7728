"""One connection: requests in, answers out in their order, and never more than the limits in memory.

Requests are served one at a time: what stands behind an answer that waits is not begun, and beyond a few
not even read. A client owes us a whole head, then a whole body, then to take its answer, each within its
time. A refusal never passes the answer of an earlier request: the client would take it for that answer.
"""

import asyncio
from collections import deque
from enum import Enum

from campus.http import refusals
from campus.http.deferred import Deferred
from campus.http.problems import Response
from campus.http.requests import HEAD, NOTHING, Owed, Request, RequestReader
from campus.http.service import Service, log
from campus.http.wire import CONTINUE
from campus.http.wsgi import environ_of_connection

PIECE_BYTES = 4096  # what is read between two looks at what waits: at most some 150 requests
WAITING_MAX = 16  # requests, behind an answer that waits: beyond it no more is read
# After the last answer, until the client has closed too: to close on bytes that nobody has read would
# reset the connection, and the answer would be lost with it.
LINGER_S = 2.0
LINGER_AT_STOP_S = 0.3
LINGERING_MAX = 256  # of them at a time, beside those that count; more are closed at once
FOREVER_S = float("inf")
NOBODY = ("", 0)  # the address of a client that has left before it was let in


class Stage(Enum):
    OPEN = "open"
    CLOSING = "closing"  # no more is read; what has been read is answered
    LINGERING = "lingering"  # the last answer is written, and what still comes is thrown away


OPEN, CLOSING, LINGERING = Stage  # to name a member by its class takes five times as long


class Connection(asyncio.Protocol):
    __slots__ = (
        "_due_s",
        "_is_mute",
        "_is_reading",
        "_is_writing",
        "_out",
        "_reader",
        "_refusal",
        "_requests",
        "_service",
        "_stage",
        "_transport",
        "_unread",
        "_waiting",
        "_watched",
        "_write_due_s",
    )

    _transport: asyncio.Transport
    _reader: RequestReader

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stage = OPEN
        self._is_reading = self._is_writing = True
        self._is_mute = False  # the client has said its last word
        self._unread: bytes | memoryview = b""
        self._requests: deque[Request] = deque()  # whole, and not begun
        self._waiting: tuple[Request, Response, Deferred] | None = None
        self._refusal: Response | None = None  # the last answer, to what could not be read
        self._out: list[bytes] = []  # to be written together
        self._watched: tuple[int, Owed] | None = (0, NOTHING)
        self._due_s = self._write_due_s = FOREVER_S

    # The transport's side.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        service = self._service
        template = environ_of_connection(
            transport.get_extra_info("sockname") or NOBODY,
            transport.get_extra_info("peername") or NOBODY,
        )
        self._reader = RequestReader(service.limits, service, template, self._requests)
        self._due_s = service.now_s() + service.limits.head_timeout_s
        service.enter(self)
        if service.draining:
            self._refuse(refusals.STOPPING)
        elif len(service.connections) - service.lingering > service.limits.connections_max:
            self._refuse(refusals.TOO_MANY_CONNECTIONS)

    def data_received(self, data: bytes) -> None:
        if self._stage is not OPEN:
            return
        self._unread = data if not self._unread else bytes(self._unread) + data
        self._read_on()

    def eof_received(self) -> bool:
        """It still hears the answers to what it said before."""
        self._is_mute = True
        if self._stage is OPEN and (self._waiting or self._requests):
            self._stage = CLOSING
        if self._waiting:
            self._waiting[2].leave()
        return self._stage is CLOSING

    def pause_writing(self) -> None:
        self._is_writing = False
        self._write_due_s = self._service.now_s() + self._service.limits.body_timeout_s

    def resume_writing(self) -> None:
        self._is_writing = True
        self._write_due_s = FOREVER_S
        self._watched = None
        self._go_on()

    def connection_lost(self, _error: Exception | None) -> None:
        self._service.leave(self)
        self._service.lingering -= self._stage is LINGERING
        if self._waiting:
            self._waiting[2].forget()
        for request in self._requests:
            self._service.give_back_body_bytes(request.body_bytes)
        self._requests.clear()
        self._waiting = None
        self._reader.close()

    # From the bytes to the answers.

    def _go_on(self) -> None:
        self._serve()
        self._read_on()

    def _read_on(self) -> None:
        """Read what came and serve it, until something has to be waited for."""
        while self._unread and self._stage is OPEN and not self._is_behind():
            refusal = self._reader.feed(self._next_piece())
            if refusal:
                self._stage, self._refusal = CLOSING, refusal
            self._serve()
        if self._out:
            self._flush()
        self._heed_backpressure()
        if self._waiting is None and self._stage is OPEN:
            self._watch()

    def _next_piece(self) -> bytes:
        unread = self._unread
        if len(unread) <= PIECE_BYTES:
            self._unread = b""
            return bytes(unread)
        view = memoryview(unread)
        self._unread = view[PIECE_BYTES:]
        return bytes(view[:PIECE_BYTES])

    def _serve(self) -> None:
        """Answer request by request, and at last what could not be read, as far as nothing has to wait."""
        if self._stage is LINGERING:
            return
        requests = self._requests
        while requests and self._waiting is None and self._is_writing:
            request = requests.popleft()
            response, deferred = self._service.answer(request)
            if deferred is not None and self._is_mute:
                deferred.leave()
            if deferred is None:
                self._send(request, response)
            elif deferred.done:
                self._send(request, deferred.answer or response)
            else:
                self._wait(request, response, deferred)
        if requests or self._waiting:
            return
        if self._stage is CLOSING:
            if self._refusal:
                out = self._service.refusal_on_the_wire(self._refusal, to_head=self._reader.is_head)
                self._out.append(out)
            self._linger()
        elif self._reader.expects:
            self._reader.expects = False
            self._out.append(CONTINUE)

    def _wait(self, request: Request, response: Response, deferred: Deferred) -> None:
        timeout_s = deferred.answer_timeout_s
        if timeout_s is None:
            timeout_s = self._service.limits.answer_timeout_s
        self._due_s = self._service.now_s() + timeout_s
        self._watched = None
        self._waiting = (request, response, deferred)
        deferred.when_settled(self._settled)

    def _settled(self, answer: Response | None) -> None:
        assert self._waiting is not None
        request, response, _ = self._waiting
        self._waiting = None
        self._send(request, answer or response)
        self._go_on()

    def _send(self, request: Request, response: Response) -> None:
        is_last = self._stage is CLOSING and not self._requests and not self._refusal
        keep = request.keep_alive and not is_last
        self._out.append(self._service.on_the_wire(request, response, keep=keep))
        if not keep:
            self._linger()

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _linger(self) -> None:
        if self._out:
            self._flush()
        self._stage = LINGERING
        self._unread = b""
        self._reader.close()
        service = self._service
        service.lingering += 1
        self._due_s = service.now_s() + (LINGER_AT_STOP_S if service.draining else LINGER_S)
        if self._is_mute or service.lingering > LINGERING_MAX:
            self._transport.close()
        else:
            self._transport.write_eof()

    # What is not to be exceeded.

    def _is_behind(self) -> bool:
        return not self._is_writing or len(self._requests) >= WAITING_MAX

    def _heed_backpressure(self) -> None:
        wanted = not self._is_behind() if self._stage is OPEN else self._stage is LINGERING
        if wanted is self._is_reading:
            return
        self._is_reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _watch(self) -> None:
        """Have a time for what is owed now; it does not begin anew when a little of it comes."""
        owed = self._reader.owed
        now = (self._reader.message, owed)
        if now == self._watched:
            return
        self._watched = now
        limits = self._service.limits
        if owed is NOTHING:
            timeout_s = limits.keep_alive_s
        else:
            timeout_s = limits.head_timeout_s if owed is HEAD else limits.body_timeout_s
        self._due_s = self._service.now_s() + timeout_s

    def look_at_the_time(self, now_s: float) -> None:
        if now_s >= self._write_due_s:
            self._transport.abort()
        elif now_s >= self._due_s:
            self._time_is_over()

    def _time_is_over(self) -> None:
        transport = self._transport
        if self._waiting:
            self.give_up()
        elif self._stage is LINGERING or transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()  # to close would wait until a client reads that does not
        elif self._reader.owed is NOTHING:
            transport.close()
        else:
            self._refuse(refusals.HEAD_LATE if self._reader.owed is HEAD else refusals.BODY_LATE)

    def _refuse(self, response: Response) -> None:
        self._stage, self._refusal, self._unread = CLOSING, response, b""
        self._go_on()

    # The end.

    def drain(self) -> None:
        """What has been taken whole is answered, what has not is refused, and then it is over."""
        if self._stage is not OPEN or self._transport.is_closing():
            return
        half = self._reader.owed is not NOTHING or bool(self._unread)
        if half or self._waiting or self._requests:
            self._stage, self._refusal, self._unread = CLOSING, refusals.STOPPING if half else None, b""
            self._go_on()
        else:
            self._transport.close()

    def give_up(self) -> None:
        """Answer what waits as it is to be answered when nobody released it."""
        if self._waiting is None:
            return
        deferred = self._waiting[2]
        try:
            deferred.give_up()
        except Exception:  # noqa: BLE001 - of the app's own function: logged, and answered
            log.exception("a Deferred has no answer for when its time is over")
            deferred.replace(refusals.INTERNAL_ERROR)

    def abort(self) -> None:
        self._transport.abort()
