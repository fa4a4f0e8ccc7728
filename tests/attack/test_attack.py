"""A short campaign; the long one is `python -m tests.attack --requests 100000`."""

from pathlib import Path

from tests.attack.campaign import KINDS, Campaign, attack_of
from tests.attack.endpoint import Endpoint

SEED = 2026
ATTACKS = 500


def test_a_short_campaign_finds_no_fault(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path)
    try:
        report = Campaign(endpoint).run(SEED, range(ATTACKS))
    finally:
        assert endpoint.close() == 0
    assert not report.faults, "\n".join(report.lines())
    assert report.attacks.keys() == {kind.__name__ for kind in KINDS}
    assert report.accepted > ATTACKS // 2


def test_the_same_seed_sends_the_same_bytes() -> None:
    assert [attack_of(SEED, n) for n in range(50)] == [attack_of(SEED, n) for n in range(50)]
    assert attack_of(SEED, 1).sent != attack_of(SEED + 1, 1).sent
