"""`segmenter segmentations`: check definitions, try them out, bring them over, and print their reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from stream_app.bootstrap.segmentation import create_partition
from stream_app.commands import trials
from stream_app.commands.groups import CONFIG, GuessingGroup, passes_config, with_segmentations
from stream_app.commands.input_files import ManyFiles, takes_columns, takes_input_files
from stream_app.core.local_days import UTC
from stream_app.errors import ConfigurationError
from stream_app.plurals import counted
from stream_app.segmentations.file import Checked, check_file, shipped_text
from stream_app.segmentations.importing import SYSTEMS, import_file
from stream_app.segmentations.learned.configuration import LearnedConfiguration
from stream_app.segmentations.reference import reference_page
from stream_app.segmentations.rules.sentences import sentence_of
from stream_app.settings.loading import load_settings

_FILE: Final = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.group(cls=GuessingGroup)
@passes_config
def segmentations() -> None:
    """Check the file of segmentations, try it on events, import definitions, and print the reference."""


@segmentations.command()
@_FILE
@CONFIG
def check(file: Path, config: Path | None) -> None:
    """Print every mistake of a file of segmentations, or each of its definitions as a sentence.

    A mistake is one line: its path in the file, what was found, what is allowed. Ends with 1 if there is any.
    """
    settings = load_settings(config)
    checked = check_file(file, settings.business.timezone)
    for mistake in checked.mistakes:
        click.echo(str(mistake), err=True)
    if checked.mistakes:
        click.echo(f"{file}: {counted(len(checked.mistakes), 'mistake')}", err=True)
        raise SystemExit(1)
    _require_compiled(config, file)
    for line in _told(file, checked, settings.money.base_currency):
        click.echo(line)


def _require_compiled(config: Path | None, file: Path) -> None:
    """Fail where all rules together are more than the library takes, which no single definition shows."""
    try:
        create_partition(load_settings(config, with_segmentations(file)))
    except ConfigurationError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None


def _told(file: Path, checked: Checked, currency: str) -> list[str]:
    definitions = checked.file
    if definitions is None:
        return []
    lines = []
    for entry in definitions.segmentations:
        if isinstance(entry, LearnedConfiguration):
            lines.append(f"{entry.name}: learned from the population; see docs/segmentations.md.")
        else:
            lines.append(f"{entry.name}: {sentence_of(entry, currency, definitions.timezone or UTC)}")
    lines += [f"warning: {warning}" for warning in checked.warnings]
    lines += [f"note: {note}" for note in checked.notes]
    lines += [f"list {name}: {counted(len(ids), 'id')}" for name, ids in (checked.lists or {}).items()]
    return [*lines, f"{file}: {counted(len(definitions.segmentations), 'segmentation')}, no mistake"]


_FILES: Final = takes_input_files(click.Path(path_type=Path, dir_okay=False), "JSON lines or CSV, plain or .gz.")
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_DAYS: Final = click.option(
    "--days",
    type=click.IntRange(1, 366),
    default=7,
    show_default=True,
    help="How far ahead moves by time alone are looked for.",
)


@segmentations.command(cls=ManyFiles)
@_FILE
@_FILES
@takes_columns
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The definitions in force.  [default: those of the settings, or the shipped ones]",
)
@_DAYS
@_JSON
@CONFIG
def preview(
    file: Path,
    files: Mapping[str, Sequence[Path]],
    column: tuple[tuple[str, str], ...],
    constant: tuple[tuple[str, str], ...],
    against: Path | None,
    days: int,
    as_json: bool,
    config: Path | None,
) -> None:
    """Show what definitions would make of the customers in files of events.

    Who would be in which segment, with revenue; how segments overlap; who would move against the definitions in force;
    who leaves a segment within some days by time alone.
    """
    in_force = load_settings(config, with_segmentations(against))
    settings, inputs = load_settings(config, with_segmentations(file)), trials.Inputs(files, column, constant)
    trials.show_preview(settings, in_force, inputs, days, as_json=as_json)


@segmentations.command(cls=ManyFiles)
@_FILE
@_FILES
@takes_columns
@click.option("--out", type=click.Path(path_type=Path), metavar="FOLDER", help="Keep the outputs of the replay here.")
@_JSON
@CONFIG
def backtest(
    file: Path,
    files: Mapping[str, Sequence[Path]],
    column: tuple[tuple[str, str], ...],
    constant: tuple[tuple[str, str], ...],
    out: Path | None,
    as_json: bool,
    config: Path | None,
) -> None:
    """Show what definitions would have moved over the history in files of events.

    How many moves a customer and month, why, how many are taken back within 14 days, and how long customers stay.
    """
    inputs = trials.Inputs(files, column, constant)
    trials.show_backtest(load_settings(config, with_segmentations(file)), inputs, out, as_json=as_json)


@segmentations.command(name="import")
@click.argument("system", type=click.Choice(list(SYSTEMS)))
@_FILE
@click.option(
    "--name",
    "names",
    multiple=True,
    metavar="ID=NAME",
    help="What an id of the other system is called here: a metric's event type, a group's segmentation. Repeatable.",
)
def import_definitions(system: str, file: Path, names: tuple[str, ...]) -> None:
    """Print the definitions of another system's JSON export as a file of segmentations.

    The conventions that were chosen stand in its first lines. What cannot be expressed is named with its path, one line
    each, and nothing is printed then; ends with 1.
    """
    imported = import_file(system, file, dict(_pair(name) for name in names))
    for mistake in imported.mistakes:
        click.echo(str(mistake), err=True)
    if imported.mistakes:
        raise SystemExit(1)
    click.echo(imported.text, nl=False)


def _pair(text: str) -> tuple[str, str]:
    key, equals, name = text.partition("=")
    if not key or not equals or not name:
        raise click.UsageError(f"--name {text!r}, expected ID=NAME")
    return key, name


@segmentations.command()
def shipped() -> None:
    """Print the shipped definitions, to begin an own file with."""
    click.echo(shipped_text(), nl=False)


@segmentations.command()
def reference() -> None:
    """Print the reference of the file as Markdown."""
    click.echo(reference_page(), nl=False)
