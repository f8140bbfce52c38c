"""Measures speed and memory of the replay, as ratios against references in the same run.

Ends with status 1 if a goal is missed. Ratios are of processor time, best of the rounds, the two sides alternating.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import gzip
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial
from pathlib import Path

import numpy as np
from learned import VALUE_ALONE, model_of
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent))
from bare_loop import run_bare_loop
from bare_sweep import bare_due, bare_sweep, contiguous_columns
from bench_rules import measure as measure_rules
from follow import longest_block
from sparse_year import write_sparse_year

from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.core.clock import MINUTE_MS
from stream_app.core.customers import CustomerTable
from stream_app.core.partition import Partition
from stream_app.core.processor import BLOCK_ROWS, sweep
from stream_app.settings.loading import load_settings
from stream_app.simulator.simulation import simulate
from stream_app.sources import cdnow
from stream_app.sources.files import SourceFile
from stream_app.worker.process import COLLECT_AFTER

ROUNDS = 3
NOW_MS = 2**42
"""Later than every simulated event."""


def seconds(work: Callable[[], object]) -> float:
    """Return the processor seconds that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def replay(sources: Sequence[SourceFile], out: Path) -> Partition:
    """Replay files with the learned segmentation and all outputs."""
    settings = load_settings(None, VALUE_ALONE)
    run = create_replay(settings, out)
    run.run(create_readers(settings, sources, NOW_MS))
    return run.partition


def events_of(folder: Path) -> list[SourceFile]:
    """Return the files of events in a folder."""
    return [SourceFile(folder / f"{topic}.jsonl", topic, {}, {}, None) for topic in ("purchases", "engagements")]


def purchases_of_cdnow(folder: Path) -> list[SourceFile]:
    """Return what `segmenter demo` replays."""
    path = folder / "cdnow.csv"
    cdnow.write_cdnow_csv(path)
    columns = {"occurred_at": "date", "total": "amount"}
    return [SourceFile(path, "purchases", columns, {"currency": "EUR"}, UTC)]


def widen(partition: Partition, customers: int) -> Partition:
    """Return a partition with the same customers again and again, up to a number."""
    table = CustomerTable()
    originals = len(partition.table)
    for number in range(customers):
        table.insert(f"c{number}")
    copies = np.arange(customers) % originals
    table.activity[:] = partition.table.activity[copies]
    table.memberships[0][:] = partition.table.memberships[0][copies]
    return Partition(partition.segmentations, partition.context, table, partition.clock)


def bytes_per_customer(partition: Partition) -> float:
    """Return the memory that a table with the same rows takes, as a worker that has read them back holds it."""
    table = partition.table
    rebuilt = CustomerTable(table.names)
    ids, rows = table.customer_ids.encoded(0, len(table)), table.encode_all(range(len(table)))
    rebuilt.restore_many(list(zip(ids, rows, strict=True)))
    return sum(rebuilt.memory.values()) / len(rebuilt)


def main() -> None:
    """Run all benchmarks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--days", type=int, default=180)
    parser.add_argument("--swept", type=int, default=1_000_000)
    options = parser.parse_args()
    console = Console(width=110)
    results = Table("what", "reference", "ours", "ratio", "goal", "", title="The replay", title_justify="left")
    missed = 0

    def add(what: str, reference: str, ours: str, ratio: str, goal: str, met: bool) -> None:
        nonlocal missed
        missed += not met
        results.add_row(what, reference, ours, ratio, goal, "met" if met else "MISSED")

    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        simulate(options.customers, options.days, 1, folder)
        paths = []
        for topic in ("purchases", "engagements"):
            path = folder / f"{topic}.jsonl"
            path.write_bytes(gzip.decompress((folder / f"{topic}.jsonl.gz").read_bytes()))
            paths.append(path)
        bare, full = [], []
        for _ in range(ROUNDS):
            bare.append(seconds(lambda: run_bare_loop(paths)))
            full.append(seconds(lambda: replay(events_of(folder), folder / "out")))
        events = run_bare_loop(paths)
        partition = replay(events_of(folder), folder / "out")
        ratio = min(bare) / min(full)
        add(
            f"replay, {events:,} events of {options.customers:,} customers",
            f"bare loop {events / min(bare):,.0f}/s",
            f"{events / min(full):,.0f}/s",
            f"{ratio:.2f}",
            ">= 1.5",
            ratio >= 1.5,
        )
        year = write_sparse_year(folder / "sparse")
        bare, full, demo = [], [], []
        sources = purchases_of_cdnow(folder)
        for _ in range(ROUNDS):
            bare.append(seconds(lambda: run_bare_loop(year)))
            full.append(seconds(lambda: replay(events_of(folder / "sparse"), folder / "out")))
            demo.append(seconds(lambda: replay(sources, folder / "out")))
        events = run_bare_loop(year)
        add(
            f"replay of a sparse year, {events:,} events of 20,000 customers",
            f"bare loop {min(bare) / events * 1e6:.1f} µs an event",
            f"{min(full) / events * 1e6:.1f} µs an event",
            f"{min(bare) / min(full):.2f}",
            "",
            True,
        )
        add("replay of the demo, 69,659 events", "", f"{min(demo) / 69_659 * 1e6:.1f} µs an event", "", "", True)
    memory = bytes_per_customer(partition)
    add("memory of a customer", "", f"{memory:,.0f} bytes", "", "<= 600", memory <= 600)

    wide = widen(partition, options.swept)
    columns = contiguous_columns(wide.table.activity)
    kernel, least, ours, again = [], [], [], []
    for number in range(1, ROUNDS + 1):
        at_ms = wide.clock.swept_at_ms + MINUTE_MS * number
        kernel.append(seconds(partial(bare_sweep, columns, model_of(wide), at_ms, BLOCK_ROWS)))
        wide.table.forget_due()
        ours.append(seconds(partial(sweep, wide, at_ms)))
        due_at_ms = wide.table.due_at_ms.copy()
        least.append(seconds(partial(bare_due, due_at_ms, at_ms + MINUTE_MS // 2)))
        again.append(seconds(partial(sweep, wide, at_ms + MINUTE_MS // 2)))
    ratio = min(again) / min(kernel)
    add(
        f"sweep of {options.swept:,} customers, half a minute after the last",
        f"look at everybody {min(kernel) * 1000:.0f} ms",
        f"{min(again) * 1000:.1f} ms",
        f"{ratio:.2f}",
        "<= 5",
        ratio <= 5,
    )
    add(
        "the same",
        f"compare as many dates {min(least) * 1000:.2f} ms",
        f"{min(again) * 1000:.1f} ms",
        f"{min(again) / min(least):.1f}",
        "",
        True,
    )
    ratio = min(ours) / min(kernel)
    add("the same if all have to be looked at", "", f"{min(ours) * 1000:.0f} ms", f"{ratio:.2f}", "<= 6", ratio <= 6)
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    longest, took, moved = asyncio.run(longest_block(wide))
    add(
        f"following a model, {options.swept:,} customers of whom {moved:,} move",
        "",
        f"{took:.1f} s",
        f"longest block {longest * 1000:.0f} ms",
        "<= 50 ms",
        longest <= 0.05,
    )
    for figure in measure_rules(options.swept):
        goal = "" if figure.goal is None else f"<= {figure.goal:g}"
        add(figure.what, "", figure.measured, "", goal, figure.is_met)
    console.print(results)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
