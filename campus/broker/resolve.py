"""The decision of `broker.mode`: which Kafka is used, and whether this process has to run it.

It is made once, at the start: a process that uses an external Kafka never starts one later.

    auto      the Kafka that answers; else the embedded one, if the address is of this machine
    external  the Kafka that answers; never the embedded one
    embedded  the embedded one; an error if another Kafka answers

With TLS or a password, auto means external: the embedded Kafka serves only plain text.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event

from campus.addresses import Address, listens, speaks_kafka, wait_for_listener
from campus.broker.data import DataFolder, DataFolderLock, DataInUse
from campus.broker.diagnosis import OtherKafkaAnswers
from campus.broker.embedded import EmbeddedBroker
from campus.broker.errors import NoBroker
from campus.config.settings import Config

RETRY_EVERY_S = 0.1
OTHER_STARTS_S = 600.0  # another process may be downloading Kafka over a slow network
STOP_S = 5.0

Log = Callable[[str], None]


class AddressNotLocal(NoBroker):
    def __init__(self, addresses: Sequence[Address]) -> None:
        super().__init__(
            f"the embedded Kafka needs one address of this machine, not {_joined(addresses)}. Set "
            "kafka.bootstrap_servers to 127.0.0.1:9092, or broker.mode to external"
        )


class NothingAnswers(NoBroker):
    def __init__(self, addresses: Sequence[Address], waited_s: float) -> None:
        super().__init__(
            f"no Kafka answers at {_joined(addresses)} within {waited_s:g} s, and none is started there. "
            "Start it, correct kafka.bootstrap_servers, or use 127.0.0.1:9092 with broker.mode: auto"
        )


def resolve(
    config: Config, *, log: Log, stop: Event, lock: DataFolderLock | None = None
) -> EmbeddedBroker | None:
    """Return the broker that this process now runs and has to stop, or None if an external one is used.

    Also None if `stop` was set before the decision. `lock`: one that this process may hold already. Raises
    NoBroker if there is no Kafka and none can be started, BrokerDied if something ended it during its start.
    """
    addresses, mode = config.kafka.addresses, config.broker.mode
    if mode == "auto" and config.kafka.security.protocol != "PLAINTEXT":
        mode = "external"
    home = _local_address(addresses)
    if mode == "embedded" and home is None:
        raise AddressNotLocal(addresses)
    if mode == "external" or home is None:
        _wait_for_external(addresses, config.kafka.connect_timeout_s, log, stop)
        return None
    lock = lock or DataFolderLock(config.broker.data_dir)
    if mode == "auto" and not _lock_unless_kafka_answers(config, home, lock, log, stop):
        return None
    broker = EmbeddedBroker(config.broker, home, log=log, lock=lock)
    try:
        return broker if broker.start(stop) else None
    except OtherKafkaAnswers:
        if mode == "embedded":
            raise
        log(f"using the Kafka that answers at {home}")
        return None


@contextmanager
def broker_for(config: Config, *, log: Log) -> Iterator[None]:
    """A Kafka for the duration of the block: the external one, or one that is started for it."""
    broker = resolve(config, log=log, stop=Event())
    try:
        yield
    finally:
        if broker is not None:
            broker.stop(timeout_s=STOP_S)


def _local_address(addresses: Sequence[Address]) -> Address | None:
    """The address at which the embedded Kafka can run: the only one, if it is a loopback address."""
    if len(addresses) == 1:
        host = addresses[0].host
        with suppress(ValueError):  # the name of another machine
            if host == "localhost" or ipaddress.ip_address(host).is_loopback:
                return addresses[0]
    return None


def _wait_for_external(addresses: Sequence[Address], timeout_s: float, log: Log, stop: Event) -> None:
    """A listening port is enough: with TLS, Kafka does not answer a plain-text request."""
    if not any(map(listens, addresses)):
        log(f"waiting for a Kafka at {_joined(addresses)}")
    if wait_for_listener(addresses, stop, timeout_s=timeout_s):
        log(f"using the Kafka at {_joined(addresses)}")
    elif not stop.is_set():
        raise NothingAnswers(addresses, timeout_s)


def _lock_unless_kafka_answers(
    config: Config, home: Address, lock: DataFolderLock, log: Log, stop: Event
) -> bool:
    """True with the lock; False if the Kafka at `home` is used, or if `stop` was set.

    Of several processes one gets the lock and starts Kafka; the others wait here until it answers.
    """
    data = DataFolder(config.broker.data_dir)
    if speaks_kafka(home) and not data.is_in_use():
        log(f"using the Kafka that answers at {home}")
        return False
    wait_was_logged = False
    deadline_s = time.monotonic() + OTHER_STARTS_S
    while not lock.acquire(home):
        holder = lock.holder()
        if (holder and holder.address != str(home)) or time.monotonic() > deadline_s:
            raise DataInUse(data.root, holder or "another process")
        if holder and speaks_kafka(home):
            log(f"using the Kafka that process {holder.process} runs at {home}")
            return False
        if not wait_was_logged:
            wait_was_logged = True
            log(f"another process is starting or stopping Kafka at {home}; waiting for it")
        if stop.wait(RETRY_EVERY_S):
            return False
    return True


def _joined(addresses: Sequence[Address]) -> str:
    return ", ".join(map(str, addresses))
