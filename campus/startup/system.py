"""Builds the system from the config and runs it: the broker, the topics, then the roles, in this order.

Each child starts when the one before it is ready; they stop in reverse. `run_until_stopped` is for the
command line, `running` gives a command the whole system for the duration of a block.
"""

import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any

from campus.broker.data import DataFolderLock
from campus.config.settings import Config
from campus.errors import CampusError
from campus.startup.broker import Broker
from campus.startup.topics import create_topics
from campus.supervision.lifecycle import Child, ExitResult, Restart, RestartPolicy
from campus.supervision.registry import Registry
from campus.supervision.role import OneStep
from campus.supervision.supervisor import STOP, Supervisor, install_signals

EXAMPLE_ORDER = '{"user_id": "ana", "item": "pizza", "quantity": 2}'


class SystemDidNotStart(CampusError):
    """The supervisor has already logged the reason."""

    def __init__(self, result: ExitResult) -> None:
        self.exit_code = result.exit_code
        super().__init__(result.reason)


def system(config: Config, names: Iterable[str], role_modules: Mapping[str, Any]) -> list[Child]:
    """The children of the supervisor, in start order: the broker, the topics, the named roles."""
    shutdown_s = config.supervisor.shutdown_s
    registry = Registry()
    lock = DataFolderLock(config.broker.data_dir)
    children = [
        Child("broker", partial(Broker, config, lock), shutdown_s=shutdown_s),
        Child("topics", partial(OneStep, partial(create_topics, config)), Restart.ON_CRASH),
    ]
    for name in names:
        build = partial(role_modules[name].build, config.roles[name], config, registry)
        children.append(Child(name, build, shutdown_s=shutdown_s))
    return children


def broker_only(config: Config) -> list[Child]:
    """The embedded broker alone, for several processes to share."""
    embedded = config.with_changes(broker=config.broker.with_changes(mode="embedded"))
    return [Child("broker", partial(Broker, embedded, DataFolderLock(config.broker.data_dir)))]


def welcome(config: Config, names: Sequence[str], program: str) -> Child:
    """The last child: prints what runs, and what to type next. `program`: how to call this program."""
    lines = [f"CampusKafka is up: {', '.join(names)}, on Kafka at {config.kafka.bootstrap_servers}"]
    if "producer" in names:
        producer: Any = config.roles["producer"]
        lines += [
            "",
            f"  place an order:       {program} order pizza 2 --user ana",
            f"  one that must fail:   {program} order pizza 5000",
        ]
        if producer.port:
            url = f"http://{producer.host}:{producer.port}/order"
            curl = f"curl {url} -H 'Content-Type: application/json' -d '{EXAMPLE_ORDER}'"
            lines.append(f"  the same with curl:   {curl}")
    text = "\n".join(["", *lines, "  stop:                 Ctrl-C", ""])
    return Child("welcome", partial(OneStep, lambda *_: print(text, flush=True)), Restart.ON_CRASH)


def run_until_stopped(children: Sequence[Child], config: Config) -> int:
    """Run the children until a signal or a fault ends them. Returns 0, or exits the process."""
    commands: SimpleQueue[str] = SimpleQueue()
    install_signals(commands)
    result = _supervisor(children, config, commands).run()
    if result.exit_code != 0:
        # A thread that did not stop must not keep the process alive, nor crash during an ordinary exit.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(result.exit_code)
    return 0


@contextmanager
def running(children: Sequence[Child], config: Config) -> Iterator[None]:
    """Run the children in the background for the duration of the block. Raises SystemDidNotStart."""
    commands: SimpleQueue[str] = SimpleQueue()
    is_up = threading.Event()  # set by a last child, which starts when all before it are ready
    last = Child("up", partial(OneStep, lambda *_: is_up.set()), Restart.ON_CRASH)
    results: list[ExitResult] = []
    supervisor = _supervisor([*children, last], config, commands)
    thread = threading.Thread(target=lambda: results.append(supervisor.run()), name="supervisor", daemon=True)
    thread.start()
    try:
        while thread.is_alive() and not is_up.wait(0.1):
            pass
        if results:
            raise SystemDidNotStart(results[0])
        yield
    finally:
        commands.put(STOP)
        try:
            thread.join()
        except KeyboardInterrupt:  # the children are stopping: keep alive what they still use
            thread.join()
            raise


def _supervisor(children: Sequence[Child], config: Config, commands: SimpleQueue[str]) -> Supervisor:
    settings = config.supervisor
    policy = RestartPolicy(**settings.model_dump(exclude={"shutdown_s"}))
    return Supervisor(children, policy, shutdown_s=settings.shutdown_s, commands=commands)
