"""Every rule of the protocol is needed: without it, some schedule soon has a violation.

Some rules matter only when several faults coincide; their mutants run with odds that make these frequent.
"""

import pytest

from tests.simulation.mutants import MUTANTS, appends_again_after_a_failure
from tests.simulation.run import FailedSeed, run_seed

SEEDS_MAX = 1000  # several times as many as any mutant needs
HARMLESS_SEEDS = 100
ODDS = {
    "keeps_its_owner_id_over_a_restore": {"late": 0.3, "given_up": 0.8, "other_window": 0.5},
    "writes_side_outputs_after_the_entries": {"lost": 0.15, "late": 0.1},
    "takes_the_window_from_its_config": {"paused": 0.05, "other_window": 0.5},
    "keeps_partitions_that_were_lost_and_came_back": {"paused": 0.15},
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_simulation_catches_an_owner_that(mutant, monkeypatch):
    mutant(monkeypatch)
    assert any(has_violation(seed, ODDS.get(mutant.__name__)) for seed in range(SEEDS_MAX))


def test_appending_the_same_entries_again_after_a_failure_would_be_harmless(monkeypatch):
    appends_again_after_a_failure(monkeypatch)
    odds = {"lost": 0.1, "late": 0.2, "unacknowledged": 0.2, "in_two_batches": 0.2, "other_window": 0.4}
    assert not any(has_violation(seed, odds) for seed in range(HARMLESS_SEEDS))


def has_violation(seed, odds):
    try:
        run_seed(seed, odds)
    except FailedSeed:
        return True
    return False
