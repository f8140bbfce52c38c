"""Runs the scenarios of a folder through the embedded runtime and prints a line for each (`make scenarios`).

Ends with status 1 if one does not come out as expected.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tests.scenarios.notation import DATA, NotSupported, read_scenarios
from tests.scenarios.playing import judge


def line_of(document: dict[str, Any]) -> tuple[bool, str]:
    """Return whether a scenario may pass, and what there is to say of it."""
    head = f"{document['id']:<5} {document.get('title', '')}"
    try:
        verdict = judge(document)
    except NotSupported as reason:
        return True, f"skipped  {head}: {reason}"
    if not verdict.complaints:
        expectations = len(verdict.scenario.expectations)
        return True, f"passed   {head}: {len(verdict.moves)} moves, {expectations} expectations"
    return False, "\n".join([f"FAILED   {head}", *(f"           {complaint}" for complaint in verdict.complaints)])


def main() -> None:
    """Run them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=DATA, help="holds .json files of scenarios")
    options = parser.parse_args()
    results = [line_of(document) for document in read_scenarios(options.folder)]
    for _, line in results:
        print(line)
    failed = sum(not passed for passed, _ in results)
    skipped = sum(line.startswith("skipped") for _, line in results)
    print(f"{len(results) - failed - skipped} passed, {skipped} skipped, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
