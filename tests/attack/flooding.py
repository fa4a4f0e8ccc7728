"""Runs the experiments of floods.py by name, each on its own Kafka, and yields lines to print."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.attack.floods import (
    HEADING,
    MakeCampus,
    above_the_cap,
    broker_away,
    half_sent,
    stopped_under_load,
)
from tests.support.kafka import OneKafka
from tests.support.processes import Campus

FLOODS = ("half", "away", "cap", "stop")
HALVES = 200
CONNECTIONS = 256
WAITING_MAX = 128  # less than CONNECTIONS, so that both kinds of refusal occur

numbers = count()


def flood(name: str, folder: Path, *, lasts_s: float, curve: Path | None) -> Iterator[str]:
    """The measurements, line by line. Raises AssertionError if a promise is broken."""
    yield f"── {name} " + "─" * 60
    with _kafka_for(folder / name) as (make, kafka):
        if name == "half":
            before, during = half_sent(make, kafka, lasts_s=lasts_s, halves=HALVES)
            yield from (HEADING, before.line(), during.line())
        elif name == "away":
            settings = {"roles.producer.waiting_orders_max": WAITING_MAX}
            away = broker_away(make, kafka, away_s=lasts_s, connections=CONNECTIONS, settings=settings)
            yield from away.lines()
            if curve:
                away.write_csv(curve)
        elif name == "cap":
            accepted, refused, kinds = above_the_cap(make, kafka, lasts_s=lasts_s, connections=CONNECTIONS)
            yield from (HEADING, accepted.line(), refused.line(), str(kinds))
        else:
            accepted_count, perhaps = stopped_under_load(make, kafka, connections=CONNECTIONS)
            yield f"{accepted_count:,} accepted, {perhaps} not acknowledged, and nothing else is in the log"


@contextmanager
def _kafka_for(folder: Path) -> Iterator[tuple[MakeCampus, OneKafka]]:
    """A Kafka, and a function that makes a campus on it; both are stopped afterwards."""
    folder.mkdir()
    kafka = OneKafka(folder / "kafka")
    kafka.start()
    made: list[Campus] = []

    def make(settings: Mapping[str, Any], *, on: OneKafka) -> Campus:
        campus_folder = folder / f"campus-{next(numbers)}"
        campus_folder.mkdir()
        settings = {"broker.mode": "external", **settings}
        made.append(Campus(campus_folder, settings, bootstrap_servers=on.bootstrap_servers))
        return made[-1]

    try:
        yield make, kafka
    finally:
        for one in made:
            one.close()
        kafka.stop()
