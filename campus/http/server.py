"""Runs an app in the thread that calls `run`, until an event is set.

At a stop, requests already received are answered and all others refused. The server installs no signal
handlers and logs nothing but its own faults.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

from campus.addresses import Address
from campus.errors import CampusError
from campus.http.acceptor import Acceptor
from campus.http.limits import Limits
from campus.http.problems import App
from campus.http.protocol import Connection
from campus.http.state import ServerState
from campus.http.wire import date_line

try:
    from uvloop import new_event_loop
except ImportError:  # not available on Windows
    from asyncio import new_event_loop

BACKLOG = 2048
TICK_S = 0.1  # the precision of timeouts, and how soon a stop is noticed
DRAIN_TICK_S = 0.01  # at a stop, how soon it is noticed that all connections are closed
FLUSH_S = 1.0  # at a stop, for sending the last responses

LIKELY_CAUSES = {
    errno.EADDRINUSE: "Probably another program, or another CampusKafka, listens there.",
    errno.EACCES: "Probably the port is below 1024, which needs special rights.",
    errno.EADDRNOTAVAIL: "Probably no interface of this machine has that address.",
}


class CannotListen(CampusError):
    """Exits like a wrong config: a retry would not help, but another address would."""

    exit_code = 2

    def __init__(self, address: Address, error: OSError, next_step: str) -> None:
        self.address = address
        is_unknown = isinstance(error, socket.gaierror)
        likely = "Probably the name is misspelt." if is_unknown else LIKELY_CAUSES.get(error.errno or 0, "")
        fact = f"cannot listen on {address} ({error.strerror or error})."
        super().__init__(" ".join(filter(None, (fact, likely, next_step))))


def listen(address: Address, *, next_step: str) -> socket.socket:
    """A listening socket; port 0 picks a free port. Raises CannotListen."""
    try:
        family, kind, protocol, _, socket_address = socket.getaddrinfo(
            address.host,
            address.port,
            type=socket.SOCK_STREAM,
            # Explicit: asyncio sets TCP_NODELAY only on sockets whose protocol is TCP by name.
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_PASSIVE,
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # on Windows it would let two programs share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(socket_address)
            listener.listen(BACKLOG)  # here, because bind alone does not report a port in use
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotListen(address, error, next_step) from error
    return listener


class HttpServer:
    def __init__(self, app: App, limits: Limits, *, on_tick: Callable[[], None] = lambda: None) -> None:
        """`on_tick` is called in the event loop ten times a second; an exception from it ends the server."""
        self._limits = limits
        self._on_tick = on_tick
        self._state = ServerState(app, limits, time.monotonic)
        self._connections: set[Connection] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, listener: socket.socket, stop: Event) -> None:
        """Serve until `stop`, then close the listener. Can be called once."""
        self._loop = new_event_loop()
        try:
            self._loop.run_until_complete(self._serve(listener, stop))
        finally:
            self._loop.close()

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call it in the event loop, from any thread. Does nothing after the server has ended."""
        assert self._loop is not None, "call_soon was called before run"
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    async def _serve(self, listener: socket.socket, stop: Event) -> None:
        make_connection = partial(Connection, self._state, self._connections)
        acceptor: Acceptor | asyncio.AbstractServer
        try:
            acceptor = Acceptor(listener, make_connection)
        except NotImplementedError:  # Windows' event loop has no add_reader
            acceptor = await asyncio.get_running_loop().create_server(make_connection, sock=listener)
        try:
            while not stop.is_set():  # a threading.Event cannot be awaited; the tick polls it
                self._tick()
                self._on_tick()
                await asyncio.sleep(TICK_S)
        finally:
            acceptor.close()
            await self._drain()

    async def _drain(self) -> None:
        """Answer requests already received within `drain_s`, then use fallback responses, then abort."""
        self._state.draining = True
        await self._until_all_closed(Connection.drain, self._limits.drain_s)
        self._state.refusing = True
        await self._until_all_closed(Connection.fall_back, FLUSH_S)
        await self._until_all_closed(Connection.abort, FLUSH_S)

    async def _until_all_closed(self, close: Callable[[Connection], None], timeout_s: float) -> None:
        for connection in list(self._connections):
            close(connection)
        deadline_s = time.monotonic() + timeout_s
        while self._connections and time.monotonic() < deadline_s:
            await asyncio.sleep(DRAIN_TICK_S)
            self._tick()

    def _tick(self) -> None:
        """Check all timeouts. Looking at all connections now and then costs less than a timer per request."""
        self._state.date = date_line(time.time())
        now_s = self._state.now_s()
        for connection in list(self._connections):
            connection.check_timeouts(now_s)
