"""`python -m tests.torture --kills 200 --seed 1`: strike until so many processes were killed, then report."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.torture.cluster import BLOWS, ChaosCluster


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill a campus under load, again and again, and audit it.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="campus-torture-") as folder:
        town = ChaosCluster(Path(folder), args.seed)
        try:
            while town.report.kills < args.kills:
                one = town.round(town.random.choice(BLOWS))
                print(
                    f"{time.monotonic() - began_s:7.0f} s  {town.report.kills:4} kills  "
                    f"{one.blow:<34} recovered after {one.recovery_s:5.1f} s",
                    flush=True,
                )
        except BaseException:
            for name, program in town.programs.items():
                print(f"--- {name}\n{program.output[-3000:]}", file=sys.stderr)
            print(f"failed with --seed {args.seed}, round {len(town.report.rounds) + 1}", file=sys.stderr)
            raise
        finally:
            town.close()
    print("\n".join(town.report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
