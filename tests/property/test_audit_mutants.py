"""The audit is audited: no clean log is accused, and each fault is caught in each log, for what it is.

The logs are written by real owners (tests/audited_logs.py), the faults are a table (tests/log_faults.py).
"""

import random
from functools import cache

import pytest

from campus.domain.audit_findings import Kind
from tests.audited_logs import EventfulShop, audited
from tests.log_faults import FAULTS, At, Tampered, entries_that_count
from tests.simulation.memory_log import MemoryLog

SEEDS = range(200)


@cache
def a_clean_log(seed: int) -> MemoryLog:
    return EventfulShop(seed).history()


@cache
def its_entries(seed: int) -> list[At]:
    return entries_that_count(a_clean_log(seed))


def test_every_kind_of_violation_has_a_fault():
    assert {fault.kind for fault in FAULTS} == set(Kind)


def test_no_clean_log_is_accused():
    for seed in SEEDS:
        findings = audited(a_clean_log(seed))
        assert findings.verdict == "clean", f"seed {seed}: {findings.violations_listed}"
        assert findings.undecided == 0, f"seed {seed}"


@pytest.mark.parametrize("kind", Kind)
def test_in_every_log_a_fault_of_every_kind_is_caught(kind):
    """The faults of one kind take turns."""
    faults = [fault for fault in FAULTS if fault.kind is kind]
    for seed in SEEDS:
        fault = faults[seed % len(faults)]
        tampered = Tampered(a_clean_log(seed), its_entries(seed), random.Random(seed))
        fault.put_into(tampered)
        expected = ["never-placed"] if kind is Kind.EXPECTED_MISSING else []
        findings = audited(tampered.log, expected)
        kinds = {violation.kind for violation in findings.violations_listed}
        assert kind in kinds, f"seed {seed}, {fault.name}: {findings.violations_listed}"
