"""Where it is measured: on topics and groups of the run's own, or on the system that runs, as it is.

A ground of one's own is a copy of the config under a prefix drawn for the run, with a free port; the user's
topics, groups and port are not touched, and when the run is over, nothing of it is left.
"""

import contextlib
import io
import logging
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from campus.addresses import Address, listens
from campus.bench.load_process import BenchFailed
from campus.bench.orders import Wishes
from campus.config.settings import Config, KafkaConfig
from campus.errors import CampusError
from campus.kafka.removal import remove_all_named

System = Callable[..., AbstractContextManager[None]]  # Context.system
ITEMS = ("pizza", "burger", "salad", "sandwich")  # of a config without a stock
ROLES = ("analytics", "inventory", "book", "producer")  # in the order in which they start
NEVER_S = 86_400.0
LOOK_EVERY_S = 1.0
AWAY_S = 5.0  # then it was no short restart, and nothing that is measured after it is worth its time

log = logging.getLogger("bench")


@dataclass(frozen=True, slots=True)
class Ground:
    """`system`: runs roles of this config in this process; None of a system that runs elsewhere."""

    config: Config
    run: str
    system: System | None

    @property
    def is_live(self) -> bool:
        return self.system is None

    @property
    def described(self) -> str:
        own = f"topics and groups of its own ({self.config.topics.prefix}…), removed afterwards"
        return f"the system that runs at http://{self.endpoint}" if self.is_live else own

    @property
    def endpoint(self) -> Address:
        producer: Any = self.config.roles["producer"]
        return Address(producer.host, producer.port)

    @property
    def delay_s(self) -> float:
        inventory: Any = self.config.roles["inventory"]
        return float(inventory.processing_delay_s)

    def group(self, role: str) -> str:
        settings: Any = self.config.roles[role]
        return str(settings.group)

    def wishes(self, seed: int) -> Wishes:
        stock: Any = getattr(self.config.roles["inventory"], "stock", {})
        return Wishes(run=self.run, items=tuple(sorted(stock)) or ITEMS, seed=seed)

    def slowed_down(self, delay_s: float) -> "Ground":
        """The same with an inventory that takes so long for each order."""
        return replace(self, config=_with_role(self.config, "inventory", processing_delay_s=delay_s))

    @contextmanager
    def running(self, *names: str) -> Iterator[None]:
        """The whole system, or the roles that are named, for as long as the block lasts, unless it is live.

        What the roles print is for whoever runs them, not for whoever measures them.
        """
        if self.system is None:
            yield
            return
        chosen = names or tuple(name for name in ROLES if name in self.config.roles)
        with contextlib.redirect_stdout(io.StringIO()), self.system(*chosen, config=self.config):
            yield


def live_ground(config: Config) -> Ground:
    """Raises BenchFailed if no system runs."""
    ground = Ground(config, f"bench-{secrets.token_hex(4)}", None)
    if not listens(ground.endpoint):
        raise BenchFailed(
            f"nothing takes orders at http://{ground.endpoint}, so there is nothing to measure. Probably it "
            "was not started, or has another port. Start it, or leave --live out to have one started"
        )
    return ground


@contextmanager
def own_ground(config: Config, system: System) -> Iterator[Ground]:
    """For as long as the block lasts; whatever ends it, topics and groups are gone afterwards.

    Raises BrokerAway, NotRemoved; where something else has ended the block, that, and says what is left.
    """
    run = f"bench-{secrets.token_hex(4)}"
    ground = Ground(_own_config(config, f"{run}-"), run, system)
    try:
        yield ground
    except BaseException:
        try:
            remove_all_named(config.kafka, f"{run}-")
        except (CampusError, KeyboardInterrupt) as fault:
            why = str(fault) or "it was interrupted"
            log.warning("the topics and groups that begin with %s- could not be removed: %s", run, why)
        raise
    remove_all_named(config.kafka, f"{run}-")


class BrokerWatch:
    """Notices that there is no broker any more: a load would wait for each of its answers in vain."""

    def __init__(self, kafka: KafkaConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._kafka, self._clock = kafka, clock
        self._there_at_s = self._looked_at_s = clock()

    def look_if_due(self) -> None:
        """Raises BenchFailed."""
        now_s = self._clock()
        if now_s - self._looked_at_s < LOOK_EVERY_S:
            return
        self._looked_at_s = now_s
        if any(map(listens, self._kafka.addresses)):
            self._there_at_s = now_s
        elif now_s - self._there_at_s >= AWAY_S:
            raise BenchFailed(
                f"Kafka at {self._kafka.bootstrap_servers} went away while it was measured. Probably it was "
                "stopped, or has crashed: see its log, and start again"
            )


def _own_config(config: Config, prefix: str) -> Config:
    """Of a broker that is there: whoever measures keeps it running over all starts and stops."""
    own = config.with_changes(
        broker=config.broker.with_changes(mode="external"),
        topics=config.topics.with_changes(prefix=prefix),
    )
    for name in ("inventory", "analytics"):
        own = _with_role(own, name, group=f"{prefix}{name}")
    own = _with_role(own, "analytics", report_every_s=NEVER_S)
    # All the load comes from one address: a limit by address would be all that is measured.
    return _with_role(own, "producer", host="127.0.0.1", port=_free_port(), client_requests_per_s=None)


def _with_role(config: Config, name: str, **settings: Any) -> Config:
    return config.with_changes(roles={**config.roles, name: config.roles[name].with_changes(**settings)})


def _free_port() -> int:
    """Free a moment ago; the role says so if somebody was quicker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
