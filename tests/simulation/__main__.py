"""Runs many schedules: `python -m tests.simulation`, or `make simulate`.

SEEDS=100000   the number of schedules; default 10,000
FIRST=5000     the first seed
SEED=4711      only this seed, printed turn by turn
JOBS=2         the number of processes; default one per core
"""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from tests.simulation.run import FailedSeed, run_seed

SEEDS_DEFAULT = 10_000
SEEDS_AT_ONCE = 250


def main() -> int:
    if seed := os.environ.get("SEED"):
        return show(int(seed))
    return simulate(
        first=int(os.environ.get("FIRST") or 0),
        seeds=int(os.environ.get("SEEDS") or SEEDS_DEFAULT),
        jobs=int(os.environ.get("JOBS") or os.cpu_count() or 1),
    )


def show(seed: int) -> int:
    try:
        outcome = run_seed(seed, log=print)
    except FailedSeed as failed:
        print(failed)
        return 1
    print(f"seed {seed}: no violation, {outcome.decisions} decisions under {outcome.claims} claims")
    return 0


def simulate(first: int, seeds: int, jobs: int) -> int:
    began_at, done, failed = time.monotonic(), 0, []
    decisions, faults = 0, Counter()
    starts = range(first, first + seeds, SEEDS_AT_ONCE)
    with ProcessPoolExecutor(jobs) as processes:
        for part in processes.map(partial(SeedRange, end=first + seeds), starts):
            done += part.schedules
            decisions += part.decisions
            faults.update(part.faults)
            failed += part.failed
            for failure in part.failed:
                print(f"\n{failure}")
            rate = done / (time.monotonic() - began_at) * 60
            print(f"\r{done:,} schedules, {rate:,.0f} a minute, {len(failed)} failed", end="", flush=True)
    print(
        f"\n{decisions:,} decisions; faults: "
        + ", ".join(f"{n:,} {name}" for name, n in sorted(faults.items()))
    )
    return 1 if failed else 0


class SeedRange:
    """The results of the seeds from `start` on; runs in a worker process."""

    def __init__(self, start: int, end: int) -> None:
        self.schedules, self.decisions = 0, 0
        self.faults: Counter[str] = Counter()
        self.failed: list[str] = []
        for seed in range(start, min(start + SEEDS_AT_ONCE, end)):
            self.schedules += 1
            try:
                outcome = run_seed(seed)
            except FailedSeed as failed:
                self.failed.append(str(failed))
            else:
                self.decisions += outcome.decisions
                self.faults.update(outcome.faults)


if __name__ == "__main__":
    sys.exit(main())
