"""The decision of `broker.mode`: which Kafka is used, and whether this process has to run it.

It is made once, at the start: a process that uses somebody else's Kafka never starts a second one.

    auto      whatever Kafka answers; else the embedded one, if the address can be ours
    external  whatever answers; never the embedded one
    embedded  the embedded one, and an error if there is one already
"""

import ipaddress
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event

from campus.addresses import Address, listens, speaks_kafka, wait_for_listener
from campus.broker.data import Claim, Data, DataInUse
from campus.broker.embedded import EmbeddedBroker, wait_for_the_old_one
from campus.broker.errors import NoBroker
from campus.config.settings import BrokerConfig, Config

LOOK_EVERY_S = 0.1
OTHER_STARTS_S = 600.0  # it may be fetching Kafka through a thin line
STOP_S = 5.0  # for a broker that is not wanted any more


class NotHere(NoBroker):
    def __init__(self, addresses: Sequence[Address]) -> None:
        super().__init__(
            f"the embedded Kafka runs at one address of this machine, not at {_listed(addresses)}. Set "
            "kafka.bootstrap_servers to 127.0.0.1:9092, or broker.mode to external"
        )


class NothingAnswers(NoBroker):
    def __init__(self, addresses: Sequence[Address], waited_s: float) -> None:
        self.addresses = tuple(addresses)
        super().__init__(
            f"no Kafka answers at {_listed(addresses)} within {waited_s:g} s, and none is started there. "
            "Start it, correct kafka.bootstrap_servers, or take 127.0.0.1:9092 with broker.mode: auto"
        )


def for_these_clients(config: Config) -> BrokerConfig:
    """The embedded Kafka is for plain clients: those with TLS or a password mean somebody else's."""
    if config.kafka.security.protocol != "PLAINTEXT" and config.broker.mode == "auto":
        return config.broker.with_changes(mode="external")
    return config.broker


def resolve(
    config: BrokerConfig,
    addresses: Sequence[Address],
    *,
    log: Callable[[str], None],
    stop: Event,
    wait_s: float | None = None,
    claim: Claim | None = None,
) -> EmbeddedBroker | None:
    """The broker that this process runs now and has to stop, or None: somebody else's is used.

    Also None when `stop` was set before it was settled. `wait_s`: for somebody else's to answer; without
    it, as long as our own may take to start. `claim`: one that this process may hold already.
    """
    home = _embeddable(addresses)
    if config.mode == "embedded":
        if home is None:
            raise NotHere(addresses)
        return _started(EmbeddedBroker(config, home, log=log, claim=claim), stop)
    if config.mode == "external" or home is None:
        _await_foreign(addresses, config.start_timeout_s if wait_s is None else wait_s, log, stop)
        return None
    return _use_or_start(config, home, log, stop, claim or Claim(Data(config.data_dir)))


@contextmanager
def broker_for(
    config: BrokerConfig,
    addresses: Sequence[Address],
    *,
    log: Callable[[str], None],
    stop: Event | None = None,
    wait_s: float | None = None,
) -> Iterator[None]:
    """A Kafka for as long as the block lasts."""
    broker = resolve(config, addresses, log=log, stop=stop or Event(), wait_s=wait_s)
    try:
        yield
    finally:
        if broker is not None:
            broker.stop(timeout_s=STOP_S)


def _embeddable(addresses: Sequence[Address]) -> Address | None:
    if len(addresses) != 1:
        return None
    host = addresses[0].host
    try:
        ours = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        ours = False
    return addresses[0] if ours else None


def _await_foreign(
    addresses: Sequence[Address], wait_s: float, log: Callable[[str], None], stop: Event
) -> None:
    """To listen is enough here: behind TLS no Kafka answers a plain question."""
    if not any(map(listens, addresses)):
        log(f"waiting for a Kafka at {_listed(addresses)}")
    if wait_for_listener(addresses, stop, timeout_s=wait_s):
        log(f"using the Kafka at {_listed(addresses)}")
    elif not stop.is_set():
        raise NothingAnswers(addresses, wait_s)


def _use_or_start(
    config: BrokerConfig, home: Address, log: Callable[[str], None], stop: Event, claim: Claim
) -> EmbeddedBroker | None:
    data = Data(config.data_dir)
    if speaks_kafka(home) and not data.has_a_kafka():
        log(f"using the Kafka that answers at {home}")
        return None
    data.make()
    if not _claimed_before_it_answers(data, claim, home, log, stop):
        return None
    # With the claim, what answers is either foreign, or was left by a killed owner and is ending.
    try:
        wait_for_the_old_one(data, stop)
        foreign = speaks_kafka(home)
    except BaseException:
        claim.release()
        raise
    if foreign:
        claim.release()
        log(f"using the Kafka that answers at {home}")
        return None
    return _started(EmbeddedBroker(config, home, log=log, claim=claim), stop)


def _claimed_before_it_answers(
    data: Data, claim: Claim, home: Address, log: Callable[[str], None], stop: Event
) -> bool:
    """Of several processes one gets the claim and starts Kafka, and this is where the others wait for it."""
    told = False
    deadline_s = time.monotonic() + OTHER_STARTS_S
    while not claim.take(home):
        owner = claim.owner()
        if (owner and owner.address != home) or time.monotonic() > deadline_s:
            raise DataInUse(data.root, str(owner or "another process"))
        if owner and speaks_kafka(home):
            log(f"using the Kafka that process {owner.process} runs at {home}")
            return False
        if not told:
            told = True
            log(f"another process is starting or stopping Kafka at {home}; waiting for it")
        if stop.wait(LOOK_EVERY_S):
            return False
    return True


def _started(broker: EmbeddedBroker, stop: Event) -> EmbeddedBroker | None:
    broker.start(stop)
    if stop.is_set():
        broker.stop(timeout_s=STOP_S)
        return None
    return broker


def _listed(addresses: Sequence[Address]) -> str:
    return ", ".join(map(str, addresses))
