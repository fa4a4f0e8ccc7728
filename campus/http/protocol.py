"""One connection: reads requests, sends the responses in their order, and keeps within the limits.

Requests are handled one at a time. While a deferred response waits, the requests behind it are not handled,
and beyond a few not even read. The client must send a whole head, then a whole body, then read its response,
each within a timeout. A refusal is sent after the responses to earlier requests, never before: the client
would take it for one of them.
"""

import asyncio
from collections import deque
from enum import Enum

from campus.http import refusals
from campus.http.deferred import Deferred
from campus.http.problems import BODY_KEY, Response
from campus.http.requests import HEAD, IDLE, ReadState, RequestReader
from campus.http.state import Request, ServerState, log
from campus.http.wire import CONTINUE

PIECE_BYTES = 4096  # parsed before backpressure is checked again: at most about 150 requests
PENDING_MAX = 16  # requests behind a deferred response; then reading stops
# After the last response, until the client closes too. To close with unread bytes received would reset the
# connection, and the client could lose the response (RFC 9112, 9.6).
LINGER_S = 2.0
LINGER_AT_STOP_S = 0.3
LINGERING_MAX = 256  # beyond limits.connections_max; further connections are closed without lingering
NEVER_S = float("inf")


class ConnectionState(Enum):
    OPEN = "open"
    CLOSING = "closing"  # no more is read; requests already read are answered
    LINGERING = "lingering"  # the last response is written; what still arrives is discarded


OPEN, CLOSING, LINGERING = ConnectionState  # ConnectionState.OPEN takes five times as long to look up


