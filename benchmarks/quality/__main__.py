"""Measures what is learned and who is moved, against the bars the product sets itself.

Shops with known truth, populations without structure and real purchases, all through the replay with its shipped
defaults; beside it nightly RFM quintile rules, a nightly k-means, and what the product did before, on the same data.
Needs the yardstick folder (simulator, judge, data) beside the project; see CONTRIBUTING. Ends with status 1 if a bar is
missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.quality.datasets import EVERYWHERE, Bar, data_sets
from benchmarks.quality.judge import YARDSTICK
from benchmarks.quality.measuring import Measured, measure


def measure_one(name: str, seeds: Sequence[int], population_seed: int, with_rivals: bool) -> Measured:
    """Measure a data set in a folder of its own; runs in a process of its own as well."""
    warnings.filterwarnings("ignore", category=FutureWarning)
    with tempfile.TemporaryDirectory() as work:
        return measure(data_sets(seeds, population_seed)[name], Path(work), with_rivals=with_rivals)


def compare(measured: Measured, bars: Mapping[str, Bar]) -> dict[str, dict[str, Any]]:
    """Return each figure with its bar, whether that is met (None where there is none), and the rivals' figures.

    A figure that was not measured (None) neither meets nor misses its bar; one that is no number misses it, and is left
    out where it has none.
    """
    rows = {}
    for name in (*bars, *(name for name in measured.ours if name not in bars)):
        ours, bar = measured.ours.get(name), bars.get(name)
        if bar is None and ours is not None and math.isnan(ours):
            continue
        rows[name] = {
            "bar": f"{bar.direction} {bar.limit:g}" if bar else None,
            "ours": _number_or_none(ours),
            "met": bar.is_met(ours) if bar and ours is not None else None,
            "rivals": {rival: _number_or_none(figures.get(name)) for rival, figures in measured.rivals.items()},
        }
    return rows


def _number_or_none(figure: float | None) -> float | None:
    return None if figure is None or math.isnan(figure) else figure


def show(console: Console, title: str, measured: Measured, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print a data set's table."""
    table = Table(
        "figure", "bar", "ours", "", *measured.rivals, title=f"{title} ({measured.seconds:.0f} s)", title_justify="left"
    )
    verdicts = {True: "ok", False: "MISSED", None: ""}
    for name, row in rows.items():
        unknown = "not measured" if row["met"] is None and row["ours"] is None else "-"
        cells = [_text(figure) for figure in row["rivals"].values()]
        table.add_row(name, row["bar"] or "", _text(row["ours"]) or unknown, verdicts[row["met"]], *cells)
    console.print(table)
    for note in measured.notes:
        console.print(f"  {note}", markup=False)


def _text(figure: float | None) -> str:
    if figure is None:
        return ""
    return str(figure) if isinstance(figure, int) else f"{figure:.3f}"


def main() -> None:
    """Measure everything that was asked for."""
    parser = argparse.ArgumentParser(prog="make quality", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="data sets, seed-N for any N; all by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 11, 13], help="of the yardstick's shops")
    parser.add_argument("--population-seed", type=int, default=7, help="of the other simulated populations")
    parser.add_argument("--without-rivals", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="data sets measured at a time")
    options = parser.parse_args()
    if not YARDSTICK.is_dir():
        sys.exit(f"quality: {YARDSTICK}, expected a folder with simulator, judge and data; YARDSTICK may name another")
    asked = [int(match[1]) for name in options.only or () if (match := re.fullmatch(r"seed-(\d+)", name))]
    seeds = asked or options.seeds
    known = data_sets(seeds, options.population_seed)
    wanted = options.only or list(known)
    if unknown := sorted(set(wanted) - set(known)):
        parser.error(f"--only: {', '.join(unknown)}, expected some of {', '.join(known)}")
    began, missed, unmeasured, document = time.monotonic(), 0, 0, {}
    console = Console(width=132)
    with ProcessPoolExecutor(options.jobs) as pool:
        runs = {
            name: pool.submit(
                measure_one, name, seeds, options.population_seed, not options.without_rivals
            )
            for name in wanted
        }  # fmt: skip
        for name, run in runs.items():
            measured = run.result()
            rows = compare(measured, {**EVERYWHERE, **known[name].bars})
            show(console, name, measured, rows)
            missed += sum(row["met"] is False for row in rows.values())
            unmeasured += sum(row["met"] is None and row["bar"] is not None for row in rows.values())
            document[name] = {"seconds": round(measured.seconds, 1), "figures": rows, "notes": measured.notes}
    if options.json:
        options.json.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    verdict = f"{missed} bars missed" if missed else "no bar missed"
    print(f"{verdict}, {unmeasured} not measured, in {time.monotonic() - began:.0f} s")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
