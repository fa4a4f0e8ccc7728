"""A thousand random schedules without a violation; and that a seed reproduces its schedule exactly."""

import os
import re
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from campus.domain.events import CancelReason
from tests.simulation import mutants
from tests.simulation.faults import FAULTS
from tests.simulation.run import FailedSeed, run_seed
from tests.simulation.world import World

SCHEDULES, PARTS = 1000, 10
SAMPLE = 200  # schedules
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("part", range(PARTS))
def test_under_any_faults_every_order_is_decided_once_and_counted_once(part):
    each = SCHEDULES // PARTS
    for seed in range(part * each, (part + 1) * each):
        run_seed(seed)


def test_every_fault_of_the_table_happens_and_orders_are_still_decided():
    outcomes = [run_seed(seed) for seed in range(SCHEDULES, SCHEDULES + SAMPLE)]
    assert set().union(*(outcome.faults for outcome in outcomes)) == set(FAULTS)
    assert sum(outcome.decisions for outcome in outcomes) > 20 * SAMPLE


def test_cancellations_have_every_possible_outcome():
    cancels = Counter()
    for seed in range(SCHEDULES, SCHEDULES + SAMPLE):
        cancels.update(run_seed(seed).cancels)
    assert set(cancels) == {"released", *get_args(CancelReason)}
    assert min(cancels.values()) > SAMPLE // 10


def digest_of_all_records(seed):
    world = World(Random(seed)).run()
    topics = sorted(world.topics.records.items())
    return sha256(repr(topics).encode()).hexdigest()


def test_a_seed_gives_the_same_records_in_any_process():
    expected = digest_of_all_records(7)
    code = "from tests.simulation.test_simulation import digest_of_all_records as d; print(d(7))"
    child = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1234", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == expected
    assert digest_of_all_records(8) != expected


def test_a_failed_seed_prints_how_to_reproduce_it_and_fails_again(monkeypatch):
    mutants.does_not_check_append_offsets(monkeypatch)
    seed = next(seed for seed in range(100) if failure_of(seed))
    failure = failure_of(seed)
    assert re.search(f"SEED={seed} make simulate", failure)
    assert failure_of(seed) == failure


def failure_of(seed):
    try:
        run_seed(seed)
    except FailedSeed as failed:
        return str(failed)
    return None
