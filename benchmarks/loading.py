"""Measures the loading of files, beside DuckDB and pandas reading and sorting the same rows in memory.

Ours does more: it names every row, reads times and amounts as exports write them, and writes a line of JSON that keeps
the contract. The goal is a ratio to DuckDB alone. Every side runs in a process of its own, so that its greatest memory
is its own but for what imports take; ratios are of processor time, best of the rounds, the sides alternating.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import pandas as pd

from stream_app.sources.forms import look_at
from stream_app.sources.generic import Given, generic_source
from stream_app.sources.inputs import InputFile, LoadingOptions
from stream_app.sources.loading import Loading

GOAL_RATIO = 3.0
MEMORY_MIB_MAX = 1024
ROUNDS = 3
FORMS = ("csv", "parquet")
SIDES = ("ours", "duckdb", "pandas")


def write_rows(folder: Path, rows: int) -> None:
    """Write the same purchases as CSV and as Parquet, in no order of time."""
    shuffled = f"""
        SELECT 'e' || n AS event_id, 'o' || n AS order_id, 'c' || hash(n) % {max(rows // 10, 1)} AS customer_id,
            strftime(make_timestamp((1704067200000 + (hash(n * 7)::UHUGEINT % 25920000000)::BIGINT) * 1000),
                '%Y-%m-%dT%H:%M:%S.%gZ') AS occurred_at,
            ((hash(n * 3) % 20000) / 100)::DECIMAL(10, 2)::VARCHAR AS total, 'order_completed' AS type
        FROM range({rows}) AS t(n)"""
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({shuffled}) TO '{folder / 'rows.csv'}' (HEADER)")
        connection.execute(f"COPY ({shuffled}) TO '{folder / 'rows.parquet'}'")


def load_ours(path: Path) -> int:
    look = look_at(path)
    source = generic_source(path.name, "purchases", look, Given(defaults={"currency": "EUR"}))
    file = InputFile(0, path.name, source, "purchases", look)
    with Loading([file], LoadingOptions(folder=path.parent)) as loading:
        return sum(map(len, loading.blocks()))


def load_duckdb(path: Path) -> int:
    reader = "read_csv" if path.suffix == ".csv" else "read_parquet"
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT * REPLACE (occurred_at::TIMESTAMPTZ AS occurred_at, total::DECIMAL AS total) "
            f"FROM {reader}('{path}') ORDER BY occurred_at"
        )
        return int(connection.execute("SELECT count(*) FROM t").fetchall()[0][0])


def load_pandas(path: Path) -> int:
    frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    frame["occurred_at"] = pd.to_datetime(frame["occurred_at"])
    return len(frame.sort_values("occurred_at", kind="stable"))


def run_side(side: str, path: Path) -> None:
    """Load a file in this process; print rows, processor seconds and greatest memory."""
    start = time.process_time()
    rows = {"ours": load_ours, "duckdb": load_duckdb, "pandas": load_pandas}[side](path)
    seconds = time.process_time() - start
    print(rows, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def measure(folder: Path, rounds: int) -> dict[tuple[str, str], tuple[float, int]]:
    """Return least processor seconds and greatest memory, in MiB, of each form and side."""
    found: dict[tuple[str, str], tuple[float, int]] = {}
    for _ in range(rounds):
        for form in FORMS:
            for side in SIDES:
                command = [sys.executable, __file__, "--side", side, "--path", str(folder / f"rows.{form}")]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
                best, peak = found.get((form, side), (float("inf"), 0))
                found[form, side] = min(best, float(output[1])), max(peak, int(output[2]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--side", choices=SIDES)
    parser.add_argument("--path", type=Path)
    asked = parser.parse_args()
    if asked.side:
        run_side(asked.side, asked.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder), asked.rows)
        found = measure(Path(folder), asked.rounds)
    missed = False
    for form in FORMS:
        seconds, peak = found[form, "ours"]
        ratios = {side: seconds / found[form, side][0] for side in SIDES[1:]}
        missed = missed or ratios["duckdb"] > GOAL_RATIO or peak > MEMORY_MIB_MAX
        print(f"{form}, {asked.rows:,} rows in no order: {seconds:.2f} s of processor time, {peak:,} MiB at most")
        for side, ratio in ratios.items():
            own, own_peak = found[form, side]
            goal = f", goal {GOAL_RATIO:g}" if side == "duckdb" else ""
            print(f"  {ratio:.2f} times {side}, which takes {own:.2f} s and {own_peak:,} MiB{goal}")
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
