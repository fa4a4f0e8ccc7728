"""Runs Schemathesis against the API's own description: all its checks, with valid and invalid data.

The cases follow from the seed. Any 503 is a failure, documented or not, because nothing overloads the server.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.api.serving import TOKEN
from tests.attack.endpoint import ROOT

CONFIG = f"""
[auth.openapi.token]
bearer = "{TOKEN}"

[checks.negative_data_rejection]
# A batch with an invalid order is 207, not 4xx: the other orders are placed.
expected-statuses = [207, 400, 401, 404, 405, 406, 411, 413, 415, 422, 431]

[[operations]]
include-method = "OPTIONS"
# OPTIONS accepts any text as a path parameter.
checks.negative_data_rejection.enabled = false
"""
PHASES = "examples,coverage,fuzzing,stateful"


@dataclass(frozen=True)
class Findings:
    cases: int
    operations: int
    failures: int
    output: str


def examine(
    port: int, folder: Path, *, seed: int, cases_of_each: int, phases: str = PHASES, within_s: float
) -> Findings:
    """`cases_of_each`: generated cases per operation; the coverage phase always runs all of its cases."""
    config, report = folder / "schemathesis.toml", folder / "schemathesis.json"
    config.write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--phases", phases),
        *("--seed", str(seed), "--max-examples", str(cases_of_each), "--continue-on-failure"),
        *("--report-json-path", str(report)),
        # With an example database a run would depend on earlier runs.
        *("--generation-database", ":memory:"),
    ]
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.attack.schema_hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=within_s,
    )
    assert report.exists(), ran.stdout + ran.stderr
    content = json.loads(report.read_text())
    assert content["complete"] and not content["errors"], ran.stdout
    cases = content["test_cases"]
    return Findings(cases["generated"], content["operations"]["tested"], cases["unique_failures"], ran.stdout)
