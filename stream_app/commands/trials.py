"""Trying definitions on files of events: what they would make of the customers, and what they would have moved."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from stream_app.adapters import wall_clock
from stream_app.bootstrap.replay import create_readers, create_replay
from stream_app.core.clock import format_instant
from stream_app.core.local_days import zone_of
from stream_app.core.partition import Partition
from stream_app.exits import ExitCode
from stream_app.plurals import counted
from stream_app.replay.backtest import Backtest, backtest_of
from stream_app.replay.preview import Preview, preview_of
from stream_app.replay.refusals import REFUSED_SHARE_MAX, has_failed
from stream_app.report.terminal import progress
from stream_app.settings.sections import Settings
from stream_app.sources.files import SourceFile

_WIDTH: Final = 120
"""Of tables in a pipe, in characters: a matrix of sixteen segments needs them."""


class Inputs(NamedTuple):
    """Input files by topic, and what columns of CSV files hold."""

    files: Mapping[str, Sequence[Path]]
    columns: Sequence[tuple[str, str]]
    constants: Sequence[tuple[str, str]]


def show_preview(settings: Settings, in_force: Settings, inputs: Inputs, days: int, *, as_json: bool) -> None:
    """Print what definitions would make of the customers, beside those in force."""
    with _replayed(settings, inputs) as (partition, _), _replayed(in_force, inputs) as (present, _):
        found = preview_of(partition, present, days)
    if as_json:
        click.echo(json.dumps(_preview_document(found), indent=2))
    else:
        _print_preview(found, days, settings.money.base_currency)


def show_backtest(settings: Settings, inputs: Inputs, out: Path | None, *, as_json: bool) -> None:
    """Print what definitions would have moved; the replay's outputs are kept if a folder is named."""
    with _replayed(settings, inputs, out) as (partition, folder), (folder / "migrations.jsonl").open("rb") as lines:
        summary = json.loads((folder / "summary.json").read_text())
        found = backtest_of(lines, partition.names, len(partition.table), _span_ms(partition, summary))
    if as_json:
        click.echo(json.dumps([{**each._asdict(), "warnings": each.warnings} for each in found], indent=2))
    else:
        _print_backtest(found)


@contextmanager
def _replayed(settings: Settings, inputs: Inputs, out: Path | None = None) -> Iterator[tuple[Partition, Path]]:
    """Replay files; give the partition at the end, and the folder of the outputs."""
    columns, constants = dict(inputs.columns), {"currency": settings.money.base_currency} | dict(inputs.constants)
    zone = zone_of(settings.business.timezone)
    sources = [
        SourceFile(path, topic, columns, constants, zone) for topic, paths in inputs.files.items() for path in paths
    ]
    readers = create_readers(settings, sources, wall_clock.now_ms())
    with ExitStack() as opened:
        for reader in readers:
            opened.callback(reader.close)
        folder = Path(opened.enter_context(TemporaryDirectory())) if out is None else out
        replay = create_replay(settings, folder)
        size = sum(source.path.stat().st_size for source in sources)
        messages = Console(stderr=True, highlight=False)
        with progress(size, lambda: max(replay.partition.clock), messages) as advance:
            summary = replay.run(readers, advance)
        if has_failed(summary["counts"], summary["without_customer"], REFUSED_SHARE_MAX):
            click.echo(f"{summary['counts']['rejected']:,} records are refused; see `segmenter replay`", err=True)
            sys.exit(ExitCode.FAILED)
        yield replay.partition, folder


def _span_ms(partition: Partition, summary: Mapping[str, Any]) -> int:
    """Return how long history is, by the first act of any customer."""
    first_ms = partition.table.activity["first_at_ms"].min() if summary["counts"]["applied"] else 0
    return max(partition.clock) - int(first_ms)


# --- preview -------------------------------------------------------------------------------------------------------


def _preview_document(found: Preview) -> dict[str, Any]:
    return {
        "customers": found.customers,
        "as_of": format_instant(found.as_of_ms),
        "sizes": [each._asdict() for each in found.sizes],
        "overlap": found.overlap._asdict(),
        "changes": [each._asdict() for each in found.changes],
        "leavers": [each._asdict() for each in found.leavers],
    }


def _print_preview(found: Preview, days: int, currency: str) -> None:
    out = _console()
    out.print(f"{counted(found.customers, 'customer')} as of {format_instant(found.as_of_ms)}")
    sizes = _table("Segment", "Name", "Customers", "Share", f"Revenue {currency}")
    for each in found.sizes:
        share, revenue = f"{each.share:.1%}", f"{each.revenue:,.2f}"
        sizes.add_row(f"{each.segmentation}/{each.segment}", each.name, f"{each.customers:,}", share, revenue)
    out.print(sizes)
    out.print("\nCustomers in both, of the largest segments (numbers stand for the rows)")
    names = found.overlap.segments
    overlap = _table("", "Segment", *map(str, range(1, len(names) + 1)))
    for number, (name, row) in enumerate(zip(names, found.overlap.customers, strict=True), 1):
        overlap.add_row(str(number), name, *(f"{count:,}" for count in row))
    out.print(overlap)
    out.print("\nAgainst the definitions in force, these would move")
    changes = _table("Segmentation", "", "Customers", f"Revenue {currency}")
    for change in found.changes:
        changes.add_row(change.segmentation, "", f"{change.customers:,}", f"{change.revenue:,.2f}")
    out.print(changes)
    out.print(f"\nLeave within {days} days if nothing happens")
    leavers = _table("Segment", "", "Customers", f"Revenue {currency}")
    for leaver in found.leavers:
        name = f"{leaver.segmentation}/{leaver.segment}"
        leavers.add_row(name, "", f"{leaver.customers:,}", f"{leaver.revenue:,.2f}")
    out.print(leavers if found.leavers else "nobody")


# --- backtest ------------------------------------------------------------------------------------------------------


def _print_backtest(found: Sequence[Backtest]) -> None:
    out = _console()
    table = _table("Segmentation", "Causes", "Moves", "Per customer and month", "Taken back", "Median stay")
    for each in found:
        causes = ", ".join(f"{cause} {count:,}" for cause, count in each.causes.items())
        stay = "" if each.median_stay_days is None else f"{each.median_stay_days:.1f} d"
        rate, back = f"{each.per_customer_month:.3f}", f"{each.taken_back:.1%}"
        table.add_row(each.segmentation, causes, f"{each.moves:,}", rate, back, stay)
    out.print(table)
    for each in found:
        for warning in each.warnings:
            out.print(f"warning: {each.segmentation}: {warning}", soft_wrap=True)


def _console() -> Console:
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=_WIDTH)


def _table(first: str, second: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    table.add_column(second)
    for name in numbers:
        table.add_column(name, justify="right")
    return table
