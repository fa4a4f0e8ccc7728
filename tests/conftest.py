"""Hypothesis profiles, and the fixtures of the tests that need a real Kafka.

Hypothesis draws new examples in each run, the same ones per commit in CI, and many with `make hunt`.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.support.kafka import OneKafka, free_address
from tests.support.processes import Campus

EXAMPLES = int(os.environ.get("EXAMPLES", "5000"))

# No deadline per example, since the machine may be busy.
settings.register_profile("anew", max_examples=150, deadline=None)
settings.register_profile("same", settings.get_profile("anew"), derandomize=True, print_blob=True)
settings.register_profile("hunt", settings.get_profile("anew"), max_examples=EXAMPLES, print_blob=True)
settings.load_profile("same" if "CI" in os.environ else "anew")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneKafka]:
    """One Kafka per test session: do not stop it, and begin all names in it with `unique_prefix`."""
    yield from _running(tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OneKafka]:
    """A Kafka for one test, which may stop, kill and restart it."""
    yield from _running(tmp_path / "own-broker")


@pytest.fixture
def unique_prefix() -> str:
    """A prefix for topics and groups, so that tests do not share them."""
    return f"t{uuid.uuid4().hex[:12]}-"


@pytest.fixture
def campus(kafka: OneKafka, unique_prefix: str, tmp_path: Path) -> Iterator[Callable[..., Campus]]:
    """Creates a Campus on the session's Kafka, or on the given one, with settings by dotted key."""
    made: list[Campus] = []

    def make(settings: dict[str, Any] | None = None, *, on: OneKafka = kafka) -> Campus:
        folder = tmp_path / f"campus-{len(made)}"
        folder.mkdir()
        settings = {"broker.mode": "external", **(settings or {})}
        made.append(Campus(folder, settings, bootstrap_servers=on.bootstrap_servers, prefix=unique_prefix))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Campus]:
    """A Campus without a Kafka, on its own data: the first program that needs a Kafka starts it."""
    made = Campus(tmp_path, {}, bootstrap_servers=str(free_address()))
    yield made
    made.close()


def _running(folder: Path) -> Iterator[OneKafka]:
    broker = OneKafka(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
