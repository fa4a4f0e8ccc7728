"""One schedule from one seed, from its first turn to its verdict."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from tests.simulation.judge import judge
from tests.simulation.world import Violation, World


class FailedSeed(AssertionError):
    def __init__(self, seed: int, why: Exception) -> None:
        super().__init__(f"seed {seed}: {why}. See it again, turn by turn: SEED={seed} make simulate")


@dataclass(frozen=True, slots=True)
class Told:
    """What happened in a schedule that ended well."""

    decisions: int
    claims: int
    cancels: dict[str, int]  # released, and rejected by reason
    faults: dict[str, int]


def run_seed(
    seed: int, odds: Mapping[str, float] | None = None, *, log: Callable[[str], None] | None = None
) -> Told:
    """Raises FailedSeed."""
    with _silence():
        try:
            world = World(Random(seed), odds, log).run()
            findings = judge(world)
        except Violation as why:
            raise FailedSeed(seed, why) from why
    cancels = {"released": findings.summed_totals().cancelled, **findings.not_cancelled}
    return Told(findings.decisions, findings.claims, cancels, dict(world.weather.met))


@contextmanager
def _silence() -> Iterator[None]:
    """Damaged snapshots are warned of, thousands of times."""
    logger = logging.getLogger("snapshots")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
