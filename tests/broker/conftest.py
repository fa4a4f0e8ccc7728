"""The brokers of the broker tests: one for all of them, and one of its own for a test that ends it."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.processes import Campus
from tests.broker.support import OneKafka, free_address


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OneKafka]:
    """One Kafka a test session: leave it running, and name what you make in it by `unique_prefix`."""
    yield from _running(tmp_path_factory.mktemp("kafka"))


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[OneKafka]:
    """A Kafka for one test, which may stop, kill and start it."""
    yield from _running(tmp_path / "own-broker")


@pytest.fixture
def unique_prefix() -> str:
    """For the names of topics and groups, so that no test meets another's."""
    return f"t{uuid.uuid4().hex[:12]}-"


@pytest.fixture
def campus(kafka: OneKafka, unique_prefix: str, tmp_path: Path) -> Iterator[Callable[..., Campus]]:
    """Makes one on the session's Kafka, or on the one that it is given; of these settings, by dotted key."""
    made: list[Campus] = []

    def make(settings: dict[str, Any] | None = None, *, on: OneKafka = kafka) -> Campus:
        folder = tmp_path / f"campus-{len(made)}"
        folder.mkdir()
        settings = {"broker.mode": "external", **(settings or {})}
        made.append(Campus(folder, settings, bootstrap_servers=on.bootstrap_servers, prefix=unique_prefix))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Campus]:
    """One with no Kafka yet, on data of its own: whatever needs a Kafka first starts it."""
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
