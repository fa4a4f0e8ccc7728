"""A short run of Schemathesis; the long one is `python -m tests.attack --schema-cases 20000`."""

from pathlib import Path

from tests.attack.endpoint import Endpoint
from tests.attack.schema import examine

SEED = 7


def test_the_api_conforms_to_its_description(tmp_path: Path) -> None:
    endpoint = Endpoint(tmp_path)
    try:
        found = examine(
            endpoint.port,
            tmp_path,
            seed=SEED,
            cases_of_each=5,
            phases="examples,coverage,fuzzing",
            within_s=120,
        )
    finally:
        assert endpoint.close() == 0
    assert found.failures == 0, found.output
    assert found.cases > 400 and found.operations > 10
