"""Takes the connections that wait at a listener, all there are in one turn of the event loop.

libuv takes one a turn. Under load a turn takes milliseconds, so of 256 clients that came at once the last
waited more than a second, while the first were served over and over.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

TURN_MAX = 256  # then those who are in are served first
PAUSE_S = 0.5  # when the system has nothing left to give
NOTHING_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger("http")


class Acceptor:
    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(TURN_MAX):
            try:
                connected, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in NOTHING_LEFT:
                    raise
                self._rest(error)
                return
            task = self._loop.create_task(self._enter(connected))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)

    async def _enter(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, connected)
        except OSError:  # it has left already
            connected.close()

    def _rest(self, error: OSError) -> None:
        """Those who wait stay in line; to be told of them at once, again and again, helps nobody."""
        log.warning("no connection can be taken (%s): %g s pause. Allow more open files", error, PAUSE_S)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._listener, self._accept)
