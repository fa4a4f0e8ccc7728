"""Runs one schedule from one seed, from its first turn to the checks at its end."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.simulation.judge import judge
from tests.simulation.world import Violation, World


class FailedSeed(AssertionError):
    def __init__(self, seed: int, error: Exception) -> None:
        super().__init__(f"seed {seed}: {error}. To see it turn by turn: SEED={seed} make simulate")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened in a schedule without violations."""

    decisions: int
    claims: int
    cancels: dict[str, int]  # "released", and each reason of a rejection
    faults: dict[str, int]


def run_seed(
    seed: int, odds: Mapping[str, float] | None = None, *, log: Callable[[str], None] | None = None
) -> Outcome:
    """Raises FailedSeed."""
    with _without_snapshot_warnings():
        try:
            world = World(Random(seed), odds, log).run()
            findings = judge(world)
        except Violation as error:
            raise FailedSeed(seed, error) from error
    cancels = {"released": findings.summed_totals().cancelled, **findings.not_cancelled}
    return Outcome(findings.decisions, findings.claims, cancels, dict(world.faults.occurred))


@contextmanager
def _without_snapshot_warnings() -> Iterator[None]:
    """Silences thousands of warnings about damaged snapshots."""
    logger = logging.getLogger("snapshots")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
