"""The audit is audited: no clean log is accused, and each fault is caught in each log, for what it is.

The logs are written by real owners (tests/audited_logs.py), the faults are a table (tests/log_faults.py).
"""

import random
from functools import lru_cache

import pytest

from campus.domain.audit_findings import Kind
from tests.audited_logs import EventfulShop, audited
from tests.log_faults import FAULTS, Tampered
from tests.simulation.memory_log import MemoryLog

SEEDS = range(200)


@lru_cache(maxsize=None)
def a_clean_log(seed: int) -> MemoryLog:
    return EventfulShop(seed).history()


def test_every_kind_of_violation_has_a_fault():
    assert {fault.kind for fault in FAULTS} == set(Kind)


def test_no_clean_log_is_accused():
    for seed in SEEDS:
        findings = audited(a_clean_log(seed))
        assert findings.verdict == "clean", f"seed {seed}: {findings.violations_listed}"
        assert findings.undecided == 0, f"seed {seed}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught(fault):
    for seed in SEEDS:
        tampered = Tampered(a_clean_log(seed), random.Random(seed))
        fault.put_into(tampered)
        expected = ["never-placed"] if fault.kind is Kind.EXPECTED_MISSING else []
        findings = audited(tampered.log, expected)
        kinds = {violation.kind for violation in findings.violations_listed}
        assert fault.kind in kinds, f"seed {seed}: {findings.violations_listed}"
