"""Where the tests run: on topics and groups made for this run, or on the live system as it is.

An environment of its own is a copy of the config with a random prefix and a free port. The user's topics,
groups and port are not touched, and nothing of it is left when the run ends.
"""

import io
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any, Literal

from campus.addresses import Address, listens
from campus.bench.load_process import BenchFailed
from campus.bench.measured_group import MeasuredGroup
from campus.config.settings import Config, KafkaConfig
from campus.errors import CampusError
from campus.groups.lag import our_groups
from campus.kafka.removal import remove_all_named

System = Callable[..., AbstractContextManager[None]]  # Context.system
DEFAULT_ITEMS = ("pizza", "burger", "salad", "sandwich")  # for a config without a stock
ROLES = ("analytics", "inventory", "book", "producer")  # in the order in which they start
NEVER_S = 86_400.0
AWAY_S = 5.0  # longer than a short restart: what is measured after it would be worthless

log = logging.getLogger("bench")


@dataclass(frozen=True, slots=True)
class Environment:
    """`run` begins the user id of every order: it tells the outcomes of this run from all others. `seed`: of
    the orders. `system` runs roles with this config; None for a live system, and in a load process."""

    config: Config
    run: str
    seed: int
    system: System | None

    @property
    def is_live(self) -> bool:
        return self.system is None

    @property
    def description(self) -> str:
        if self.is_live:
            return f"the system that runs at http://{self.endpoint}"
        return f"topics and groups of its own ({self.config.topics.prefix}…), removed afterwards"

    @property
    def endpoint(self) -> Address:
        producer: Any = self.config.roles["producer"]
        return Address(producer.host, producer.port)

    @property
    def items(self) -> tuple[str, ...]:
        """What is ordered: all that is in stock at first."""
        inventory: Any = self.config.roles["inventory"]
        return tuple(sorted(inventory.stock)) or DEFAULT_ITEMS

    def group(self, role: Literal["inventory", "analytics"]) -> MeasuredGroup:
        settings: Any = self.config.roles[role]
        return MeasuredGroup(self.config.kafka, settings.group, our_groups(self.config)[settings.group])

    def slowed_down(self, delay_s: float) -> "Environment":
        """The same, with an inventory that takes `delay_s` for each order."""
        return replace(self, config=_with_role(self.config, "inventory", processing_delay_s=delay_s))

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """Run these roles, by default all, without their output. Does nothing on a live system."""
        if self.system is None:
            yield
            return
        with redirect_stdout(io.StringIO()), self.system(*(names or ROLES), config=self.config):
            yield


def live_environment(config: Config, seed: int) -> Environment:
    """Raises BenchFailed if no system runs."""
    environment = Environment(config, f"bench-{secrets.token_hex(4)}", seed, None)
    if not listens(environment.endpoint):
        raise BenchFailed(
            f"no live system to measure: nothing listens at http://{environment.endpoint}. Probably it was "
            "not started, or uses another port. Start it, or leave out --live to have one started"
        )
    return environment


@contextmanager
def own_environment(config: Config, seed: int, system: System) -> Iterator[Environment]:
    """Removes its topics and groups however the block ends. Raises BrokerAway, NotRemoved, unless the block
    raised: then it raises that error, and logs what could not be removed."""
    run = f"bench-{secrets.token_hex(4)}"
    try:
        yield Environment(_own_config(config, f"{run}-"), run, seed, system)
    except BaseException:
        try:
            remove_all_named(config.kafka, f"{run}-")
        except (CampusError, KeyboardInterrupt) as error:
            reason = str(error) or "interrupted"
            log.warning("the topics and groups that begin with %s- could not be removed: %s", run, reason)
        raise
    remove_all_named(config.kafka, f"{run}-")


class BrokerProbe:
    """Notices that the broker is gone. A load would wait for its responses in vain."""

    def __init__(self, kafka: KafkaConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kafka, self._clock = kafka, clock
        self._answered_at_s = clock()

    def probe(self) -> None:
        """Raises BenchFailed if no broker has answered for AWAY_S."""
        if any(map(listens, self._kafka.addresses)):
            self._answered_at_s = self._clock()
        elif self._clock() - self._answered_at_s >= AWAY_S:
            raise BenchFailed(
                f"Kafka at {self._kafka.bootstrap_servers} went away while it was measured. Probably it was "
                "stopped, or it crashed. See its log, and run the test again"
            )


def _own_config(config: Config, prefix: str) -> Config:
    broker = config.broker.with_changes(mode="external")  # it runs already, and outlives every restart here
    own = config.with_changes(broker=broker, topics=config.topics.with_changes(prefix=prefix))
    own = _with_role(own, "inventory", group=f"{prefix}inventory")
    own = _with_role(own, "analytics", group=f"{prefix}analytics", report_every_s=NEVER_S)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # free for now; if it is taken first, the start of the role says so
    # The whole load comes from one address: a limit per address would be all that is measured.
    return _with_role(own, "producer", host="127.0.0.1", port=port, client_requests_per_s=None)


def _with_role(config: Config, name: str, **settings: Any) -> Config:
    return config.with_changes(roles={**config.roles, name: config.roles[name].with_changes(**settings)})
