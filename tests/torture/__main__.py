"""`python -m tests.torture --kills 200 --seed 1`: inject faults until 200 processes are killed; report."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.cluster import FAULTS, ChaosCluster


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Kill processes of a campus under load, and audit it after each fault."
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campus-torture-") as folder:
        cluster = ChaosCluster(Path(folder), args.seed)
        try:
            while cluster.report.kills < args.kills:
                round_ = cluster.round(cluster.random.choice(FAULTS))
                print(
                    f"{time.monotonic() - began_s:7.0f} s  {cluster.report.kills:4} kills  "
                    f"{round_.fault:<34} recovered after {round_.recovery_s:5.1f} s",
                    flush=True,
                )
        except BaseException:
            for name, program in cluster.programs.items():
                print(f"--- {name}\n{program.output[-3000:]}", file=sys.stderr)
            print(f"failed with --seed {args.seed}, round {len(cluster.report.rounds) + 1}", file=sys.stderr)
            raise
        finally:
            cluster.close()
    print("\n".join(cluster.report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
