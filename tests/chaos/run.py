"""`make chaos`: all faults, with real workers and a real broker; prints a table and fails if one has done harm."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tests.chaos.fleet import clean_environment
from tests.chaos.scenarios import SCENARIOS, play
from tests.chaos.segmentations import NAMES
from tests.chaos.stage import Outcome
from tests.support.kafka import KafkaBroker

HEADER: Final = (
    "scenario",
    "faults",
    "records",
    "letters",
    "migrations",
    "lost",
    "twice",
    "m.missing",
    "m.twice",
    "two meanings",
    "versions",
    "moving s",
    "rate kept (of a backlog)",
    "view s",
    "verify",
    "exits",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the input and of who is hit (default 0)")
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME", help=", ".join(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="as often as tests do it, whatever time it takes")
    parser.add_argument("--keep", type=Path, help="folder for logs (default: a temporary one, kept if something fails)")
    options = parser.parse_args()
    clean_environment()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="segmenter-chaos-"))
    outcomes = []
    started = time.monotonic()
    with ExitStack() as opened:
        shared: KafkaBroker | None = None
        for name in options.only or SCENARIOS:
            scenario = SCENARIOS[name]
            if options.short and not scenario.short:
                continue
            if shared is None and not scenario.has_own_broker:
                shared = opened.enter_context(KafkaBroker(folder / "kafka"))
            address = None if scenario.has_own_broker or shared is None else shared.bootstrap_servers
            outcomes.append(_play(name, options.seed, folder / name, address, options.short))
    failed = [outcome for outcome in outcomes if outcome.problems]
    _table(outcomes)
    print(f"\nseed {options.seed}: {len(outcomes) - len(failed)} of {len(outcomes)} survived", end="")
    print(f" in {time.monotonic() - started:.0f} s", end="")
    if failed or options.keep:
        print(f"; logs in {folder}")
    else:
        print()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(failed))


def _play(name: str, seed: int, folder: Path, bootstrap_servers: str | None, is_short: bool) -> Outcome:
    print(f"{name} …", flush=True)
    outcome = play(name, seed, folder, bootstrap_servers, is_short=is_short)
    for note in outcome.notes:
        print(f"    {note}")
    for problem in outcome.problems:
        print(f"    PROBLEM {problem}")
    print(f"    {'FAILED' if outcome.problems else 'survived'} after {outcome.seconds:.0f} s", flush=True)
    return outcome


def _table(outcomes: list[Outcome]) -> None:
    rows = [HEADER, *(_row(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    print(f"\nfigures with slashes are of the segmentations {' / '.join(NAMES)}")
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(outcome: Outcome) -> tuple[str, ...]:
    seen = outcome.evidence
    return (
        outcome.name,
        ", ".join(f"{count} × {fault}" for fault, count in outcome.faults.items()),
        f"{outcome.records:,}",
        f"{seen.dead_letters:,}",
        _each(outcome, "migrations"),
        str(seen.lost),
        str(seen.doubled),
        _each(outcome, "missing_migrations"),
        _each(outcome, "repeated_migrations"),
        _each(outcome, "ambiguous_numbers"),
        _each(outcome, "versions"),
        f"{outcome.longest_seconds:.1f}",
        "" if outcome.rate_kept is None else f"{outcome.rate_kept:.2f} ({outcome.backlog_rate_kept:.2f})",
        "" if outcome.view_seconds is None else f"{outcome.view_seconds:.1f}",
        outcome.verdict if outcome.verdict in ("clean", "not reached") else "BREACHES",
        ", ".join(f"{count} × {code}" for code, count in sorted(outcome.exits.items())),
    )


def _each(outcome: Outcome, figure: str) -> str:
    """Return a figure of every segmentation, in the order of the configuration."""
    return " / ".join(f"{getattr(seen, figure):,}" for seen in outcome.evidence.segmentations.values())


if __name__ == "__main__":
    main()
