"""Replay one seed, or run many: `python -m tests.simulation.run --seed N -v`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.simulation import Simulation


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first, or only, seed")
    parser.add_argument("--count", type=int, default=1, help="so many seeds")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every step")
    options = parser.parse_args()
    failed = 0
    began = time.process_time()
    for seed in range(options.seed, options.seed + options.count):
        outcome = Simulation(seed, tell=print if options.verbose else None).run()
        if outcome.breaches or options.count == 1:
            print(f"seed={seed}: {outcome.steps} steps, {outcome.seconds:.1f} s, {outcome.figures}")
        for breach in outcome.breaches:
            print(f"  {breach}")
        failed += bool(outcome.breaches)
    print(f"{failed} of {options.count} seeds failed; {time.process_time() - began:.1f} s of CPU")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
