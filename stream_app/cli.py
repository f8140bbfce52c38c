"""The `segmenter` command."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from textwrap import shorten
from typing import Any, Final, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from stream_app.bootstrap import create_readers, create_replay
from stream_app.commands.api import api, serve_demo
from stream_app.commands.metrics import metrics_table
from stream_app.commands.produce import produce
from stream_app.commands.settings import settings_table
from stream_app.commands.topics import topics
from stream_app.commands.verify import verify
from stream_app.commands.view import view
from stream_app.commands.webhooks import webhooks
from stream_app.commands.worker import worker
from stream_app.contracts import schema_files
from stream_app.contracts.decoding import INPUT_MODELS
from stream_app.core.clock import SECOND_MS, to_milliseconds
from stream_app.embedded import cdnow
from stream_app.embedded.report import write_report
from stream_app.embedded.simulation import Faults, simulate
from stream_app.embedded.sources import SourceFile
from stream_app.embedded.terminal import progress, render_summary
from stream_app.errors import BrokerUnreachable, ConfigurationError, SegmenterError, TopicRefused
from stream_app.settings import Settings, load_settings

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
"""What shells expect of a command that Ctrl-C ended, so that a script does not go on."""
MESSAGE_CHARACTERS: Final = 1_000
"""An error's line is cut here: a value that it names may be a megabyte."""


class _ManyFiles(click.Command):
    """Lets an option take several values at once: `--purchases a b c` is `--purchases a --purchases b …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        option: str | None = None
        taken = False
        for arg in args:
            if arg.startswith("-") and arg != "-":
                name, equals, _ = arg.partition("=")
                option, taken = (name if name in repeatable else None), bool(equals)
            elif option is not None:
                if taken:
                    spread.append(option)
                taken = True
            spread.append(arg)
        return super().parse_args(ctx, spread)


class _Assignment(click.ParamType):
    """NAME=VALUE."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, content = str(value).partition("=")
        if not equals or not name or not content:
            self.fail(f"{value!r}, expected NAME=VALUE", param, ctx)
        return name, content


class _Instant(click.ParamType):
    """RFC 3339 with a zone."""

    name = "instant"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return to_milliseconds(datetime.fromisoformat(str(value)))
        except ValueError:
            self.fail(f"{value!r}, expected a time with a zone such as 2024-05-01T12:00:00Z", param, ctx)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command; a refused start is one line on standard error and exit status 2."""
    try:
        segmenter.main(args=args, prog_name="segmenter", standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "segmenter"
        _refuse(f"{error.format_message().rstrip('.')}; see `{command} --help`", error.exit_code)
    except (BrokerUnreachable, TopicRefused) as error:
        _refuse(str(error), EXIT_FAILED)
    except SegmenterError as error:
        _refuse(str(error), EXIT_USAGE)
    except OSError as error:  # a full disk, say, in the middle of a run
        _refuse(f"stopped, without outputs: {error}", EXIT_FAILED)


def _refuse(message: str, status: int) -> NoReturn:
    """Say why on one line, whatever a file's name or a value brings along."""
    line = "".join(char if char.isprintable() else " " for char in message)
    click.echo(f"segmenter: {shorten(line, MESSAGE_CHARACTERS, placeholder=' …')}", err=True)
    sys.exit(status)


@click.group()
def segmenter() -> None:
    """Segment customers while their events stream in, and tell each change of segment as an event."""


segmenter.add_command(topics)
segmenter.add_command(settings_table)
segmenter.add_command(metrics_table)
segmenter.add_command(produce)
segmenter.add_command(verify)
segmenter.add_command(worker)
segmenter.add_command(view)
segmenter.add_command(api)
segmenter.add_command(webhooks)

_FILE = click.Path(path_type=Path, dir_okay=False)


@segmenter.command(cls=_ManyFiles)
@click.option("--purchases", type=_FILE, multiple=True, help="JSONL or CSV, plain or .gz; several may follow.")
@click.option("--engagements", type=_FILE, multiple=True, help="Likewise.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option("--config", type=_FILE, help="Settings as TOML.")
@click.option("--column", type=_Assignment(), multiple=True, help="CSV: field NAME stands under this HEADER.")
@click.option(
    "--constant", type=_Assignment(), multiple=True, help="CSV: value of field NAME where there is no such column."
)
@click.option("--timezone", default="UTC", show_default=True, help="CSV: zone of times that name none; 'none' rejects.")
@click.option("--seed", type=int, help="Fixes every random choice.  [default: learning.seed, 0]")
@click.option("--now", type=_Instant(), help="Reject events later than this and 5 minutes.  [default: the clock]")
@click.option("--until", type=_Instant(), help="Let time pass up to here after the last event.")
def replay(
    purchases: tuple[Path, ...],
    engagements: tuple[Path, ...],
    out: Path,
    config: Path | None,
    column: tuple[tuple[str, str], ...],
    constant: tuple[tuple[str, str], ...],
    timezone: str,
    seed: int | None,
    now: int | None,
    until: int | None,
) -> None:
    """Replay files of events and write migrations, memberships, models, dead letters, a summary and a report."""
    if not purchases and not engagements:
        raise click.UsageError("name at least one file: --purchases FILE or --engagements FILE")
    settings = load_settings(config, {} if seed is None else {"learning": {"seed": seed}})
    columns, constants = dict(column), dict(constant)
    sources = [
        SourceFile(path, topic, columns, {"currency": settings.money.base_currency} | constants, _zone(timezone))
        for topic, paths in (("purchases", purchases), ("engagements", engagements))
        for path in paths
    ]
    _check_fields([*columns, *constants], [source for source in sources if source.is_csv])
    _run(settings, sources, out, now, until)


@segmenter.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
@click.option("--serve", is_flag=True, help="Serve the API from the results, on 127.0.0.1, until Ctrl-C.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8000, show_default=True, help="For --serve.")
def demo(out: Path, serve: bool, port: int) -> None:
    """Replay the real CDNOW purchases, 69,659 in 18 months, and show what comes of them."""
    settings = load_settings(None, {"money": {"base_currency": cdnow.CURRENCY}})
    path = out / "cdnow.csv"
    try:
        cdnow.write_cdnow_csv(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror}); name another folder with --out"
        ) from error
    columns = {"occurred_at": "date", "total": "amount"}
    _run(settings, [SourceFile(path, "purchases", columns, {"currency": cdnow.CURRENCY}, UTC)], out, None, None)
    if serve:
        serve_demo(out, port)


