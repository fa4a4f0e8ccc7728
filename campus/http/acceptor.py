"""Accepts all connections that wait at a listener within one turn of the event loop.

libuv accepts one per turn. Under load a turn takes milliseconds: of 256 clients that connected at the same
time, the last one waited more than a second while the first ones were served repeatedly.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

ACCEPTS_PER_TURN_MAX = 256  # then the connections accepted so far are served
PAUSE_S = 0.5  # when the system has no descriptors or memory left
OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = logging.getLogger("http")


class Acceptor:
    def __init__(self, listener: socket.socket, make_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._listener = listener
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        if self._pause:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_PER_TURN_MAX):
            try:
                accepted, _address = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in OUT_OF_RESOURCES:
                    raise
                self._pause_accepting(error)
                return
            task = self._loop.create_task(self._connect(accepted))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, accepted)
        except OSError:  # the client has closed it already
            accepted.close()

    def _pause_accepting(self, error: OSError) -> None:
        """New connections stay in the listener's backlog; polling it meanwhile would only burn CPU."""
        log.warning("cannot accept connections (%s); next try in %g s. Allow more open files", error, PAUSE_S)
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(PAUSE_S, self._loop.add_reader, self._listener, self._accept)
