"""What each rule of the protocol is good for: without it, a schedule goes wrong before long.

Some rules matter only where several things come together; they get a weather in which those are frequent.
"""

import pytest

from tests.simulation.mutants import MUTANTS, appends_again_after_a_failure
from tests.simulation.run import FailedSeed, run_seed

SEEDS_MOST = 1000  # several times what it takes
HARMLESS_SEEDS = 100
WEATHER = {
    "keeps_its_name_over_a_restore": {"late": 0.3, "given_up": 0.8, "other_window": 0.5},
    "writes_side_outputs_after_the_entries": {"lost": 0.15, "late": 0.1},
    "takes_the_window_from_its_config": {"paused": 0.05, "other_window": 0.5},
    "keeps_what_was_lost_and_came_back": {"paused": 0.15},
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_simulation_catches_an_owner_that(mutant, monkeypatch):
    mutant(monkeypatch)
    assert any(goes_wrong(seed, WEATHER.get(mutant.__name__)) for seed in range(SEEDS_MOST))


def test_appending_the_very_same_entries_again_would_be_harmless(monkeypatch):
    appends_again_after_a_failure(monkeypatch)
    failures = {"lost": 0.1, "late": 0.2, "unacknowledged": 0.2, "in_rounds": 0.2, "other_window": 0.4}
    assert not any(goes_wrong(seed, failures) for seed in range(HARMLESS_SEEDS))


def goes_wrong(seed, odds):
    try:
        run_seed(seed, odds)
    except FailedSeed:
        return True
    return False
