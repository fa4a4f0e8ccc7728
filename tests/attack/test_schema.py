"""The short examination by Schemathesis; the long one is `python -m tests.attack --schema-cases 20000`."""

from pathlib import Path

from tests.attack.door import Door
from tests.attack.schema import examine

SEED = 7


def test_the_api_keeps_what_its_description_promises(tmp_path: Path) -> None:
    door = Door(tmp_path)
    try:
        found = examine(
            door.port, tmp_path, seed=SEED, cases_of_each=5, phases="examples,coverage,fuzzing", within_s=120
        )
    finally:
        assert door.close() == 0
    assert found.failures == 0, found.says
    assert found.cases > 400 and found.operations > 10
