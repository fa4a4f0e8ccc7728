"""How hard Hypothesis tries, and the brokers of the tests that need a real Kafka.

Hypothesis tries new examples each time; in CI the same for the same commit; in a hunt, many.
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

# Without a deadline for a single example: a machine that is busy is no fault of ours.
settings.register_profile("anew", max_examples=150, deadline=None)
settings.register_profile("same", settings.get_profile("anew"), derandomize=True, print_blob=True)
settings.register_profile("hunt", settings.get_profile("anew"), max_examples=EXAMPLES, print_blob=True)
settings.load_profile("same" if "CI" in os.environ else "anew")


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
