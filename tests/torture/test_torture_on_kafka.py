"""The short torture test: one round of the most important faults. The long one is `make torture`."""

from pathlib import Path

from tests.torture.cluster import FAULTS, ChaosCluster

SHORT = ("kill one inventory, take over", "kill Kafka and an inventory", "kill everything")
SEED = 20


def test_after_each_fault_under_load_the_audit_is_clean(tmp_path: Path) -> None:
    cluster = ChaosCluster(tmp_path, SEED)
    try:
        for fault in (fault for fault in FAULTS if fault.name in SHORT):
            cluster.round(fault)
        assert cluster.report.kills == 8
    finally:
        cluster.close()
