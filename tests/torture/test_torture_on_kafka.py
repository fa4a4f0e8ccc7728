"""The short torture: a few blows of each kind that matters most. The long one is `make torture`."""

from pathlib import Path

from tests.torture.cluster import BLOWS, ChaosCluster

SHORT = ("kill one inventory, take over", "kill Kafka and an inventory", "kill everything")
SEED = 20


def test_after_each_blow_under_load_the_audit_is_clean(tmp_path: Path) -> None:
    town = ChaosCluster(tmp_path, SEED)
    try:
        for blow in (blow for blow in BLOWS if blow.name in SHORT):
            town.round(blow)
        assert town.report.kills == 8
    finally:
        town.close()
