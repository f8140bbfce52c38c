"""The `segmenter` command."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from stream_app.bootstrap import create_readers, create_replay
from stream_app.contracts import schema_files
from stream_app.core.clock import SECOND_MS, to_milliseconds
from stream_app.embedded import cdnow
from stream_app.embedded.report import write_report
from stream_app.embedded.simulation import Faults, simulate
from stream_app.embedded.sources import SourceFile
from stream_app.embedded.terminal import progress, render_summary
from stream_app.errors import ConfigurationError, SegmenterError
from stream_app.settings import Settings, load_settings

EXIT_USAGE: Final = 2


class _ManyFiles(click.Command):
    """Lets an option take several values at once: `--purchases a b c` is `--purchases a --purchases b …`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        repeatable = {name for option in self.params if getattr(option, "multiple", False) for name in option.opts}
        spread: list[str] = []
        option: str | None = None
        taken = False
        for arg in args:
            if arg.startswith("-") and arg != "-":
                option, taken = (arg if arg in repeatable else None), False
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
        segmenter.main(args=args, standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SegmenterError as error:
        click.echo(f"segmenter: {error}", err=True)
        sys.exit(EXIT_USAGE)


@click.group()
def segmenter() -> None:
    """Segment customers while their events stream in, and tell each change of segment as an event."""


_FILE = click.Path(path_type=Path, dir_okay=False)


@segmenter.command(cls=_ManyFiles)
@click.option("--purchases", type=_FILE, multiple=True, help="JSONL or CSV, plain or .gz; several may follow.")
@click.option("--engagements", type=_FILE, multiple=True, help="Likewise.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out"), show_default=True)
@click.option("--config", type=_FILE, help="Settings as TOML.")
@click.option("--column", type=_Assignment(), multiple=True, help="CSV: field NAME stands under this HEADER.")
@click.option("--constant", type=_Assignment(), multiple=True, help="CSV: field NAME has this value in every row.")
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
    zone = _zone(timezone)
    columns, constants = dict(column), dict(constant)
    constants.setdefault("currency", settings.money.base_currency)
    sources = [
        SourceFile(path, topic, columns, constants, zone)
        for topic, paths in (("purchases", purchases), ("engagements", engagements))
        for path in paths
    ]
    _run(settings, sources, out, now, until)


@segmenter.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
def demo(out: Path) -> None:
    """Replay the real CDNOW purchases, 69,659 in 18 months, and show what comes of them."""
    settings = load_settings(None, {"money": {"base_currency": cdnow.CURRENCY}})
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{out}: cannot be made ({error.strerror}); name another folder with --out") from error
    path = out / "cdnow.csv"
    cdnow.write_cdnow_csv(path)
    columns = {"occurred_at": "date", "total": "amount"}
    source = SourceFile(path, "purchases", columns, {"currency": cdnow.CURRENCY}, ZoneInfo("UTC"))
    _run(settings, [source], out, None, None)


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
    """The contracts of all topics as JSON Schema files and an AsyncAPI document."""


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


def _run(settings: Settings, sources: Sequence[SourceFile], out: Path, now_ms: int | None, until_ms: int | None) -> None:
    """Replay `sources` into `out`, show progress, and tell what came of it."""
    readers = create_readers(settings, sources, int(time.time() * SECOND_MS) if now_ms is None else now_ms)
    run = create_replay(settings, out, until_ms)
    with _interruptible() as interrupted, progress(_total_bytes(sources)) as advance:
        summary: Mapping[str, Any] = run.run(readers, advance, interrupted)
    for reader in readers:
        reader.close()
    render_summary(dict(summary), write_report(out))


def _total_bytes(sources: Sequence[SourceFile]) -> int | None:
    sizes = [source.path.stat().st_size for source in sources if source.path.is_file()]
    return sum(sizes) if len(sizes) == len(sources) else None


def _zone(name: str) -> ZoneInfo | None:
    if name == "none":
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ConfigurationError(f"--timezone: {name!r}, expected a name such as UTC or Europe/London") from error


@contextmanager
def _interruptible() -> Iterator[Any]:
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
