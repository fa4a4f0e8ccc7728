"""The long attack runs: `python -m tests.attack --requests 100000`, `--schema-cases 20000`, `--flood all`.

--requests N       N connections, each with a hostile request, against the producer alone
--real             the same against all roles on a real Kafka; the log is audited at the end
--only N           repeat only the attack with that index
--schema-cases N   about N cases of Schemathesis
--flood NAME       half, away, cap, stop or all; --for S seconds each, --csv FILE for the curve of away
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.attack.campaign import Campaign, Target
from tests.attack.endpoint import Endpoint
from tests.attack.flooding import FLOODS, flood
from tests.attack.real_endpoint import RealEndpoint
from tests.attack.schema import examine

DRAWN_OPERATIONS = 13  # those with something to generate; they share the cases
SCHEMA_CASE_S = 1.0  # timeout per case


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="tests.attack", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--real", action="store_true")
    parser.add_argument("--only", type=int)
    parser.add_argument("--schema-cases", type=int, default=0)
    parser.add_argument("--flood", choices=[*FLOODS, "all"])
    parser.add_argument("--for", type=float, default=60.0, dest="lasts_s")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="campus-attack-") as name:
        folder = Path(name)
        if args.requests or args.only is not None:
            indexes = range(args.requests) if args.only is None else range(args.only, args.only + 1)
            faults += _attack(folder, args.seed, indexes, real=args.real)
        if args.schema_cases:
            faults += _examine(folder, args.seed, args.schema_cases)
        for flooding in FLOODS if args.flood == "all" else filter(None, [args.flood]):
            _log(*flood(flooding, folder, lasts_s=args.lasts_s, curve=args.csv))
    return 1 if faults else 0


def _attack(folder: Path, seed: int, indexes: range, *, real: bool) -> int:
    with _opened(folder / "attack", real=real) as target:
        report = Campaign(target, log=_log).run(seed, indexes)
    _log(*report.lines())
    return len(report.faults)


def _examine(folder: Path, seed: int, cases: int) -> int:
    (folder / "schema").mkdir()
    endpoint = Endpoint(folder / "schema")
    try:
        each = cases // DRAWN_OPERATIONS
        found = examine(endpoint.port, folder, seed=seed, cases_of_each=each, within_s=cases * SCHEMA_CASE_S)
    finally:
        endpoint.close()
    _log(found.output, f"{found.cases:,} cases of {found.operations} operations, {found.failures} failures")
    return found.failures


@contextmanager
def _opened(folder: Path, *, real: bool) -> Iterator[Target]:
    folder.mkdir()
    endpoint = RealEndpoint(folder) if real else Endpoint(folder)
    try:
        yield endpoint
    finally:
        endpoint.close()


def _log(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
