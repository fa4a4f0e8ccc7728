"""Serves a WSGI app in the thread that calls `run`, until an event is set; then every request that was
taken is answered, and the rest refused. No signal handlers, no log lines of uvicorn's.
"""

import asyncio
import errno
import logging
import math
import os
import socket
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import uvicorn

from campus.runtime.addresses import Address
from campus.runtime.errors import CampusError
from campus.runtime.http.adapter import WsgiAdapter, WsgiApp
from campus.runtime.http.guard import GuardedProtocol, Limits

BACKLOG = 2048
FLUSH_S = 1  # after the last answer was made, until it must be out
ALWAYS = [("cache-control", "no-store"), ("x-content-type-options", "nosniff")]

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
        """`each_tick` is called in the event loop ten times a second."""
        self._adapter = WsgiAdapter(
            app, body_bytes_max=limits.body_bytes_max, answer_timeout_s=limits.answer_timeout_s
        )
        self._limits = limits
        self._each_tick = each_tick
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, listener: socket.socket, stop: Event) -> None:
        """Serve until `stop`; the listener is closed then. Once only."""
        _Server(self._config(), stop, self).run(sockets=[listener])

    def call_soon(self, callback: Callable[..., None], *args: Any) -> None:
        """Call it in the event loop, from any thread; after the end, when nobody waits any more, not."""
        assert self._loop is not None, "nothing can wait for an answer before the server runs"
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            if not self._loop.is_closed():
                raise

    def _config(self) -> uvicorn.Config:
        protocol: Any = partial(GuardedProtocol, limits=self._limits)
        return uvicorn.Config(
            self._adapter,
            interface="asgi3",
            http=protocol,
            ws="none",
            lifespan="off",
            workers=1,  # said, since otherwise the environment would be asked
            proxy_headers=False,
            server_header=False,
            headers=ALWAYS,
            backlog=BACKLOG,
            timeout_keep_alive=self._limits.keep_alive_s,
            timeout_graceful_shutdown=math.ceil(self._limits.drain_s) + FLUSH_S,
            log_config=None,
            log_level=logging.CRITICAL + 1,
            access_log=False,
        )

    # In the event loop.

    def _begins(self) -> None:
        self._loop = asyncio.get_running_loop()

    def _tick(self) -> None:
        self._adapter.give_up_overdue(asyncio.get_running_loop().time())
        self._each_tick()

    def _drains(self) -> None:
        asyncio.get_running_loop().call_later(self._limits.drain_s, self._adapter.give_up_all)


class _Server(uvicorn.Server):
    """uvicorn's, which looks ten times a second whether to stop, and here looks at our event."""

    def __init__(self, config: uvicorn.Config, stop: Event, ours: HttpServer) -> None:
        super().__init__(config)
        self._stop = stop
        self._ours = ours

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._ours._begins()
        await super().startup(sockets)

    async def on_tick(self, counter: int) -> bool:
        self._ours._tick()
        self.should_exit = self._stop.is_set()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ours._drains()
        await super().shutdown(sockets)
