"""Builds the system from the config and runs it: the broker, the topics, then the roles, in this order.

Each child starts when the one before it is ready; they stop in reverse. `run_until_stopped` serves the
command line, `running` gives a command the whole system for as long as it needs it.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

from campus.broker.data import Claim, Data
from campus.config.settings import Config
from campus.errors import CampusError
from campus.startup.broker import Broker
from campus.startup.topics import Topics
from campus.startup.welcome import Welcome
from campus.supervision.lifecycle import Child, ExitResult, Restart, RestartPolicy
from campus.supervision.registry import Registry
from campus.supervision.role import Health, Heartbeat
from campus.supervision.supervisor import Supervisor, install_signals


class SystemDidNotStart(CampusError):
    """The supervisor has already logged the reason."""

    def __init__(self, ending: ExitResult) -> None:
        self.exit_code = ending.exit_code
        super().__init__(ending.reason)


def system(config: Config, names: Iterable[str], role_modules: Mapping[str, Any]) -> list[Child]:
    """The children of the supervisor, in start order: the broker, the topics, the named roles."""
    shutdown_s = config.supervisor.shutdown_s
    registry = Registry()
    children = [
        Child("broker", partial(Broker, config, _claim(config)), shutdown_s=shutdown_s),
        Child("topics", partial(Topics, config), Restart.ONCE),
    ]
    for name in names:
        build = partial(role_modules[name].build, config.roles[name], config, registry)
        children.append(Child(name, build, shutdown_s=shutdown_s))
    return children


def broker_only(config: Config) -> list[Child]:
    """The embedded broker alone, for several processes to share."""
    embedded = config.with_changes(broker=config.broker.with_changes(mode="embedded"))
    return [Child("broker", partial(Broker, embedded, _claim(config)))]


def welcome(config: Config, names: Sequence[str], program: str) -> Child:
    """The last child: prints what to do next. `program`: how to call this program, for copying."""
    return Child("welcome", partial(Welcome, config, names, program), Restart.ONCE)


def run_until_stopped(children: Sequence[Child], config: Config) -> int:
    """Run the children until a signal or a fault ends them. Returns 0, or does not return."""
    commands: SimpleQueue[str] = SimpleQueue()
    install_signals(commands)
    ending = _supervisor(children, config, commands).run()
    if ending.exit_code != 0:
        # A thread that could not be stopped must not keep the process, nor crash in its last moments.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ending.exit_code)
    return 0


@contextmanager
def running(children: Sequence[Child], config: Config) -> Iterator[None]:
    """Run the children in the background for as long as the block lasts. Raises SystemDidNotStart."""
    commands: SimpleQueue[str] = SimpleQueue()
    up = threading.Event()
    endings: list[ExitResult] = []
    supervisor = _supervisor([*children, Child("up", partial(_Up, up), Restart.ONCE)], config, commands)
    thread = threading.Thread(target=lambda: endings.append(supervisor.run()), name="supervisor", daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not up.wait(0.1):
            pass
        if endings:
            raise SystemDidNotStart(endings[0])
        yield
    finally:
        commands.put("stop")
        try:
            thread.join()
        except KeyboardInterrupt:  # the children are stopping; what they stand on must outlive them
            thread.join()
            raise


def _claim(config: Config) -> Claim:
    """The right of this process to run a Kafka on the data folder, once it has taken it."""
    return Claim(Data(config.broker.data_dir))


def _supervisor(children: Sequence[Child], config: Config, commands: SimpleQueue[str]) -> Supervisor:
    settings = config.supervisor
    policy = RestartPolicy(
        max_restarts=settings.max_restarts,
        period_s=settings.period_s,
        backoff_first_s=settings.backoff_first_s,
        backoff_most_s=settings.backoff_most_s,
        stuck_s=settings.stuck_s,
    )
    return Supervisor(children, policy, shutdown_s=settings.shutdown_s, commands=commands)


class _Up:
    """The last child: it starts when all before it are ready, and sets `up`."""

    def __init__(self, up: threading.Event) -> None:
        self._up = up
        self._heartbeat = Heartbeat()

    def health(self) -> Health:
        return self._heartbeat.health()

    def run(self, _stop: threading.Event) -> None:
        self._up.set()
