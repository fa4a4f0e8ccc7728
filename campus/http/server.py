"""Serves a WSGI app in the thread that calls `run`, until an event is set; then every request that was
taken is answered, and the rest refused. No signal handlers, and no lines in the log but for our own faults.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from threading import Event
from typing import Any, Protocol

from campus.addresses import Address
from campus.errors import CampusError
from campus.http.accepting import Acceptor
from campus.http.limits import Limits
from campus.http.protocol import Connection
from campus.http.service import Service
from campus.http.wsgi import WsgiApp

try:
    from uvloop import new_event_loop
except ImportError:  # there is none for Windows
    from asyncio import new_event_loop

BACKLOG = 2048
TICK_S = 0.1  # how exactly a client's time is measured, and how soon a stop is seen
FLUSH_S = 1.0  # after the last answer was made, until it must be out

LIKELY = {
    errno.EADDRINUSE: "Probably another program, or another CampusKafka, listens there.",
    errno.EACCES: "Probably the port is below 1024, which needs special rights.",
    errno.EADDRNOTAVAIL: "Probably no interface of this machine has that address.",
}
NO_SUCH_NAME = "Probably the name is misspelt."


class CannotListen(CampusError):
    """Its exit code is that of a wrong config: to try again cannot help, another address can."""

    exit_code = 2

    def __init__(self, address: Address, error: OSError, next_step: str) -> None:
        self.address = address
        unknown = isinstance(error, socket.gaierror)
        likely = NO_SUCH_NAME if unknown else LIKELY.get(error.errno or 0, "")
        fact = f"cannot listen on {address} ({error.strerror or error})."
        super().__init__(" ".join(filter(None, (fact, likely, next_step))))


def listen(address: Address, *, next_step: str) -> socket.socket:
    """A socket that listens there; port 0 takes any that is free. Raises CannotListen."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            address.host,
            address.port,
            type=socket.SOCK_STREAM,
            # Asked for by name: asyncio sets TCP_NODELAY only where the socket knows that it is TCP.
            proto=socket.IPPROTO_TCP,
            flags=socket.AI_PASSIVE,
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            if os.name == "posix":  # elsewhere it would let two programs have the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(where)
            listener.listen(BACKLOG)  # here, not later: bind alone does not notice a taken port
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise CannotListen(address, error, next_step) from error
    return listener


class HttpServer:
    def __init__(self, app: WsgiApp, limits: Limits, *, each_tick: Callable[[], None] = lambda: None) -> None:
        """`each_tick` is called in the event loop ten times a second; what it raises ends the server."""
        self._app = app
        self._limits = limits
        self._each_tick = each_tick
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, listener: socket.socket, stop: Event) -> None:
        """Serve until `stop`; the listener is closed then. Once only."""
        self._loop = new_event_loop()
        try:
            self._loop.run_until_complete(self._serve(listener, stop))
        finally:
            self._loop.close()

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call it in the event loop, from any thread; after the end, when nobody waits any more, not."""
        assert self._loop is not None, "nothing can wait for an answer before the server runs"
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def call_later(self, delay_s: float, callback: Callable[..., None], *args: Any) -> asyncio.TimerHandle:
        """Call it after a while, unless the handle is cancelled before. In the event loop only."""
        return asyncio.get_running_loop().call_later(delay_s, callback, *args)

    async def _serve(self, listener: socket.socket, stop: Event) -> None:
        loop = asyncio.get_running_loop()
        service = Service(self._app, self._limits, loop.time)
        endpoint = await _open(listener, partial(Connection, service))
        try:
            while not stop.is_set():  # a thread's event, which nothing can await; and the tick is due anyway
                service.tick()
                self._each_tick()
                await asyncio.sleep(TICK_S)
        finally:
            endpoint.close()
            await self._drain(service)

    async def _drain(self, service: Service) -> None:
        """Within `drain_s` answer what was taken; then give up what still waits; then break off."""
        service.draining = True
        for connection in list(service.connections):
            connection.drain()
        await _until_nobody_is_there(service, self._limits.drain_s)
        service.over = True
        for connection in list(service.connections):
            connection.give_up()
        await _until_nobody_is_there(service, FLUSH_S)
        for connection in list(service.connections):
            connection.abort()
        await _until_nobody_is_there(service, FLUSH_S)


class Endpoint(Protocol):
    def close(self) -> None: ...


async def _open(listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> Endpoint:
    try:
        return Acceptor(listener, make_protocol)
    except NotImplementedError:  # by the loop of Windows
        return await asyncio.get_running_loop().create_server(make_protocol, sock=listener)


async def _until_nobody_is_there(service: Service, timeout_s: float) -> None:
    until_s = service.now_s() + timeout_s
    while service.connections and service.now_s() < until_s:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(service.nobody_is_there.wait(), TICK_S)
        service.tick()
