"""`segmenter replay`: segment what is in files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click

from stream_app.adapters import wall_clock
from stream_app.adapters.interruption import interruptible
from stream_app.commands.groups import CONFIG, SEGMENTATIONS, printable, with_segmentations
from stream_app.commands.input_files import (
    EXPORTS,
    FILE,
    Assignment,
    ManyFiles,
    takes_input_files,
    takes_reading,
    with_money_of,
)
from stream_app.commands.serving import PORT, SERVE, check_port, serve_folder
from stream_app.contracts.inputs.table import FILE_CONTRACTS
from stream_app.core.clock import to_milliseconds
from stream_app.exits import ExitCode
from stream_app.replay.outputs import earlier_timezone
from stream_app.replay.refusals import REFUSED_COUNT_MAX, REFUSED_SHARE_MAX, commonest_refusals, has_failed
from stream_app.report.progress import size_of
from stream_app.settings.loading import load_settings
from stream_app.settings.sections import Settings
from stream_app.sources.files import SourceFile

FILES_NAMED: Final = 3
"""More are counted."""


class _Instant(click.ParamType):
    """RFC 3339 with a zone."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return to_milliseconds(datetime.fromisoformat(str(value)))
        except ValueError:
            self.fail(f"{value!r}, expected a time with a zone such as 2024-05-01T12:00:00Z", param, ctx)


@click.command(cls=ManyFiles)
@EXPORTS
@takes_input_files(FILE, "CSV, JSON, Excel or Parquet, also packed; may be repeated.", FILE_CONTRACTS)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True, help="Folder to write to."
)
@CONFIG
@SEGMENTATIONS
@takes_reading
@click.option("--seed", type=int, help="Fixes every random choice.  [default: learning.seed, 0]")
@click.option("--now", type=_Instant(), help="Refuse events more than 5 minutes after this.  [default: the clock]")
@click.option("--until", type=_Instant(), help="Let time pass up to here after the last event.")
@click.option(
    "--without-link",
    "without_links",
    type=Assignment(),
    multiple=True,
    metavar="ALIAS=CUSTOMER",
    help="Leave this link or merge out, as if nobody had stated it; may be repeated.",
)
@click.option(
    "--max-rejected",
    type=click.FloatRange(0, 1),
    default=REFUSED_SHARE_MAX,
    show_default=True,
    help=f"Exit with 1 if more than this share of the records, and more than {REFUSED_COUNT_MAX}, are refused.",
)
@SERVE
@PORT
def replay(
    inputs: Callable[[Settings], Sequence[SourceFile]],
    out: Path,
    config: Path | None,
    segmentations: Path | None,
    seed: int | None,
    now: int | None,
    until: int | None,
    without_links: Sequence[tuple[str, str]],
    max_rejected: float,
    serve: bool,
    port: int,
) -> None:
    """Replay files of events and write migrations, memberships, models, dead letters, a summary and a report.

    FILES are what shops and tools export, or folders of such files, read as --source says; `segmenter sources` lists
    what is known. Files whose columns are called as our fields follow the options of their topics.
    """
    if serve:
        check_port(port)
    own = {} if seed is None else {"learning": {"seed": seed}}
    settings = load_settings(config, with_segmentations(segmentations, own))
    files = inputs(settings)
    size = _total_bytes(files)
    read = _named(files) if size is None else f"{_named(files)}, {size_of(size)}"
    click.echo(f"reading {read}, and writing to {printable(str(out))} …")
    run_replay(with_money_of(files, settings), files, out, now, until, max_rejected, without=frozenset(without_links))
    if serve:
        serve_folder(out, port)


def run_replay(
    settings: Settings,
    sources: Sequence[SourceFile],
    out: Path,
    now_ms: int | None = None,
    until_ms: int | None = None,
    max_rejected: float = REFUSED_SHARE_MAX,
    add: Callable[[Path], object] = lambda _: None,
    without: frozenset[tuple[str, str]] = frozenset(),
) -> None:
    """Replay `sources` into `out`, show progress and the outcome; end the process if it is not a success.

    Parameters
    ----------
    settings, sources, out, now_ms, until_ms, max_rejected
        See `replay`.
    add
        Writes further files beside the report, see `OutputFolder`.
    without
        Statements on identities that are left out: pairs of alias and customer.
    """
    # After the first line, since these imports take as long as the rest of the start.
    from stream_app.bootstrap.replay import create_readers, create_replay
    from stream_app.report.page import write_report
    from stream_app.report.terminal import progress, render_refusals, render_summary

    def report(folder: Path) -> None:
        write_report(folder)
        add(folder)

    earlier = earlier_timezone(out)
    readers = create_readers(settings, sources, wall_clock.now_ms() if now_ms is None else now_ms)
    with ExitStack() as opened, interruptible() as interrupted:
        for reader in readers:
            opened.callback(reader.close)
        run = create_replay(settings, out, until_ms, add=report, without=without)
        with progress(_total_bytes(sources), lambda: max(run.partition.clock)) as advance:
            summary = run.run(readers, advance, interrupted)
    if earlier not in (None, zone := settings.business.timezone):
        click.echo(f"{out}: these outputs count the days of {zone}, those before them the days of {earlier}", err=True)
    render_summary(summary, out / "report.html")
    if summary["interrupted"]:
        sys.exit(ExitCode.INTERRUPTED)
    if has_failed(summary["counts"], summary["without_customer"], max_rejected):
        render_refusals(summary["counts"], commonest_refusals(out, summary["rejected_by_reason"]))
        sys.exit(ExitCode.FAILED)


def _named(sources: Sequence[SourceFile]) -> str:
    names = list(dict.fromkeys(source.path.name for source in sources))
    return printable(", ".join(names)) if len(names) <= FILES_NAMED else f"{len(names)} files"


def _total_bytes(sources: Sequence[SourceFile]) -> int | None:
    sizes = [source.path.stat().st_size for source in sources if source.path.is_file()]
    return sum(sizes) if len(sizes) == len(sources) else None