@segmenter.command(name="simulate")
@click.option("--customers", type=int, default=6000, show_default=True)
@click.option("--days", type=int, default=540, show_default=True, help="True changes need at least 110 days.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("simulated"), show_default=True)
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), default="2024-01-01", show_default=True)
@click.option("--refund-rate", type=float, default=0.03, show_default=True)
@click.option("--duplicate-rate", type=float, default=0.0, show_default=True)
@click.option("--malformed-rate", type=float, default=0.0, show_default=True)
@click.option("--late-rate", type=float, default=0.0, show_default=True)
def simulate_command(
    customers: int,
    days: int,
    seed: int,
    out: Path,
    start: datetime,
    refund_rate: float,
    duplicate_rate: float,
    malformed_rate: float,
    late_rate: float,
) -> None:
    """Write a population with known latent types and known change points, and the truth beside it."""
    faults = Faults(duplicate_rate=duplicate_rate, malformed_rate=malformed_rate, late_rate=late_rate)
    first_day: date = start.date()
    counts = simulate(customers, days, seed, out, first_day, refund_rate, faults)
    click.echo(
        f"{counts.events:,} events of {counts.customers:,} customers with {counts.changes:,} true changes in {out}"
    )


@segmenter.group()
def schemas() -> None:
    """Write or check the contracts of all topics: JSON Schema files and an AsyncAPI document."""


_FOLDER = click.option("--folder", type=click.Path(path_type=Path), default=Path("schemas"), show_default=True)


@schemas.command(name="write")
@_FOLDER
def schemas_write(folder: Path) -> None:
    """Generate the files from the models."""
    for written in schema_files.write(folder):
        click.echo(written)


@schemas.command(name="check")
@_FOLDER
def schemas_check(folder: Path) -> None:
    """Fail if the files differ from the models, or the models break what the committed version promised."""
    problems = schema_files.check(folder)
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(1)
    click.echo(f"{folder}: in step with the models")


def _run(
    settings: Settings, sources: Sequence[SourceFile], out: Path, now_ms: int | None, until_ms: int | None
) -> None:
    """Replay `sources` into `out`, show progress, and tell what came of it."""
    readers = create_readers(settings, sources, int(time.time() * SECOND_MS) if now_ms is None else now_ms)
    with ExitStack() as opened, _interruptible() as interrupted:
        for reader in readers:
            opened.callback(reader.close)
        run = create_replay(settings, out, until_ms)
        with progress(_total_bytes(sources)) as advance:
            summary = run.run(readers, advance, interrupted)
        report = write_report(out)
    render_summary(summary, report)
    if summary["interrupted"]:
        sys.exit(EXIT_INTERRUPTED)


def _check_fields(names: Sequence[str], tables: Sequence[SourceFile]) -> None:
    """Refuse what --column and --constant ask for in vain: a mistyped field, or no CSV file."""
    fields = list(dict.fromkeys(field for table in tables for field in INPUT_MODELS[table.topic].model_fields))
    for name in names:
        if not tables:
            raise click.UsageError(
                f"--column and --constant ({name}) are for CSV files, and none is named *.csv or *.csv.gz"
            )
        if name not in fields:
            raise click.UsageError(f"--column or --constant: {name!r} is no field, expected one of {', '.join(fields)}")


def _total_bytes(sources: Sequence[SourceFile]) -> int | None:
    sizes = [source.path.stat().st_size for source in sources if source.path.is_file()]
    return sum(sizes) if len(sizes) == len(sources) else None


def _zone(name: str) -> tzinfo | None:
    if name == "none":
        return None
    if name == "UTC":  # also where no zone database is installed
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigurationError(f"--timezone: {name!r}, expected a name such as UTC or Europe/London") from error


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to finish; a second one stops at once."""
    requested = False

    def request(_signal: int, _frame: object) -> None:
        nonlocal requested
        requested = True
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, request)
    try:
        yield lambda: requested
    finally:
        signal.signal(signal.SIGINT, previous)
