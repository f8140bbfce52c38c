"""Replay one seed, or run many: `python -m tests.simulation.run --seed N -v`."""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable

from tests.simulation.simulation import Outcome, Simulation, Variant


def run_seed(seed: int, variant: Variant | None = None, tell: Callable[[str], None] | None = None) -> Outcome:
    """Run one seed; an error of the simulation itself is a breach too."""
    simulation = Simulation(seed, variant, tell)
    try:
        return simulation.run()
    except Exception:
        return Outcome(seed, [traceback.format_exc()], simulation.steps, simulation.loop.time(), simulation.figures)


def report(outcome: Outcome) -> str:
    """Return what came of a run, and how to see it again."""
    lines = [
        f"seed={outcome.seed}: {outcome.steps} steps in {outcome.seconds:.1f} s of virtual time, {outcome.figures}"
    ]
    if outcome.breaches:
        lines += [f"  {breach}" for breach in outcome.breaches]
        lines.append(f"  replay: python -m tests.simulation.run --seed {outcome.seed} -v")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first, or only, seed")
    parser.add_argument("--count", type=int, default=1, help="so many seeds")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every step")
    options = parser.parse_args()
    failed = 0
    began = time.process_time()
    for seed in range(options.seed, options.seed + options.count):
        outcome = run_seed(seed, tell=print if options.verbose else None)
        if outcome.breaches or options.count == 1:
            print(report(outcome))
        failed += bool(outcome.breaches)
    if options.count > 1:
        print(f"{failed} of {options.count} seeds failed; {time.process_time() - began:.1f} s of CPU")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