class Connection(asyncio.Protocol):
    _transport: asyncio.Transport
    _reader: RequestReader

    def __init__(self, server: ServerState, connections: "set[Connection]") -> None:
        """While it is open, it is in `connections`: all of the server."""
        self._server, self._connections = server, connections
        self._state = OPEN
        self._is_reading = self._is_writing = True
        self._got_eof = False  # the client will send nothing more
        self._unread: bytes | memoryview = b""
        self._pending: deque[Request] = deque()  # received, not handled yet
        self._deferred: tuple[Request, Response, Deferred] | None = None
        self._refusal: Response | None = None  # the last response, to what could not be read
        self._out: list[bytes] = []  # responses to be written together
        self._timed: tuple[int, ReadState] | None = (0, IDLE)  # message number and state that _due_s is for
        self._due_s = self._write_due_s = NEVER_S

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        server = self._server
        address = transport.get_extra_info("peername")  # None: disconnected before it was accepted
        self._reader = RequestReader(server, address[0] if address else "", self._pending)
        self._due_s = server.now_s() + server.limits.head_timeout_s
        self._connections.add(self)
        if server.draining:
            self._refuse(refusals.STOPPING)
        elif len(self._connections) - server.lingering > server.limits.connections_max:
            self._refuse(refusals.TOO_MANY_CONNECTIONS)

    def data_received(self, data: bytes) -> None:
        if self._state is not OPEN:
            return
        self._unread = data if not self._unread else bytes(self._unread) + data
        self._read()

    def eof_received(self) -> bool:
        """A client that has closed its side still gets the responses to its requests."""
        self._got_eof = True
        if self._state is OPEN and (self._deferred or self._pending):
            self._state = CLOSING
        if self._deferred:
            self._deferred[2].disconnected()
        return self._state is CLOSING

    def pause_writing(self) -> None:
        self._is_writing = False
        self._write_due_s = self._server.now_s() + self._server.limits.body_timeout_s

    def resume_writing(self) -> None:
        self._is_writing = True
        self._write_due_s = NEVER_S
        self._timed = None
        self._resume()

    def connection_lost(self, _error: Exception | None) -> None:
        self._connections.discard(self)
        self._server.lingering -= self._state is LINGERING
        if self._deferred:
            self._deferred[2].abandon()
        for request in self._pending:
            self._server.body_bytes -= len(request.environ[BODY_KEY])
        self._pending.clear()
        self._deferred = None
        self._reader.close()

    # From received bytes to responses.

    def _resume(self) -> None:
        self._handle_pending()
        self._read()

    def _read(self) -> None:
        """Parse and handle what was received, until a response is deferred or the client does not read."""
        while self._unread and self._state is OPEN and not self._is_behind():
            refusal = self._reader.feed(self._next_piece())
            if refusal:
                self._state, self._refusal = CLOSING, refusal
            self._handle_pending()
        if self._out:
            self._flush()
        self._apply_backpressure()
        if self._deferred is None and self._state is OPEN:
            self._set_read_timeout()

    def _next_piece(self) -> bytes:
        unread = self._unread
        if len(unread) <= PIECE_BYTES:
            self._unread = b""
            return bytes(unread)
        view = memoryview(unread)
        self._unread = view[PIECE_BYTES:]
        return bytes(view[:PIECE_BYTES])

    def _handle_pending(self) -> None:
        """Handle the pending requests up to the first deferred response, and then send a refusal, if any."""
        if self._state is LINGERING:
            return
        pending = self._pending
        while pending and self._deferred is None and self._is_writing:
            request = pending.popleft()
            response, deferred = self._server.handle(request)
            if deferred is not None and self._got_eof:
                deferred.disconnected()
            if deferred is None:
                self._send(request, response)
            elif deferred.done:
                self._send(request, deferred.replacement or response)
            else:
                self._defer(request, response, deferred)
        if pending or self._deferred:
            return
        if self._state is CLOSING:
            if self._refusal:
                out = self._server.encode_refusal(self._refusal, to_head=self._reader.is_head)
                self._out.append(out)
            self._linger()
        elif self._reader.expects_continue:
            self._reader.expects_continue = False
            self._out.append(CONTINUE)

    def _defer(self, request: Request, response: Response, deferred: Deferred) -> None:
        timeout_s = self._server.limits.answer_timeout_s + deferred.extra_timeout_s
        self._due_s = self._server.now_s() + timeout_s
        self._timed = None
        self._deferred = (request, response, deferred)
        deferred.on_resolved = self._on_resolved

    def _on_resolved(self) -> None:
        assert self._deferred is not None
        request, response, deferred = self._deferred
        self._deferred = None
        self._send(request, deferred.replacement or response)
        self._resume()

    def _send(self, request: Request, response: Response) -> None:
        is_last = self._state is CLOSING and not self._pending and not self._refusal
        keep = request.keep_alive and not is_last
        self._out.append(self._server.encode(request, response, keep=keep))
        if not keep:
            self._linger()

    def _flush(self) -> None:
        out, self._out = self._out, []
        self._transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _linger(self) -> None:
        if self._out:
            self._flush()
        self._state = LINGERING
        self._unread = b""
        self._reader.close()
        server = self._server
        server.lingering += 1
        self._due_s = server.now_s() + (LINGER_AT_STOP_S if server.draining else LINGER_S)
        if self._got_eof or server.lingering > LINGERING_MAX:
            self._transport.close()
        else:
            self._transport.write_eof()

    # Backpressure and timeouts.

    def _is_behind(self) -> bool:
        return not self._is_writing or len(self._pending) >= PENDING_MAX

    def _apply_backpressure(self) -> None:
        should_read = not self._is_behind() if self._state is OPEN else self._state is LINGERING
        if should_read is self._is_reading:
            return
        self._is_reading = should_read
        if should_read:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()

    def _set_read_timeout(self) -> None:
        """One timeout for each head and each body. A little progress does not restart it."""
        state = self._reader.state
        timed = (self._reader.message, state)
        if timed == self._timed:
            return
        self._timed = timed
        limits = self._server.limits
        if state is IDLE:
            timeout_s = limits.keep_alive_s
        else:
            timeout_s = limits.head_timeout_s if state is HEAD else limits.body_timeout_s
        self._due_s = self._server.now_s() + timeout_s

    def check_timeouts(self, now_s: float) -> None:
        if now_s >= self._write_due_s:
            self._transport.abort()
        elif now_s >= self._due_s:
            self._on_timeout()

    def _on_timeout(self) -> None:
        transport = self._transport
        if self._deferred:
            self.fall_back()
        elif self._state is LINGERING or transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()  # close() would wait until the client has read everything
        elif self._reader.state is IDLE:
            transport.close()
        else:
            is_head = self._reader.state is HEAD
            self._refuse(refusals.HEAD_TIMEOUT if is_head else refusals.BODY_TIMEOUT)

    def _refuse(self, response: Response) -> None:
        self._state, self._refusal, self._unread = CLOSING, response, b""
        self._resume()

    # Called by the server.

    def drain(self) -> None:
        """Answer whole requests, refuse an incomplete one, then close."""
        if self._state is not OPEN or self._transport.is_closing():
            return
        is_incomplete = self._reader.state is not IDLE or bool(self._unread)
        if is_incomplete or self._deferred or self._pending:
            self._refusal = refusals.STOPPING if is_incomplete else None
            self._state, self._unread = CLOSING, b""
            self._resume()
        else:
            self._transport.close()

    def fall_back(self) -> None:
        """Send the fallback of the deferred response, if one waits."""
        if self._deferred is None:
            return
        deferred = self._deferred[2]
        try:
            deferred.fall_back()
        except Exception:  # noqa: BLE001 - a fault of the app: logged, and answered with 500
            log.exception("the fallback of a Deferred failed")
            deferred.replace(refusals.INTERNAL_ERROR)

    def abort(self) -> None:
        self._transport.abort()
