"""What each rule of the protocol is good for: without it, a schedule goes wrong before long.

Some rules matter only where several things come together; they get a weather in which those are frequent.
"""

import pytest

from tests.simulation.mutants import MUTANTS
from tests.simulation.run import FailedSeed, run_seed

SEEDS_MOST = 500  # several times what it takes
WEATHER = {
    "keeps_its_name_over_a_restore": {"late": 0.3, "given_up": 0.8, "other_window": 0.5},
    "takes_the_window_from_its_config": {"paused": 0.05, "other_window": 0.5},
    "keeps_what_was_lost_and_came_back": {"paused": 0.15},
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_the_simulation_catches_an_owner_that(mutant, monkeypatch):
    mutant(monkeypatch)
    assert any(goes_wrong(seed, WEATHER.get(mutant.__name__)) for seed in range(SEEDS_MOST))


def goes_wrong(seed, odds):
    try:
        run_seed(seed, odds)
    except FailedSeed:
        return True
    return False
