"""The brokers of the broker tests: one for all of them, and one of its own for a test that ends it."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker.support import OneKafka


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


def _running(folder: Path) -> Iterator[OneKafka]:
    broker = OneKafka(folder)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
