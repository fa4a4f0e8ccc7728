"""Schemathesis against the API's own description: every check that it has, on good data and on bad.

What it draws follows from the seed. A 503 is a failure here, documented or not: nothing overloads the server.
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
# A batch with a bad order in it is no bad request: the others are placed.
expected-statuses = [207, 400, 401, 404, 405, 406, 411, 413, 415, 422, 431]

[[operations]]
include-method = "OPTIONS"
# It asks what a path takes, whatever stands at the places of its parameters.
checks.negative_data_rejection.enabled = false
"""
PHASES = "examples,coverage,fuzzing,stateful"


@dataclass(frozen=True)
class Findings:
    cases: int
    operations: int
    failures: int
    says: str  # all that it printed


def examine(
    port: int, folder: Path, *, seed: int, cases_of_each: int, phases: str = PHASES, within_s: float
) -> Findings:
    """`cases_of_each` operation that it draws; the cases of its coverage phase are always all of them."""
    config, report = folder / "schemathesis.toml", folder / "schemathesis.json"
    config.write_text(CONFIG)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--phases", phases),
        *("--seed", str(seed), "--max-examples", str(cases_of_each), "--continue-on-failure"),
        *("--report-json-path", str(report)),
        # Its example database would make a run depend on the ones before it.
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
    told = json.loads(report.read_text())
    assert told["complete"] and not told["errors"], ran.stdout
    cases = told["test_cases"]
    return Findings(cases["generated"], told["operations"]["tested"], cases["unique_failures"], ran.stdout)
