"""Schedules by the thousand, each with what can go wrong in its own order; and that a seed says it all."""

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
SEEN_IN = 200  # schedules
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_goes_wrong_every_order_is_decided_once_and_counted_once(part):
    each = SCHEDULES // PARTS
    for seed in range(part * each, (part + 1) * each):
        run_seed(seed)


def test_every_fault_of_the_table_happens_and_orders_are_decided_all_the_same():
    told = [run_seed(seed) for seed in range(SCHEDULES, SCHEDULES + SEEN_IN)]
    assert set().union(*(one.faults for one in told)) == set(FAULTS)
    assert sum(one.decisions for one in told) > 20 * SEEN_IN


def test_orders_are_cancelled_in_every_way():
    told = Counter()
    for seed in range(SCHEDULES, SCHEDULES + SEEN_IN):
        told.update(run_seed(seed).cancels)
    assert set(told) == {"released", *get_args(CancelReason)}
    assert min(told.values()) > SEEN_IN // 10


def all_that_was_written(seed):
    world = World(Random(seed)).run()
    topics = sorted(world.topics.records.items())
    return sha256(repr(topics).encode()).hexdigest()


def test_the_same_seed_is_the_same_history_in_any_process():
    here = all_that_was_written(7)
    code = "from tests.simulation.test_simulation import all_that_was_written; print(all_that_was_written(7))"
    there = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1234", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here
    assert all_that_was_written(8) != here


def test_a_failed_seed_says_how_to_see_it_again_and_fails_again(monkeypatch):
    mutants.does_not_check_where_it_landed(monkeypatch)
    seed = next(seed for seed in range(100) if why_it_failed(seed))
    why = why_it_failed(seed)
    assert re.search(f"SEED={seed} make simulate", why)
    assert why_it_failed(seed) == why


def why_it_failed(seed):
    try:
        run_seed(seed)
    except FailedSeed as failed:
        return str(failed)
    return None
