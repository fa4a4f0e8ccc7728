"""The address of the running producer, kept in a file so that a second process finds it.

With `roles.producer.port: 0` only the running process knows its port. The file is in data_dir and named after
the topic of the orders, so a `bench` on topics of its own does not hide the system that runs. If several
producers of one system share the folder, the last to start is found. A file that is incomplete, or that a
dead process left behind, is ignored.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from campus.addresses import Address, listens
from campus.config.settings import Config

FOLDER = "producers"

log = logging.getLogger("producer")


class _Note(msgspec.Struct, frozen=True):
    """`kafka`: the brokers that the orders go to, as two systems may use the same topic names."""

    pid: Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    kafka: str


def running_producer(config: Config) -> Address | None:
    """Where this system takes orders now: the configured port, else the address in the file, or None.

    Only an address at which something listens is returned.
    """
    producer: Any = config.roles["producer"]
    configured = Address(producer.host, producer.port) if producer.port else None
    return next((at for at in (configured, _published(config)) if at and listens(at)), None)


@contextmanager
def address_published(config: Config, address: Address) -> Iterator[None]:
    """Keep the address in the file while the block runs. Logs a warning if it cannot be written."""
    path = _path(config)
    note = _Note(os.getpid(), address.host, address.port, config.kafka.bootstrap_servers)
    content = msgspec.json.encode(note)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        log.warning(
            "cannot write %s (%s): `order` finds this producer only by its port", path, error.strerror
        )
    try:
        yield
    finally:
        with suppress(OSError):
            if path.read_bytes() == content:  # else it is of a producer that started later
                path.unlink()


def _published(config: Config) -> Address | None:
    try:
        note = msgspec.json.decode(_path(config).read_bytes(), type=_Note)
    except (OSError, ValueError):
        return None
    is_ours = note.kafka == config.kafka.bootstrap_servers
    return Address(note.host, note.port) if is_ours and _is_alive(note.pid) else None


def _path(config: Config) -> Path:
    return config.broker.data_dir / FOLDER / f"{config.topics.orders_topic}.json"


def _is_alive(pid: int) -> bool:
    if sys.platform == "win32":  # there, signal 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)  # another user's process refuses the signal, but is alive
    return True
