"""Tests the audit itself: a clean log has no violations, and each fault in each log is reported as its kind.

The logs are written by real owners (tests/audit/audited_logs.py), the faults are tables
(tests/audit/log_faults.py, tests/audit/cancel_faults.py).
"""

import random
from collections import Counter
from functools import cache

import pytest
from msgspec.structs import replace

from campus.analytics.metrics import OrderMetrics
from campus.audit.findings import Totals, ViolationKind
from campus.audit.kafka_logs import as_totals
from campus.domain.journal import JournalRule
from tests.audit import cancel_faults, log_faults
from tests.audit.audited_logs import EventfulShop, audited
from tests.audit.tampering import At, Tampered, entries_that_count
from tests.builders import PARTITIONS
from tests.simulation.memory_log import TOPICS, MemoryLog

FAULTS = [*log_faults.FAULTS, *cancel_faults.FAULTS]
SEEDS = range(200)


@cache
def a_clean_log(seed: int) -> MemoryLog:
    return EventfulShop(seed).history()


@cache
def its_entries(seed: int) -> list[At]:
    return entries_that_count(a_clean_log(seed))


def test_every_kind_of_violation_has_a_fault():
    assert {fault.kind for fault in FAULTS} == set(ViolationKind)


def test_a_clean_log_has_no_violations():
    for seed in SEEDS:
        findings = audited(a_clean_log(seed))
        assert findings.verdict == "clean", f"seed {seed}: {findings.violations_listed}"
        assert findings.undecided == 0, f"seed {seed}"


def what_analytics_counted(log: MemoryLog) -> dict[int, Totals]:
    """Folds the journal as analytics does."""
    counted = {}
    for partition in range(PARTITIONS):
        rule, metrics = JournalRule(), OrderMetrics()
        for event in rule.counting(log.at(TOPICS.journal_topic, partition)):
            metrics.apply(event)
        counted[partition] = as_totals(rule.seq, metrics)
    return counted


def what_analytics_miscounted(log: MemoryLog, seed: int) -> dict[int, Totals]:
    counted = what_analytics_counted(log)
    wrong = counted[seed % PARTITIONS]
    tamper = (
        lambda: replace(wrong, reserved=wrong.reserved + 1),
        lambda: replace(wrong, cancelled=wrong.cancelled + 1),
        lambda: replace(wrong, failed=wrong.failed + Counter(unknown_item=1)),
        lambda: replace(wrong, portions=wrong.portions + Counter(pizza=1)),
        lambda: replace(wrong, seq=wrong.seq + 1),
    )[seed // PARTITIONS % 5]
    return {**counted, seed % PARTITIONS: tamper()}


def test_right_counts_of_analytics_are_no_violation():
    for seed in SEEDS:
        log = a_clean_log(seed)
        assert audited(log, analytics=what_analytics_counted(log)).verdict == "clean", f"seed {seed}"


@pytest.mark.parametrize("kind", ViolationKind)
def test_in_every_log_a_fault_of_every_kind_is_caught(kind):
    """The faults of one kind take turns."""
    faults = [fault for fault in FAULTS if fault.kind is kind]
    for seed in SEEDS:
        fault = faults[seed % len(faults)]
        tampered = Tampered(a_clean_log(seed), its_entries(seed), random.Random(seed))
        fault.put_into(tampered)
        expected = ["never-placed"] if kind is ViolationKind.EXPECTED_MISSING else []
        counted = (
            what_analytics_miscounted(tampered.log, seed) if kind is ViolationKind.ANALYTICS_DIFFERS else {}
        )
        findings = audited(tampered.log, expected, counted)
        kinds = {violation.kind for violation in findings.violations_listed}
        assert kind in kinds, f"seed {seed}, {fault.name}: {findings.violations_listed}"
